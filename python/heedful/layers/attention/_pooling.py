"""AttentionPooling: one vector for a sequence, by attention of a learned query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike

from heedful._checks import as_array, finite, size
from heedful.base._argument_names import argument_names
from heedful.base._mode import Mode
from heedful.base._parameter import Parameter
from heedful.base._taps import taps_of, with_query_key_gradients
from heedful.base._types import Array, Backward, Rng, generator
from heedful.functional import attention, attention_vjp
from heedful.layers._typed import Typed
from heedful.layers.attention._attention_call import AttentionCall
from heedful.layers.attention._masks import mask_or_bias
from heedful.layers.blocks._initial import normal
from heedful.layers.blocks._linear import Linear

if TYPE_CHECKING:
    from heedful.base._parameter_types import Own


class AttentionPooling(Typed):
    """y = Σ_i a_i x_i with a = softmax(score(x)).

    ::

        hidden=None:  score_i = scale · query · x_i
        hidden=N:     score_i = scale · query · tanh(W x_i + b)

    Parameters
    ----------
    d_model : int
        E, the width of x.
    hidden : int, optional
        Width of a tanh layer that the scores are computed from.
    num_queries : int, default 1
        Number of vectors for a sequence, each with a query of its own.
    scale : float, optional
        None is 1 / √E without `hidden`, and 1 with it.
    dtype : {float32, float64}
    rng : None, int or numpy.random.Generator

    Notes
    -----
    Bahdanau et al. 2014, https://arxiv.org/abs/1409.0473; with a learned query: Yang et al. 2016,
    Hierarchical Attention Networks.
    Computes in `dtype`, whatever the input; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import AttentionPooling
    >>> layer = AttentionPooling(4, rng=0)
    >>> y, weights = layer(np.ones((2, 3, 4)), lengths=[3, 1], return_weights=True)
    >>> y.shape, weights[1]
    ((2, 4), array([1., 0., 0.], dtype=float32))
    """

    score_kind: ClassVar[str] = "pooling"
    _weights_type: Array  # type: ignore[assignment] # its own, and no list
    query: Own

    def __init__(
        self, d_model: int, hidden: int | None = None, num_queries: int = 1, *,
        scale: float | None = None, dtype: DTypeLike = np.float32, rng: Rng = None,
    ) -> None:  # fmt: skip
        super().__init__(dtype)
        rng = generator(rng)
        self.d_model: int = size("d_model", d_model)
        self.num_queries: int = size("num_queries", num_queries)
        self.scale: float | None = None if scale is None else finite("scale", scale)
        self.linear: Linear | None = None
        if hidden is not None:
            hidden = size("hidden", hidden)
            self.linear = Linear(d_model, hidden, activation="tanh", dtype=dtype, rng=rng)
        shape = (self.num_queries, d_model if hidden is None else hidden)
        self.query = Parameter(normal(rng, shape, shape[1] ** -0.5, self.dtype))

    def compute(
        self, mode: Mode, x: Any, *, mask: Any = None, lengths: Any = None,
        return_weights: bool = False,
    ) -> tuple[Array, Backward]:  # fmt: skip
        """x (…, L, E) → y (…, E), or (…, num_queries, E) for several.

        Parameters
        ----------
        mask : array_like, (…, L), optional
            Boolean, True for valid positions, or floating: added to the scores.
        lengths : array_like of int (…), optional
            Number of valid positions of each sequence, the first ones.
        return_weights : bool, default False
            Return (y, weights) with weights (…, L) or (…, num_queries, L);
            ``backward(dy, dweights)`` takes a gradient of both.
        """
        x = self.array("x", x, self.d_model)
        if x.ndim < 2:
            raise ValueError(f"x must have positions and features as axes: got shape {x.shape}")
        if mask is not None:
            mask = as_array("mask", mask)
            if mask.shape != x.shape[:-1]:
                raise ValueError(f"mask must have shape {x.shape[:-1]}: got {mask.shape}")
            mask = np.expand_dims(mask, (-2, -3))
        key, back_linear = x, None
        if self.linear is not None:
            key, back_linear = self.linear.compute(mode, x)
        options: dict[str, Any] = {
            "kv_lengths": lengths, "return_weights": return_weights,
            "scale": 1.0 if self.scale is None and self.linear is not None else self.scale,
            **mask_or_bias(mask),
        }  # fmt: skip
        one_head = np.expand_dims(x, -3)
        arrays = self.query, np.expand_dims(key, -3), one_head
        pullback = None
        taps = taps_of(self)
        if taps:
            queries = np.broadcast_to(self.query, (*x.shape[:-2], *self.query.shape))
            q, k, v = (array[..., None, :] for array in (queries, key, x))  # (…, L, 1, E)
            call = AttentionCall(self, q, k, v, options, training=mode.training, is_self=False)
            options |= call.steered(taps)
            call.seen(taps)
        with argument_names(kv_lengths="lengths"):
            if mode.training:
                out, pullback = attention_vjp(*arrays, **options)
            else:
                out = attention(*arrays, **options)
        pooled, *weights = out if return_weights else (out,)
        y = self._squeezed(pooled, x)

        def backward(dy: Any, dweights: Any = None) -> Array:
            assert pullback is not None
            dy = self.gradient(dy, y.shape).reshape(pooled.shape)
            if dweights is not None:
                dweights = self.array("dweights", dweights).reshape(weights[0].shape)
            gradients = pullback(dy, dweights=dweights)
            for tap in taps:
                tap.see_gradient(call, dy.swapaxes(-2, -3), gradients.bias)
            dquery, dkey = gradients.query, gradients.key.reshape(key.shape)
            if taps:  # which know a query for each item
                rows = np.zeros((*x.shape[:-2], *self.query.shape), dquery.dtype)
                added = with_query_key_gradients(
                    taps, call, rows[..., None, :], np.expand_dims(dkey, -2)
                )
                dquery = dquery + added[0].reshape(-1, *self.query.shape).sum(0)
                dkey = added[1].reshape(key.shape)
            self.add_gradient("query", dquery)
            if back_linear is not None:
                dkey = back_linear(dkey)
            dx: Array = gradients.value.reshape(x.shape) + dkey
            return dx

        result: Any = (y, self._squeezed(weights[0], x)) if weights else y
        return result, backward

    def _squeezed(self, array: Array, x: Array) -> Array:
        """(…, 1, num_queries, N) without the axes of length 1."""
        rows = () if self.num_queries == 1 else (self.num_queries,)
        return array.reshape(*x.shape[:-2], *rows, array.shape[-1])

    def extra_repr(self) -> str:
        return f"{self.d_model}" + ("" if self.num_queries == 1 else f", {self.num_queries}")
