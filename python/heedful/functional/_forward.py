"""One checked call run forward: arrays for the results, compiled functions, what is returned."""

from typing import Any, NamedTuple

from heedful._core import native
from heedful._threads import resolve
from heedful.functional._call import Call
from heedful.functional._dtypes import Array, computing_type
from heedful.functional._results import allocate, allocate_lse, allocate_out, check_out


class Forward(NamedTuple):
    result: Array  # as the caller sees it
    out: Array  # the same memory, (*batch, H, Lq, Dv)
    lse: Array | None  # (*batch, H, Lq)
    weights: Array | None  # (*batch, H, Lq, Lk)


def forward(call: Call, out: Any, with_lse: bool, with_weights: bool) -> Forward:
    """Output, and where asked for, log-sum-exp and weights; weights need the log-sum-exp too."""
    result = allocate_out(call) if out is None else check_out(out, call)
    lse = weights = None
    if with_lse or with_weights:
        lse = allocate_lse(call, computing_type(call.dtype))
    target = call.layout.inward(result)
    native.attention_forward(
        call.query, call.key, call.value, target, lse,
        *call.rules, call.sink, call.dropout_p, call.seed, resolve(),
    )  # fmt: skip
    if with_weights:
        assert lse is not None
        weights = allocate("the weights", call.axes.scores, lse.dtype, 0)
        native.attention_weights(
            call.query, call.key, lse, weights, None, False,
            *call.rules, call.dropout_p, call.seed, resolve(),
        )  # fmt: skip
    return Forward(result, target, lse, weights)


def returned(call: Call, forward: Forward, return_lse: bool, return_weights: bool) -> Any:
    """The output alone, or (out, lse?, weights?) in that order."""
    if not (return_lse or return_weights):
        return forward.result
    parts = [forward.result]
    if return_lse:
        assert forward.lse is not None
        parts.append(call.layout.outward(forward.lse))
    if return_weights:
        assert forward.weights is not None
        parts.append(call.layout.outward(forward.weights))
    return tuple(parts)
