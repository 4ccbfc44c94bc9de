"""LinearAttention: attention whose cost grows with the length instead of its square."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike

from heedful._checks import flag, named, probability, size
from heedful.base._mode import Mode
from heedful.base._taps import taps_of
from heedful.base._types import Array, Backward, Rng, generator
from heedful.functional import LinearState
from heedful.functional._linear_attention import linear_attention, linear_attention_gradients
from heedful.functional._shapes import broadcast_batches, summed
from heedful.layers._typed import Typed
from heedful.layers.attention._input_projections import Projections, joined, make_projections
from heedful.layers.attention._linear_call import LinearCall
from heedful.layers.attention._masks import Kept, kept_keys, kept_rows, refuse_options
from heedful.layers.blocks._dropout import Dropout
from heedful.layers.blocks._initial import kaiming
from heedful.layers.blocks._linear import Linear

if TYPE_CHECKING:
    from heedful.base._parameter_types import OptionalOwn, Own


class LinearAttention(Typed):
    """Attention with the weights φ(q) · φ(k), of which no matrix of all pairs is ever needed.

    ::

        head[i] = Σ_j (φ(q[i]) · φ(k[j])) v[j] / Σ_j φ(q[i]) · φ(k[j])           φ(x) = elu(x) + 1
                = φ(q[i]) S / (φ(q[i]) · z)      S = Σ_j φ(k[j]) v[j]ᵀ,  z = Σ_j φ(k[j])
        y       = concatenate(head) Woᵀ

    between the linear projections of :class:`MultiHeadAttention`, whose call this layer has. S and
    z are sums over all keys, or over those up to position i if causal: time and memory grow
    linearly with the length, and generation needs S and z alone, not the earlier keys.

    Parameters
    ----------
    d_model : int
        Width E of query and of y.
    num_heads : int
        H; it must divide d_model. The width of a head is D = E / H.
    num_kv_heads : int, optional
        Heads of key and value, which must divide H; query heads share them in groups. None is H.
    kdim, vdim : int, optional
        Widths of key and value; None is E.
    dropout : float, default 0
        Of the heads' results, in training: there are no weights to be dropped.
    bias : bool, default True
    causal : bool, default False
        Default of calls.
    dtype : {float32, float64}
    rng : None, int or numpy.random.Generator

    Attributes
    ----------
    in_proj_weight, in_proj_bias, out_proj
        As in :class:`MultiHeadAttention`.

    Notes
    -----
    Katharopoulos et al. 2020, Transformers are RNNs, https://arxiv.org/abs/2006.16236.
    Its weights are flatter than those of softmax: it cannot single out one key as sharply.
    Computes in `dtype`, whatever the input; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import LinearAttention
    >>> layer = LinearAttention(8, 2, rng=0)
    >>> x = np.ones((3, 5, 8), np.float32)
    >>> layer(x, kv_lengths=[5, 4, 2], causal=True).shape
    (3, 5, 8)
    >>> y, backward = layer.forward(x, np.ones((3, 7, 8)))
    >>> dquery, dkey = backward(np.ones_like(y))
    """

    d_model: int
    num_heads: int
    score_kind: ClassVar[str] = "linear"
    in_proj_weight: Own
    in_proj_bias: OptionalOwn

    def __init__(
        self, d_model: int, num_heads: int, *, num_kv_heads: int | None = None,
        kdim: int | None = None, vdim: int | None = None, dropout: float = 0.0, bias: bool = True,
        causal: bool = False, dtype: DTypeLike = np.float32, rng: Rng = None,
    ) -> None:  # fmt: skip
        super().__init__(dtype)
        self.d_model, self.num_heads = size("d_model", d_model), size("num_heads", num_heads)
        if self.d_model % self.num_heads:
            raise ValueError(
                f"num_heads must divide d_model: got d_model={d_model}, num_heads={num_heads}"
            )
        self.num_kv_heads: int = size(
            "num_kv_heads", self.num_heads if num_kv_heads is None else num_kv_heads
        )
        if self.num_heads % self.num_kv_heads:
            raise ValueError(
                "num_kv_heads must divide num_heads: "
                f"got num_heads={num_heads}, num_kv_heads={num_kv_heads}"
            )
        self.depth: int = self.d_model // self.num_heads
        self.kdim: int = self.d_model if kdim is None else size("kdim", kdim)
        self.vdim: int = self.d_model if vdim is None else size("vdim", vdim)
        self.dropout: Dropout = Dropout(probability("dropout", dropout), dtype=dtype)
        self.causal: bool = flag("causal", causal)
        rng = generator(rng)
        make_projections(self, flag("bias", bias), rng)
        self.out_proj: Linear = Linear(d_model, d_model, bias=bias, dtype=dtype, rng=rng)
        if bias:
            self.out_proj.bias = np.zeros(d_model, self.dtype)
        else:
            self.out_proj.weight = kaiming(rng, (d_model, d_model), d_model, self.dtype)

    def compute(
        self,
        mode: Mode,
        query: Any,
        key: Any = None,
        value: Any = None,
        *,
        mask: Any = None,
        bias: Any = None,
        causal: bool | None = None,
        window: Any = None,
        exclude_self: bool = False,
        align: Any = None,
        q_lengths: Any = None,
        kv_lengths: Any = None,
        cache: LinearState | None = None,
        residual: Array | None = None,
        return_weights: bool = False,
    ) -> tuple[Array, Backward]:
        """query (…, Lq, E), key (…, Lk, kdim), value (…, Lk, vdim) → y (…, Lq, E).

        Parameters
        ----------
        key, value : array_like, optional
            Without key: self-attention. Without value: key is the value.
        mask : array_like of bool, optional
            True for keys that count, the same for all queries: (Lk,) or (B, 1, 1, Lk). What hides a
            key from some queries alone is an error; so are bias, window, exclude_self, align and
            return_weights, which are there for the sake of :class:`MultiHeadAttention`'s call.
        causal : bool, optional
            None is the layer's default. Query and key must have the same length then.
        q_lengths, kv_lengths : array_like of int (…), optional
            Numbers of valid rows of query and of key, the first ones.
        cache : LinearState, optional
            Without key: query attends to what is in the state, and to its own keys, which are added
            to it; `kv_lengths` is the number of valid rows. With key: the sums over its rows are
            computed at the first call, and read from the state afterwards. Not in training.
        residual : numpy.ndarray, (…, Lq, E), optional
            Added to y; its gradient is that of y.

        Returns
        -------
        y, backward
            ``backward(dy)`` returns the gradient of query, or of (query, key), or of (query, key,
            value): of the arguments given.
        """
        causal = self.causal if causal is None else flag("causal", causal)
        refuse_options(
            "linear attention has no scores of single pairs", return_weights, exclude_self,
            bias=bias, window=window, align=align,
        )  # fmt: skip
        projections = Projections(self, query, key, value)
        shapes = [array.shape[:-1] for array in projections.inputs]
        _check_lengths(shapes, causal)
        batch = broadcast_batches(("query", "key", "value"), [shape[:-1] for shape in shapes])
        rows = kept_rows("q_lengths", q_lengths, batch, shapes[0][-1])
        kept = kept_keys(mask, kv_lengths, batch, shapes[1][-1])
        taps = taps_of(self)
        if cache is not None:
            if taps:
                raise ValueError(
                    "watch needs keys, which the state of a LinearAttention does not keep"
                )
            heads = self._with_cache(mode, cache, projections, kept, kv_lengths, causal)
            return self.out_proj.compute(mode, joined(_only(rows, heads)), residual)
        q, k, v = projections.project()
        projected, q = q.shape, _only(rows, q)
        if taps:
            call = LinearCall(
                self, q, k, v, {"kept": kept, "rows": rows, "causal": causal},
                training=mode.training, is_self=projections.is_self,
            )  # fmt: skip
            call.seen(taps)
        found = linear_attention(q, k, v, kept=kept, causal=causal)
        heads = _only(rows, found.out)
        dropped, drop = self.dropout.compute(mode, joined(heads))
        y, back_out = self.out_proj.compute(mode, dropped, residual)

        def backward(dy: Any) -> Any:
            dheads = _only(rows, drop(back_out(dy)).reshape(heads.shape))
            for tap in taps:
                tap.see_gradient(call, dheads, None)
            dq, dk, dv = linear_attention_gradients(
                dheads, q, k, v, found, kept=kept, causal=causal
            )
            return projections.backward(summed(dq, projected).astype(q.dtype, copy=False), dk, dv)

        return y, backward

    def _with_cache(
        self, mode: Mode, cache: LinearState, projections: Projections, kept: Kept,
        kv_lengths: Any, causal: bool,
    ) -> Array:  # fmt: skip
        """The heads (B, Lq, H, D) of a call with a state, which is updated."""
        if not isinstance(cache, LinearState):
            raise TypeError(f"cache must be a LinearState: got {named(cache)}")
        if mode.training:
            raise ValueError("cache is for inference: it has no gradients")
        shape, lengths, before = projections.inputs[0].shape, cache.lengths, cache.sums
        if len(shape) != 3 or (before is not None and shape[0] != len(lengths)):
            items = "B" if before is None else len(lengths)
            raise ValueError(
                f"query must have shape ({items}, L, {self.d_model}) with this cache: got {shape}"
            )
        if causal and not projections.is_self:
            raise ValueError("causal must be False with a cache of another sequence: got True")
        own = (self.num_kv_heads, self.depth, self.depth)
        if before is not None and before.values.shape[1:] != own:
            raise ValueError(f"cache must be of {own[0]} heads of depth {own[1]}: got {cache!r}")
        if not projections.is_self and before is not None:
            nothing = np.zeros((shape[0], 0, *own[:2]), self.dtype)
            q = projections.project_query()
            return linear_attention(q, nothing, nothing, kept=None, causal=False, before=before).out
        q, k, v = projections.project()
        found = linear_attention(q, k, v, kept=kept, causal=causal, before=before, adds=True)
        counts = np.full(shape[0], k.shape[1]) if kv_lengths is None else np.asarray(kv_lengths)
        assert found.added is not None
        cache.add(found.added, counts)
        return found.out

    def new_cache(self, capacity: int | None = None) -> LinearState:
        """An empty state; its size does not depend on the number of tokens, nor on `capacity`."""
        return LinearState()

    def extra_repr(self) -> str:
        shown = f"{self.d_model}, {self.num_heads}"
        if self.num_kv_heads != self.num_heads:
            shown += f", num_kv_heads={self.num_kv_heads}"
        for name, width in (("kdim", self.kdim), ("vdim", self.vdim)):
            shown += "" if width == self.d_model else f", {name}={width}"
        return shown + (", causal=True" if self.causal else "")


def _check_lengths(shapes: list[tuple[int, ...]], causal: bool) -> None:
    query, key, value = (shape[-1] for shape in shapes)
    if value != key:
        raise ValueError(
            f"value and key must have the same length: key has {key}, value has {value}"
        )
    if causal and query != key:
        raise ValueError(
            "causal must be False where query and key differ in length: "
            f"query has {query} rows, key has {key}"
        )


def _only(rows: Kept, heads: Array) -> Array:
    """Heads (…, L, H, D), 0 in rows that are not valid."""
    if rows is None:
        return heads
    return np.where(rows[..., None, None], heads, heads.dtype.type(0))
