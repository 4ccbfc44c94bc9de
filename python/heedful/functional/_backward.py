"""One checked call run backward: gradients in the shapes and types of the inputs.

With P the weights before dropout, Z dropout's factors and T the type that is computed in:

    delta  = Σ_d dout ∘ out − dlse + Σ_j weights ∘ dweights
    dscore = P ∘ (Z ∘ (dout valueᵀ + dweights) − delta)
    dsink  = −Σ exp(sink − lse) · delta

With a gumbel_temperature τ, these are the gradients of the scores that enter the softmax, which
are multiplied by 1 / τ, and the sink among them is sink / τ.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np

from heedful._checks import flag
from heedful._core import native
from heedful.functional._call import Call
from heedful.functional._dtypes import Array, cast_like, rounded
from heedful.functional._forward import (
    Forward,
    allocate_weights,
    kept_keys,
    outward_weights,
    run_weights,
)
from heedful.functional._overflow import SHRINK, all_finite, may_overflow, recompute
from heedful.functional._plan import Plan, Target
from heedful.functional._results import allocate
from heedful.functional._shapes import summed

Found = TypeVar("Found")


class Gradients(NamedTuple):
    """One gradient for each input that was given, of its shape and type; None for the others."""

    query: Array
    key: Array
    value: Array
    bias: Array | None
    sink: Array | None

    def __repr__(self) -> str:
        from heedful.functional._shown import arrays_shown  # only now: for people alone

        return arrays_shown("Gradients", self._asdict())


class AdditiveGradients(NamedTuple):
    """Those of additive attention; weight is the score vector."""

    query: Array
    key: Array
    value: Array
    weight: Array
    bias: Array | None
    sink: Array | None

    def __repr__(self) -> str:
        from heedful.functional._shown import arrays_shown  # only now: for people alone

        return arrays_shown("AdditiveGradients", self._asdict())


def backward(
    call: Call,
    dout: Any,
    out: Array,
    lse: Array,
    dlse: Any = None,
    weights: Array | None = None,
    dweights: Any = None,
    compute: Callable[..., bool] = native.attention_backward,
    rounds: bool = True,
    kept: Array | None = None,
    bias_gradient: bool = True,
) -> Gradients:
    """dout, dlse and dweights as the caller sees them; lse and weights with all axes.

    out is in its own type or, for 16-bit inputs, better in the one that is computed in. Without
    `rounds` the gradients of query, key and value are returned unrounded, to be added to others.
    With top_k, `kept` are the keys that the forward call kept, if they are known.
    """
    plan, row_term = call.plan, None
    if plan.top_k:
        kept = kept_keys(call) if kept is None else kept
        compute = partial(native.top_k_backward, kept)
    axes, dtype = plan.axes, plan.computing
    dout = cast_like("dout", dout, axes.out, plan.dtype)
    if dlse is not None or dweights is not None:
        row_term, dweights = _row_term(call, lse, dlse, weights, dweights)
    to_query, to_key, to_value = plan.gradients
    dquery = allocate("dquery", to_query.shape, dtype, 0)
    dkey = allocate("dkey", to_key.shape, dtype, 0)
    dvalue = allocate("dvalue", to_value.shape, dtype, 0)
    dbias = _allocate_dbias(call, call.bias) if bias_gradient and call.bias is not None else None
    delta = allocate("delta", axes.rows, dtype, 0)
    growth, sums = 1.0, (delta, dquery, dkey, dvalue, dbias)
    if compute(
        dout, call.query, call.key, call.value, out, lse, row_term, dweights,
        delta, dquery, dkey, dvalue, dbias, *call.shared, *call.random,
    ) and not all_finite(sums) and may_overflow(dout, row_term, dweights):  # fmt: skip

        def again(dout: Any, row_term: Any, dweights: Any, *sums: Any) -> None:
            compute(
                dout, call.query, call.key, call.value, out, lse, row_term, dweights, *sums,
                *call.shared, *call.random,
            )  # fmt: skip

        delta, growth = recompute(again, (dout, row_term, dweights), sums), 1 / SHRINK
    return Gradients(
        dquery if to_query.finished else _like_input(dquery, to_query, rounds),
        dkey if to_key.finished else _like_input(dkey, to_key, rounds),
        dvalue if to_value.finished else _like_input(dvalue, to_value, rounds),
        None if dbias is None else _like_bias(dbias, plan, call.score_slope),
        None if call.sink is None else _sink_gradient(call, call.sink, lse, delta, growth),
    )


@np.errstate(all="ignore")  # inf and NaN are passed on without a warning
def _row_term(
    call: Call, lse: Array, dlse: Any, weights: Array | None, dweights: Any
) -> tuple[Array | None, Array | None]:
    """dlse − Σ_j weights ∘ dweights, and dweights converted."""
    axes, dtype = call.plan.axes, call.plan.computing
    missing, row_term = axes.layout.missing, None
    if dlse is not None:
        dlse = cast_like("dlse", dlse, axes.rows[missing:], dtype).reshape(axes.rows)
        row_term = np.where(lse == -math.inf, dtype.type(0), dlse)
    if dweights is not None:
        assert weights is not None
        dweights = cast_like("dweights", dweights, axes.scores[missing:], dtype)
        dweights, sums = _weights_row_term(weights, dweights.reshape(axes.scores))
        row_term = -sums if row_term is None else row_term - sums
    return row_term, dweights


def _weights_row_term(weights: Array, dweights: Array) -> tuple[Array, Array]:
    """Σ_j weights ∘ dweights, and dweights that can be multiplied by weights of 0."""
    sums = _row_sums(weights, dweights)
    if not np.isfinite(sums).all():  # 0 · inf, as from the logarithm of a weight: counts as 0
        dweights = np.where(weights == 0, dweights.dtype.type(0), dweights)
        sums = _row_sums(weights, dweights)
    return dweights, sums


def _row_sums(one: Array, other: Array) -> Array:
    """Σ_j one ∘ other, in float64: einsum adds sequentially, and there may be many keys."""
    sums: Array = np.einsum("...j,...j->...", one, other, dtype=np.float64)
    return sums.astype(one.dtype, copy=False)


def _allocate_dbias(call: Call, bias: Array) -> Array:
    """The smallest array that the compiled function can add the scores' gradient into."""
    axes = call.plan.axes
    own = (1,) * (3 - bias.ndim) + bias.shape
    rows, keys = axes.query_length, axes.key_length
    if own[-2:] == (rows, keys) and rows != 1 and keys != 1:
        shape = (1,) * (len(axes.scores) - len(own)) + own
    elif own[-1] == 1:
        shape = (*axes.rows, 1)
    else:
        shape = (*axes.batch, axes.heads, 1, keys)
    return allocate("dbias", shape, call.plan.computing, 0)


