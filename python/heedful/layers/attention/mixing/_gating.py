"""SpatialGating: a linear map over the positions, whose result multiplies the features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from heedful._checks import flag, named, probability, size
from heedful.base._mode import Mode
from heedful.base._parameter import Parameter
from heedful.base._types import Array, Backward, Rng, generator
from heedful.functional import KVCache
from heedful.layers._typed import Typed
from heedful.layers.attention.mixing._call import MixingCall, check_length
from heedful.layers.attention.mixing._columns import columns, spread, spread_back, spread_gradients
from heedful.layers.blocks._dropout import Dropout
from heedful.layers.blocks._initial import uniform
from heedful.layers.blocks._linear import Linear
from heedful.layers.blocks._norm import LayerNorm

if TYPE_CHECKING:
    from heedful.base._parameter_types import Own


class SpatialGating(Typed):
    """gMLP's spatial gating unit between two dense layers.

    ::

        u, v = activation(x Uᵀ + c)                     two halves
        gate[i] = Σ_j W[i, j] norm(v[j]) + b[i]         over all positions j, causal: over j ≤ i
        y = (u ∘ gate) Oᵀ + o

    with one learned number W[i, j] for each pair of positions, whatever is there.

    Parameters
    ----------
    d_model : int
        Width E of x.
    max_length : int
        Maximum number of positions; W is (max_length, max_length), of which a shorter sequence uses
        the first rows and columns.
    hidden : int, optional
        Width of u and of v; None is E.
    dropout : float, default 0
        Of u ∘ gate, in training.
    bias : bool, default True
        Whether there are c and o; b is always there.
    causal : bool, default False
        Default of calls: the lower triangle of W alone.
    activation : str, default "gelu"
        See :class:`Linear`.
    dtype : {float32, float64}
    rng : None, int or numpy.random.Generator

    Attributes
    ----------
    in_proj, out_proj : Linear
        U and O.
    norm : LayerNorm
    spatial_weight : numpy.ndarray, (max_length, max_length)
        W, nearly 0 at first.
    spatial_bias : numpy.ndarray, (max_length,)
        b, 1 at first: the unit begins as a feed-forward block.

    Notes
    -----
    Liu et al. 2021, Pay Attention to MLPs, https://arxiv.org/abs/2105.08050, where the unit takes
    the place of both attention and feed-forward block; here that of attention.
    Computes in `dtype`, whatever the input; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import SpatialGating
    >>> layer = SpatialGating(4, max_length=16, causal=True, rng=0)
    >>> layer(np.ones((2, 5, 4))).shape
    (2, 5, 4)
    """

    d_model: int
    max_length: int
    spatial_weight: Own
    spatial_bias: Own

    def __init__(
        self, d_model: int, max_length: int, *, hidden: int | None = None, dropout: float = 0.0,
        bias: bool = True, causal: bool = False, activation: str = "gelu",
        dtype: DTypeLike = np.float32, rng: Rng = None,
    ) -> None:  # fmt: skip
        super().__init__(dtype)
        rng = generator(rng)
        self.d_model, self.max_length = size("d_model", d_model), size("max_length", max_length)
        self.hidden: int = self.d_model if hidden is None else size("hidden", hidden)
        self.causal: bool = flag("causal", causal)
        self.in_proj: Linear = Linear(
            self.d_model, 2 * self.hidden, flag("bias", bias), activation=activation, dtype=dtype,
            rng=rng,
        )  # fmt: skip
        self.norm: LayerNorm = LayerNorm(self.hidden, dtype=dtype)
        square = (self.max_length, self.max_length)
        self.spatial_weight = Parameter(uniform(rng, square, 1e-3 / self.max_length, self.dtype))
        self.spatial_bias = Parameter(np.ones(self.max_length, self.dtype))
        self.dropout: Dropout = Dropout(probability("dropout", dropout), dtype=dtype)
        self.out_proj: Linear = Linear(self.hidden, self.d_model, bias, dtype=dtype, rng=rng)

    @np.errstate(all="ignore")
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
        cache: KVCache | None = None,
        residual: Array | None = None,
        return_weights: bool = False,
    ) -> tuple[Array, Backward]:
        """query (…, L, E) → y, of the same shape, with L up to max_length.

        Parameters
        ----------
        key, value : array_like, optional
            query itself, for the sake of :class:`MultiHeadAttention`'s call; another sequence is an
            error. So are bias, window, exclude_self, align and return_weights.
        mask : array_like of bool, (L,) or (B, 1, 1, L), optional
            True for positions that count; the others add nothing to the gates.
        causal : bool, optional
            None is the layer's default.
        kv_lengths : array_like of int (…), optional
            Number of positions that count, the first ones.
        q_lengths : array_like of int (…), optional
            Number of rows of y that exist: u ∘ gate is 0 in those after them.
        cache : KVCache, optional
            The rows norm(v) of earlier positions, to which those of query are appended;
            `kv_lengths` is the number of valid ones. Causal, and not in training.
        residual : numpy.ndarray, (…, L, E), optional
            Added to y; its gradient is that of y.

        Returns
        -------
        y, backward
            ``backward(dy)`` returns the gradient of query; with key and value, zeros for these.
        """
        x = self.array("query", query, self.d_model)
        causal = self.causal if causal is None else flag("causal", causal)
        call = MixingCall.of(
            "spatial gating", x, query, key, value, mask=mask, bias=bias, window=window,
            exclude_self=exclude_self, align=align, q_lengths=q_lengths, kv_lengths=kv_lengths,
            return_weights=return_weights,
        )  # fmt: skip
        check_length(x, self.max_length)
        both, back_in = self.in_proj.compute(mode, x)
        u, v = both[..., : self.hidden], both[..., self.hidden :]
        normed, back_norm = self.norm.compute(mode, v)
        rows = call.counted(normed)
        if cache is not None:
            gate = self._with_cache(mode, cache, rows, kv_lengths, causal)
            return self.out_proj.compute(mode, call.existing(u * gate), residual)
        length = x.shape[-2]
        weight = self.spatial_weight[:length, :length]
        weight = np.tril(weight) if causal else weight
        by_feature = columns(rows)
        gate = spread(by_feature, weight, self.spatial_bias[:length], causal).swapaxes(-1, -2)
        product = call.existing(np.multiply(u, gate, order="C"))
        product, drop = self.dropout.compute(mode, product)
        y, back_out = self.out_proj.compute(mode, product, residual)

        @np.errstate(all="ignore")
        def backward(dy: Any) -> Any:
            dproduct = call.existing(drop(back_out(dy)))
            dgate = columns(dproduct * u)
            dweight, dbias = (
                self.parameter(f"spatial_{name}").buffer() for name in ("weight", "bias")
            )
            spread_gradients(
                dgate, by_feature,
                None if dweight is None else dweight[:length, :length],
                None if dbias is None else dbias[:length],
                causal,
            )  # fmt: skip
            drows = spread_back(dgate, weight, causal).swapaxes(-1, -2)
            dboth = np.empty(both.shape, self.dtype)
            dboth[..., : self.hidden] = dproduct * gate
            dboth[..., self.hidden :] = back_norm(np.ascontiguousarray(call.counted(drows)))
            return call.gradients(back_in(dboth))

        return y, backward

    def _with_cache(
        self, mode: Mode, cache: KVCache, rows: Array, kv_lengths: Any, causal: bool
    ) -> Array:
        """The gates (B, L, hidden) of rows that follow those in the cache, which gets them."""
        if not isinstance(cache, KVCache):
            raise TypeError(f"cache must be a KVCache: got {named(cache)}")
        if mode.training:
            raise ValueError("cache is for inference: it has no gradients")
        if not causal:
            raise ValueError("cache needs causal=True: got False")
        lengths = cache.lengths
        if rows.ndim != 3 or (len(lengths) and len(rows) != len(lengths)):
            items = len(lengths) or "B"
            raise ValueError(
                f"query must have shape ({items}, L, {self.d_model}) with this cache: "
                f"got {(*rows.shape[:-1], self.d_model)}"
            )
        # a cache of one head, without values
        before = cache.append(rows[:, None], rows[:, None, :, :0], kv_lengths)
        if cache.lengths.max(initial=0) > self.max_length:
            raise ValueError(
                f"query must have at most max_length={self.max_length} positions with those in the "
                f"cache: got {cache.lengths.max()}"
            )
        positions = before[:, None] + np.arange(rows.shape[1])  # (B, L)
        positions = np.minimum(positions, self.max_length - 1)  # of rows that are not valid
        seen = cache.key[:, 0].astype(self.dtype, copy=False)  # (B, all rows, hidden)
        weight = self.spatial_weight[positions, : seen.shape[1]]
        visible = np.arange(seen.shape[1]) <= positions[..., None]
        weight = np.where(visible, weight, weight.dtype.type(0))
        # not by BLAS, whose threads would disturb those of heedful
        gate: Array = np.einsum("blt,btf->blf", weight, seen)
        gate += self.spatial_bias[positions, None]
        return gate

    def new_cache(self, capacity: int | None = None) -> KVCache:
        """An empty cache for the rows of earlier positions."""
        return KVCache(capacity)

    def extra_repr(self) -> str:
        shown = f"{self.d_model}, max_length={self.max_length}"
        shown += "" if self.hidden == self.d_model else f", hidden={self.hidden}"
        return shown + (", causal=True" if self.causal else "")
