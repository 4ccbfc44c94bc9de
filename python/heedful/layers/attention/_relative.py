"""RelativeAttention: causal attention to a segment and the memory before it, by distance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike

from heedful._checks import below_one, integer_array, named, size
from heedful.base._mode import Mode
from heedful.base._parameter import Parameter
from heedful.base._taps import current_first, taps_of
from heedful.base._types import Array, Backward, Rng, generator
from heedful.layers.attention._attention_call import AttentionCall
from heedful.layers.attention._heads import attention_function
from heedful.layers.attention._noise import drop_heads, make_noise, noise_shown
from heedful.layers.attention._penalties import PenalisedLayer, Penalties, penalties_shown
from heedful.layers.blocks._linear import Linear
from heedful.layers.blocks._positions import sinusoids

if TYPE_CHECKING:
    from heedful.base._parameter_types import Own


class RelativeAttention(PenalisedLayer):
    """Causal attention whose scores depend on content and on distance.

    ::

        score[i, j] = ((q[i] + u) · k[j] + (q[i] + w) · r[distance]) / √D      distance = i + M − j

    with k and v projected from the memory's M rows and the segment's L rows, r from sinusoids of
    distances, and u, w learned.

    Parameters
    ----------
    d_model, num_heads : int
    dropout : float, default 0
        Of attention weights, in training.
    key_dropout, head_dropout, gumbel_temperature, hard, penalties
        See :class:`MultiHeadAttention`.
    dtype : {float32, float64}
    rng : None, int or numpy.random.Generator

    Notes
    -----
    Dai et al. 2019, Transformer-XL, https://arxiv.org/abs/1901.02860.
    Computes in `dtype`, whatever the input; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import RelativeAttention
    >>> layer = RelativeAttention(8, 2, rng=0)
    >>> layer(np.ones((3, 5, 8)), np.ones((3, 4, 8))).shape
    (3, 5, 8)
    """

    d_model: int
    num_heads: int
    score_kind: ClassVar[str] = "relative"
    content_bias: Own
    position_bias: Own
    # of a layer that an earlier version pickled
    key_dropout: float = 0.0
    head_dropout: float = 0.0
    gumbel_temperature: float | None = None
    hard = False

    def __init__(
        self, d_model: int, num_heads: int, dropout: float = 0.0, *, key_dropout: float = 0.0,
        head_dropout: float = 0.0, gumbel_temperature: float | None = None, hard: bool = False,
        penalties: Penalties = None, dtype: DTypeLike = np.float32, rng: Rng = None,
    ) -> None:  # fmt: skip
        super().__init__(dtype)
        rng = generator(rng)
        self.d_model, self.num_heads = size("d_model", d_model), size("num_heads", num_heads)
        if self.d_model % self.num_heads:
            raise ValueError(
                f"num_heads must divide d_model: got d_model={d_model}, num_heads={num_heads}"
            )
        self.depth: int = self.d_model // self.num_heads
        make_noise(self, dropout, key_dropout, gumbel_temperature, hard)
        self.head_dropout: float = below_one("head_dropout", head_dropout)
        self.penalties = penalties
        narrow: dict[str, Any] = {"bias": False, "dtype": dtype, "rng": rng}
        self.query: Linear = Linear(d_model, d_model, **narrow)
        self.key_value: Linear = Linear(d_model, 2 * d_model, **narrow)
        self.distance: Linear = Linear(d_model, d_model, **narrow)
        self.out_proj: Linear = Linear(d_model, d_model, **narrow)
        shape = (self.num_heads, self.depth)
        self.content_bias = Parameter(np.zeros(shape, self.dtype))
        self.position_bias = Parameter(np.zeros(shape, self.dtype))

    @np.errstate(all="ignore")
    def compute(
        self, mode: Mode, x: Any, memory: Any = None, memory_lengths: Any = None,
        residual: Array | None = None,
    ) -> tuple[Array, Backward]:  # fmt: skip
        """x (B, L, E), memory (B, M, E) → y (B, L, E).

        ``backward(dy)`` returns dx, or (dx, dmemory) with a memory. `memory_lengths` (B,) is the
        number of valid rows of each memory, the last ones.
        """
        x = self.array("x", x, self.d_model)
        if x.ndim != 3:
            raise ValueError(f"x must have shape (B, L, {self.d_model}): got {x.shape}")
        batch, length, width = x.shape
        has_memory = memory is not None
        memory = self.array("memory", memory) if has_memory else x[:, :0]
        if memory.ndim != 3 or (memory.shape[0], memory.shape[2]) != (batch, width):
            raise ValueError(f"memory must have shape ({batch}, M, {width}): got {memory.shape}")
        heads = (self.num_heads, self.depth)
        before = memory.shape[1]
        keys = before + length

        q, back_query = self.query.compute(mode, x)
        kv, back_key = self.key_value.compute(mode, np.concatenate([memory, x], 1))
        # the row of the maximum distance first
        angles = sinusoids(np.arange(keys)[::-1], width, self.dtype)
        r, back_distance = self.distance.compute(mode, angles)
        q, r = q.reshape(batch, length, *heads), r.reshape(keys, *heads)
        k, v = (kv[..., half].reshape(batch, keys, *heads) for half in _halves(width))
        factor = self.dtype.type(1 / np.sqrt(self.depth))
        biased = (q + self.position_bias).swapaxes(1, 2) * factor  # (B, H, L, D)
        by_row = biased @ r.transpose(1, 2, 0)  # (B, H, L, keys), by distance
        options: dict[str, Any] = {
            "bias": shifted(by_row), "causal": True, "align": before, "layout": "blhd",
            "mask": _memory_mask(memory_lengths, batch, before, keys),
        }  # fmt: skip
        content = q + self.content_bias
        taps = taps_of(self)
        if taps:
            first = current_first()
            call = AttentionCall(
                self, content, k, v, options, training=mode.training, is_self=not has_memory,
                chooses=self.hard and not mode.training, first=first,
                first_key=None if first is None else first - before,
            )  # fmt: skip
            options |= call.steered(taps)
            call.seen(taps)
        run = attention_function(self, mode, options, keys)
        found = run(content, k, v, **options)
        if not mode.training:
            return self.out_proj.compute(mode, found.reshape(x.shape), residual)
        out, pullback = found
        dropped = drop_heads(self, mode, out)
        y, back_out = self.out_proj.compute(mode, dropped(out).reshape(x.shape), residual)

        @np.errstate(all="ignore")
        def backward(dy: Any) -> Any:
            dheads = dropped(back_out(dy).reshape(out.shape))
            gradients = pullback(dheads)
            assert gradients.bias is not None
            for tap in taps:
                tap.see_gradient(call, dheads, gradients.bias)
            drow = shifted_back(gradients.bias)
            dbiased = (drow @ r.swapaxes(0, 1)).swapaxes(1, 2) * factor  # (B, L, H, D)
            dr = np.einsum("bhlk,bhld->khd", drow, biased, optimize=True)
            back_distance(dr.reshape(keys, width))
            for name, of_rows in (("content_bias", gradients.query), ("position_bias", dbiased)):
                self.add_gradient(name, of_rows.sum((0, 1), dtype=np.float64).astype(self.dtype))
            dq = (gradients.query + dbiased).reshape(x.shape)
            dkv = np.concatenate([gradients.key, gradients.value], 2).reshape(kv.shape)
            drows = back_key(dkv)
            dx: Array = back_query(dq) + drows[:, before:]
            return (dx, drows[:, :before]) if has_memory else dx

        return y, backward

    def extra_repr(self) -> str:
        shown = f"{self.d_model}, {self.num_heads}" + noise_shown(self)
        return shown + penalties_shown(self._penalties)


def _halves(width: int) -> tuple[slice, slice]:
    return slice(0, width), slice(width, 2 * width)


def _memory_mask(lengths: Any, batch: int, before: int, keys: int) -> Array | None:
    """Valid keys, (B, 1, 1, K): the last ones of each memory, and the segment's."""
    if lengths is None:
        return None
    given = integer_array("memory_lengths", lengths)
    if given.shape != (batch,) or not ((given >= 0) & (given <= before)).all():
        raise ValueError(
            f"memory_lengths must be {batch} integers from 0 to {before}: got {named(lengths)}"
        )
    first = before - given.astype(np.int64)
    exists: Array = np.arange(keys) >= first[:, None, None, None]
    return exists


def shifted(by_row: Array) -> Array:
    """Scores by distance as scores by key: a view, row i begins at column L − 1 − i.

    by_row (…, L, K), the maximum distance first; elements beyond the diagonal belong to other rows
    and are hidden by causality.
    """
    by_row = np.ascontiguousarray(by_row)
    length, keys = by_row.shape[-2:]
    step = by_row.itemsize
    flat = by_row.reshape(*by_row.shape[:-2], length * keys)[..., length - 1 :]
    return np.lib.stride_tricks.as_strided(
        flat, by_row.shape, (*flat.strides[:-1], (keys - 1) * step, step), writeable=False
    )


def shifted_back(by_key: Array) -> Array:
    """The gradient of `shifted`'s argument; that of its result is zero beyond the diagonal."""
    length, keys = by_key.shape[-2:]
    by_row = np.zeros_like(by_key)
    for row in range(length):
        first = length - 1 - row
        by_row[..., row, first:] = by_key[..., row, : keys - first]
    return by_row
