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


class Forward(NamedTuple):
    out: Array  # as the caller sees it
    lse: Array  # (*batch, H, Lq)
    weights: Array | None  # (*batch, H, Lq, Lk)
    unrounded: Array  # out in the type computed in; out itself where that is its type
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
    compute: Callable[..., None] = native.attention_forward,
    compute_weights: Callable[..., None] = native.attention_weights,
) -> Forward:
    """Output and log-sum-exp, and the weights if requested."""
    out = allocate_out(call) if out is None else check_out(out, call)
    result = _allocate_results(call, out, with_weights)
    run(call, out, result.lse, compute)
    return _with_weights(call, result, compute_weights)


def forward_for_gradients(
    call: Call,
    out: Any,
    with_weights: bool,
    compute: Callable[..., None] = native.attention_forward,
    compute_weights: Callable[..., None] = native.attention_weights,
) -> Forward:
    """The same results, and `unrounded`, from which the gradients of 16-bit inputs are computed.

    Delta, Σ dout ∘ out, is the mean that is subtracted to form the gradients of the scores. Where
    the values have a common offset these are small differences from it, which would be lost if out
    were rounded to 16 bits.
    """
    out = allocate_out(call) if out is None else check_out(out, call)
    result = _allocate_results(call, out, with_weights)
    if call.normalizer is not None:
        sparse = _allocate_sparse(call, call.normalizer)
        run(call, out, result.lse, sparse=sparse)
        return _with_weights(call, result._replace(sparse=sparse), compute_weights)
    if call.plan.top_k:
        result = result._replace(kept=allocate_kept(call))
    if out.dtype == call.plan.computing:
        run(call, out, result.lse, compute, result.kept)
    else:
        unrounded = allocate_out(call, call.plan.computing)
        result = result._replace(unrounded=unrounded)
        run(call, unrounded, result.lse, compute, result.kept)
        round_into(out, unrounded)
    return _with_weights(call, result, compute_weights)


def kept_keys(call: Call) -> Array:
    """The keys that each row attends to, of a call with top_k: those of its forward call."""
    axes, kept = call.plan.axes, allocate_kept(call)
    shape = axes.layout.shape(axes.batch, axes.heads, axes.query_length, 0)
    piece = call._replace(value=call.key[..., :0], dropout_p=0.0)
    run(piece, np.empty(shape, call.dtype), None, kept=kept)
    return kept


def _allocate_results(call: Call, out: Array, with_weights: bool) -> Forward:
    lse = allocate_lse(call)
    weights = None
    if with_weights:  # before anything is computed: a lack of memory fails at once
        weights = allocate("the weights", call.plan.axes.scores, call.plan.computing, 0)
    return Forward(out, lse, weights, out)


def _allocate_sparse(call: Call, normalizer: Normalizer) -> tuple[Array, Array | None]:
    mean = allocate_out(call, call.plan.computing)
    return mean, allocate_out(call, call.plan.computing) if normalizer.gradient else None


def _with_weights(call: Call, result: Forward, compute: Callable[..., None]) -> Forward:
    if result.weights is not None:
        run_weights(call, result.lse, result.weights, compute=compute)
    return result


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
    outward = call.plan.axes.layout.outward
    parts: list[Any] = [forward.out]
    if return_lse:
        parts.append(outward(forward.lse))
    if return_weights:
        assert forward.weights is not None
        parts.append(outward(forward.weights))
    if count is not None:
        parts.append(count.share())
    return tuple(parts)