@np.errstate(all="ignore")
def _like_input(gradient: Array, target: Target, rounds: bool) -> Array:
    total = summed(gradient, target.repeated).reshape(target.given)
    return rounded(total, target.dtype) if rounds else total


@np.errstate(all="ignore")
def _like_bias(gradient: Array, plan: Plan, slope: float) -> Array:
    assert plan.bias is not None
    shape, dtype = plan.bias
    total = summed(gradient, (1,) * (gradient.ndim - len(shape)) + shape)
    if slope != 1:
        total = total * gradient.dtype.type(slope)
    return rounded(total.reshape(shape), dtype)


@np.errstate(all="ignore")
def _sink_gradient(call: Call, sink: Array, lse: Array, delta: Array, growth: float) -> Array:
    exists = lse != -math.inf  # rows past q_lengths have no sink either
    terms = np.zeros(lse.shape)
    # in the type in which it was read; no weight is above 1, whatever lse was rounded to
    logits = sink.astype(lse.dtype)[:, np.newaxis] * lse.dtype.type(call.score_slope)
    np.exp(np.minimum(logits - lse, 0), out=terms, where=exists)
    np.multiply(terms, delta, out=terms, where=exists)
    dsink: Array = 0.0 - terms.sum(axis=(*range(terms.ndim - 2), -1))
    return (dsink * growth * call.score_slope).astype(call.plan.sink_type, copy=False)


def _of_each_head(call: Call, lse: Array, weights: Array, dweights: Any) -> tuple[Array, Array]:
    """The weights of each head, computed again, and their gradients, from that of the mean."""
    axes, dtype = call.plan.axes, call.plan.computing
    shape = outward_weights(call, weights, averaged=True).shape
    dweights = cast_like("dweights", dweights, shape, dtype).reshape(weights.shape)
    each = allocate_weights(call, average_heads=False)
    run_weights(call, lse, each)
    of_head = dweights[..., None, :, :] / dtype.type(axes.heads)
    given = axes.scores[axes.layout.missing :]
    return each, np.broadcast_to(of_head, axes.scores).reshape(given)


def pullback_of(call: Call, forward: Forward, run: Callable[..., Found]) -> Callable[..., Found]:
    """The pullback of a forward call; it may be called more than once.

    It returns what `run`, called like :func:`backward`, returns.
    """
    _, lse, weights, out, averaged, kept, _ = forward
    if kept is not None:
        run = partial(run, kept=kept)
    call = Call._make((*call[:-1], None))  # the originals of converted inputs are not kept

    def pullback(
        dout: Any, dlse: Any = None, dweights: Any = None, bias_gradient: bool = True
    ) -> Found:
        """Gradients of the inputs, from those of out and of the other results."""
        bias_gradient = flag("bias_gradient", bias_gradient)
        if dweights is not None and weights is None:
            raise ValueError("dweights must be None: the call had no return_weights=True")
        own = weights
        if dweights is not None and weights is not None and averaged:
            own, dweights = _of_each_head(call, lse, weights, dweights)
        return run(call, dout, out, lse, dlse, own, dweights, bias_gradient=bias_gradient)

    return pullback
