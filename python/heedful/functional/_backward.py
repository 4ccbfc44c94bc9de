"""One checked call run backward: gradients in the shapes and types of the inputs.

With P the weights before dropout, Z dropout's factors and T the type that is computed in:

    delta  = Σ_d dout ∘ out − dlse + Σ_j weights ∘ dweights
    dscore = P ∘ (Z ∘ (dout valueᵀ + dweights) − delta)
    dsink  = −Σ exp(sink − lse) · delta
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from heedful._core import native
from heedful._threads import resolve
from heedful.functional._call import Call
from heedful.functional._dtypes import Array, DType, cast_like, computing_type, gradient_type
from heedful.functional._forward import Forward
from heedful.functional._results import allocate, allocate_rows
from heedful.functional._shapes import summed


class Gradients(NamedTuple):
    """One gradient for each input that was given, of its shape and type; None for the others."""

    query: Array
    key: Array
    value: Array
    bias: Array | None
    sink: Array | None


@np.errstate(invalid="ignore", over="ignore")  # inf and NaN are passed on without a word
def backward(
    call: Call,
    dout: Any,
    out: Array,
    lse: Array,
    dlse: Any = None,
    weights: Array | None = None,
    dweights: Any = None,
) -> Gradients:
    """`out` and `lse` in "bhld" order; dout, dlse and dweights as the caller sees them."""
    axes, layout = call.axes, call.axes.layout
    batch, heads, dtype = axes.batch, axes.heads, computing_type(call.dtype)
    dout = layout.inward(cast_like("dout", dout, axes.out, call.dtype))
    row_term = None
    if dlse is not None:
        dlse = cast_like("dlse", dlse, axes.rows[layout.missing :], dtype).reshape(axes.rows)
        row_term = np.where(lse == -math.inf, dtype.type(0), dlse)
    if dweights is not None:
        assert weights is not None
        dweights = cast_like("dweights", dweights, axes.scores[layout.missing :], dtype)
        dweights, pull = _pull_of_weights(weights, dweights.reshape(axes.scores))
        row_term = -pull if row_term is None else row_term - pull
    dquery = allocate_rows("dquery", layout, batch, heads, axes.query_length, axes.depth, dtype)
    dkey = allocate_rows("dkey", layout, batch, axes.kv_heads, axes.key_length, axes.depth, dtype)
    dvalue = allocate_rows(
        "dvalue", layout, batch, axes.kv_heads, axes.key_length, axes.value_depth, dtype
    )
    dbias = _allocate_dbias(call, dtype)
    delta = allocate("delta", axes.rows, dtype, 0)
    native.attention_backward(
        dout, call.query, call.key, call.value, out, lse, row_term, dweights,
        delta, dquery, dkey, dvalue, dbias,
        *call.rules, call.dropout_p, call.seed, resolve(),
    )  # fmt: skip
    query, key, value, bias, sink = call.given
    return Gradients(
        _like_input(call, dquery, call.query, query),
        _like_input(call, dkey, call.key, key),
        _like_input(call, dvalue, call.value, value),
        _like_bias(dbias, bias),
        _sink_gradient(call, lse, delta, sink),
    )


def _pull_of_weights(weights: Array, dweights: Array) -> tuple[Array, Array]:
    """Σ_j weights ∘ dweights, and dweights fit to be multiplied by weights that are 0."""
    pull = np.einsum("...j,...j->...", weights, dweights)
    if not np.isfinite(pull).all():  # 0 · inf, as from the logarithm of a weight: it must not count
        dweights = np.where(weights == 0, dweights.dtype.type(0), dweights)
        pull = np.einsum("...j,...j->...", weights, dweights)
    return dweights, pull


def _allocate_dbias(call: Call, dtype: DType) -> Array | None:
    """The smallest array that the compiled function can add the scores' gradient into."""
    bias, axes = call.rules.bias, call.axes
    if bias is None:
        return None
    rows, keys = axes.query_length, axes.key_length
    if bias.shape[-2:] == (rows, keys) and rows != 1 and keys != 1:
        leading = (1,) * (len(axes.scores) - bias.ndim) + bias.shape[:-2]
        shape = (*leading, rows, keys)
    elif bias.shape[-1] == 1:
        shape = (*axes.rows, 1)
    else:
        shape = (*axes.batch, axes.heads, 1, keys)
    return allocate("dbias", shape, dtype, 0)


def _like_input(call: Call, gradient: Array, view: Array, given: Array) -> Array:
    total = call.axes.layout.like(summed(gradient, view.shape), given)
    return total.astype(gradient_type(given.dtype), copy=False)


def _like_bias(gradient: Array | None, given: Array | None) -> Array | None:
    if gradient is None or given is None:
        return None
    total = summed(gradient, (1,) * (gradient.ndim - given.ndim) + given.shape)
    return total.reshape(given.shape).astype(gradient_type(given.dtype), copy=False)


def _sink_gradient(call: Call, lse: Array, delta: Array, given: Array | None) -> Array | None:
    if call.sink is None or given is None:
        return None
    exists = lse != -math.inf  # rows past q_lengths have no sink either
    pull = np.zeros(lse.shape)
    np.exp(call.sink[:, np.newaxis] - lse, out=pull, where=exists)
    np.multiply(pull, delta, out=pull, where=exists)
    dsink: Array = 0.0 - pull.sum(axis=(*range(pull.ndim - 2), -1))
    return dsink.astype(gradient_type(given.dtype), copy=False)


def pullback_of(call: Call, forward: Forward) -> Callable[..., Gradients]:
    """The function that a forward call leaves behind; it may be called more than once."""
    out, lse, weights = forward.out, forward.lse, forward.weights
    query, key, value, bias, sink = call.given
    given = (
        _stand_in(query),
        _stand_in(key),
        _stand_in(value),
        None if bias is None else _stand_in(bias),
        None if sink is None else _stand_in(sink),
    )
    call = call._replace(given=given)

    def pullback(dout: Any, dlse: Any = None, dweights: Any = None) -> Gradients:
        """Gradients of the inputs, from those of out and of what was returned beside it."""
        if dweights is not None and weights is None:
            raise ValueError("dweights must be None: the call had no return_weights=True")
        return backward(call, dout, out, lse, dlse, weights, dweights)

    return pullback


def _stand_in(array: Array) -> Array:
    """Shape and type of an array that was converted, without keeping its memory."""
    return np.broadcast_to(np.empty((), array.dtype), array.shape)
