"""One checked call run forward: result arrays, compiled functions, return values."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from heedful._checks import flag
from heedful._core import native
from heedful.functional._call import Call
from heedful.functional._dropped_blocks import DroppedCount
from heedful.functional._dtypes import Array, round_into
from heedful.functional._normalizer import Normalizer
from heedful.functional._results import (
    allocate,
    allocate_kept,
    allocate_lse,
    allocate_out,
    check_out,
)


class Compiled(NamedTuple):
    """The compiled functions of one kind of scores."""

    forward: Callable[..., None]
    weights: Callable[..., None]
    both: Callable[..., None]


DOT = Compiled(native.attention_forward, native.attention_weights, native.attention_with_weights)


class Forward(NamedTuple):
    out: Array  # as the caller sees it
    lse: Array  # (*batch, H, Lq)
    weights: Array | None  # (*batch, H, Lq, Lk), or (*batch, Lq, Lk) averaged over the heads
    unrounded: Array  # out in the type computed in; out itself where that is its type
    averaged: bool = False  # whether the weights are
    kept: Array | None = None  # int32 (*batch, H, Lq, top_k), if needed again
    # with entmax lse are the thresholds (*batch, H, Lq, 2), and gradients need these, in the shape
    # of out and T: means of the values by the slopes of the weights, and the derivative of out by
    # α, if it has a gradient
    sparse: tuple[Array, Array | None] | None = None


def run(
    call: Call,
    out: Array,
    lse: Array | None,
    compute: Callable[..., None] = native.attention_forward,
    kept: Array | None = None,
    sparse: tuple[Array | None, Array | None] = (None, None),
) -> None:
    if call.normalizer is not None:
        compute = partial(native.entmax_forward, call.normalizer.alphas, *sparse)
    if call.plan.top_k:
        compute = partial(native.top_k_forward, call.plan.top_k, kept)
    (
        query, key, value, geometry, items, scale, softcap, mask, bias, block_mask,
        alibi_slopes, sink, dropout_p, seed, key_dropout_p, gumbel_temperature, _, _, _,
    ) = call  # fmt: skip
    compute(
        query, key, value, out, lse, geometry, items, scale, softcap, mask, bias, block_mask,
        alibi_slopes, sink, dropout_p, seed, key_dropout_p, gumbel_temperature,
    )  # fmt: skip


def run_weights(
    call: Call,
    lse: Array,
    weights: Array,
    rows: Array | None = None,
    average_heads: bool = False,
    compute: Callable[..., None] = native.attention_weights,
) -> None:
    if call.normalizer is not None:
        compute = partial(native.entmax_weights, call.normalizer.alphas)
    if call.plan.top_k:
        compute = partial(native.top_k_weights, call.plan.top_k)
    compute(
        call.query, call.key, lse, weights, rows, average_heads,
        *call.shared, *call.random,
    )  # fmt: skip


def forward_alone(call: Call, out: Any) -> Array:
    """The output alone."""
    result = allocate_out(call) if out is None else check_out(out, call)
    run(call, result, None)
    return result


def forward(
    call: Call,
    out: Any,
    with_weights: bool,
    average_heads: bool = False,
    compiled: Compiled = DOT,
) -> Forward:
    """Output and log-sum-exp, and the weights if requested."""
    out = allocate_out(call) if out is None else check_out(out, call)
    result = _allocate_results(call, out, with_weights, average_heads)
    _compute(call, out, result, compiled)
    return result


def forward_for_gradients(
    call: Call,
    out: Any,
    with_weights: bool,
    average_heads: bool = False,
    compiled: Compiled = DOT,
) -> Forward:
    """The same results, and `unrounded`, from which the gradients of 16-bit inputs are computed.

    Delta, Σ dout ∘ out, is the mean that is subtracted to form the gradients of the scores. Where
    the values have a common offset these are small differences from it, which would be lost if out
    were rounded to 16 bits.
    """
    out = allocate_out(call) if out is None else check_out(out, call)
    result = _allocate_results(call, out, with_weights, average_heads)
    if call.normalizer is not None:
        result = result._replace(sparse=_allocate_sparse(call, call.normalizer))
        _compute(call, out, result, compiled)
        return result
    if call.plan.top_k:
        result = result._replace(kept=allocate_kept(call))
    if out.dtype == call.plan.computing:
        _compute(call, out, result, compiled)
    else:
        unrounded = allocate_out(call, call.plan.computing)
        result = result._replace(unrounded=unrounded)
        _compute(call, unrounded, result, compiled)
        round_into(out, unrounded)
    return result


def _compute(call: Call, out: Array, result: Forward, compiled: Compiled) -> None:
    weights, averaged = result.weights, result.averaged
    if weights is not None and call.normalizer is None and not call.plan.top_k:
        run(call, out, result.lse, partial(compiled.both, weights, averaged))
        return
    run(call, out, result.lse, compiled.forward, result.kept, result.sparse or (None, None))
    if weights is not None:
        run_weights(call, result.lse, weights, None, averaged, compiled.weights)


def kept_keys(call: Call) -> Array:
    """The keys that each row attends to, of a call with top_k: those of its forward call."""
    axes, kept = call.plan.axes, allocate_kept(call)
    shape = axes.layout.shape(axes.batch, axes.heads, axes.query_length, 0)
    piece = call._replace(value=call.key[..., :0], dropout_p=0.0)
    run(piece, np.empty(shape, call.dtype), None, kept=kept)
    return kept


def allocate_weights(call: Call, average_heads: bool, rows: int | None = None) -> Array:
    """Of all rows or of that many, as zeros."""
    axes = call.plan.axes
    heads = () if average_heads else (axes.heads,)
    shape = (*axes.batch, *heads, axes.query_length if rows is None else rows, axes.key_length)
    return allocate("the weights", shape, call.plan.computing, 0)


def outward_weights(call: Call, weights: Array, averaged: bool) -> Array:
    """Without the axes that the caller did not give."""
    layout = call.plan.axes.layout
    if averaged and layout.axes < 3:
        weights = weights[None]  # the mean over the one head
    return layout.outward(weights)


def _allocate_results(call: Call, out: Array, with_weights: bool, average_heads: bool) -> Forward:
    lse = allocate_lse(call)
    # before anything is computed: a lack of memory fails at once
    weights = allocate_weights(call, average_heads) if with_weights else None
    return Forward(out, lse, weights, out, average_heads)


def _allocate_sparse(call: Call, normalizer: Normalizer) -> tuple[Array, Array | None]:
    mean = allocate_out(call, call.plan.computing)
    return mean, allocate_out(call, call.plan.computing) if normalizer.gradient else None


def check_returned(return_lse: Any, return_weights: Any) -> tuple[bool, bool]:
    if return_lse is return_weights is False:
        return False, False
    return flag("return_lse", return_lse), flag("return_weights", return_weights)


def returned(
    call: Call,
    forward: Forward,
    return_lse: bool,
    return_weights: bool,
    count: DroppedCount | None = None,
) -> Any:
    """The output alone, or (out, lse?, weights?, skipped?) in that order."""
    if not (return_lse or return_weights or count is not None):
        return forward.out
    parts: list[Any] = [forward.out]
    if return_lse:
        parts.append(call.plan.axes.layout.outward(forward.lse))
    if return_weights:
        assert forward.weights is not None
        parts.append(outward_weights(call, forward.weights, forward.averaged))
    if count is not None:
        parts.append(count.share())
    return tuple(parts)
