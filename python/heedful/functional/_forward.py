"""One checked call run forward: arrays for results, the compiled functions, what is returned."""

from typing import Any, NamedTuple

from heedful._core import native
from heedful._threads import resolve
from heedful.functional._call import Call
from heedful.functional._checks import flag
from heedful.functional._dtypes import Array, computing_type
from heedful.functional._results import allocate, allocate_lse, allocate_out, check_out


class Forward(NamedTuple):
    result: Array  # as the caller sees it
    out: Array  # the same memory, (*batch, H, Lq, Dv)
    lse: Array  # (*batch, H, Lq)
    weights: Array | None  # (*batch, H, Lq, Lk)


def forward_alone(call: Call, out: Any) -> Array:
    """The output and nothing else."""
    query, key, value, axes, rules, sink, dropout_p, seed, _ = call
    result = allocate_out(axes, rules, query.dtype) if out is None else check_out(out, call)
    native.attention_forward(
        query, key, value, axes.layout.inward(result), None,
        *rules, sink, dropout_p, seed, resolve(),
    )  # fmt: skip
    return result


def forward(call: Call, out: Any, with_weights: bool) -> Forward:
    """Output and log-sum-exp, and where asked for the weights."""
    if out is None:
        result = allocate_out(call.axes, call.rules, call.dtype)
    else:
        result = check_out(out, call)
    target = call.axes.layout.inward(result)
    lse = allocate_lse(call, computing_type(call.dtype))
    # before anything is computed: what has no room fails at once
    weights = allocate("the weights", call.axes.scores, lse.dtype, 0) if with_weights else None
    native.attention_forward(
        call.query, call.key, call.value, target, lse,
        *call.rules, call.sink, call.dropout_p, call.seed, resolve(),
    )  # fmt: skip
    if weights is None:
        return Forward(result, target, lse, None)
    native.attention_weights(
        call.query, call.key, lse, weights, None, False,
        *call.rules, call.dropout_p, call.seed, resolve(),
    )  # fmt: skip
    return Forward(result, target, lse, weights)


def check_returned(return_lse: Any, return_weights: Any) -> tuple[bool, bool]:
    return flag("return_lse", return_lse), flag("return_weights", return_weights)


def returned(call: Call, forward: Forward, return_lse: bool, return_weights: bool) -> Any:
    """The output alone, or (out, lse?, weights?) in that order."""
    if not (return_lse or return_weights):
        return forward.result
    outward = call.axes.layout.outward
    parts = [forward.result]
    if return_lse:
        parts.append(outward(forward.lse))
    if return_weights:
        assert forward.weights is not None
        parts.append(outward(forward.weights))
    return tuple(parts)
