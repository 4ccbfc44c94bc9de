"""The residual connection, dropout and norm around attention and feed-forward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from heedful.base._mode import Mode
from heedful.base._sums import plus
from heedful.base._types import Array, Backward
from heedful.layers.blocks._dropout import Dropout
from heedful.layers.blocks._norm import LayerNorm, RMSNorm

# from x and an optional residual to be added, to the result and its backward function
Function: TypeAlias = Callable[[Array, Array | None], tuple[Array, Backward]]


def sublayer(
    mode: Mode, x: Array, norm: LayerNorm | RMSNorm, dropout: Dropout, before: bool,
    function: Function,
) -> tuple[Array, Backward]:  # fmt: skip
    """norm(x + dropout(f(x))), or x + dropout(f(norm(x))) if `before`.

    The gradients of further inputs that f's backward function returns follow that of x.
    """
    inner, back_before = norm.compute(mode, x) if before else (x, _identity)
    if mode.training and dropout.rate:
        y, back = function(inner, None)
        y, drop = dropout.compute(mode, y, x)
    else:
        y, back = function(inner, x)
        drop = _identity
    y, back_after = (y, _identity) if before else norm.compute(mode, y)

    def backward(dy: Any) -> Any:
        dsum = back_after(dy)
        found = back(drop(dsum))
        dinner, *more = found if isinstance(found, tuple) else (found,)
        dx = back_before(dinner)
        dx = plus(dx, dsum, out=dx)
        return (dx, *more) if more else dx

    return y, backward


def _identity(dy: Any) -> Any:
    return dy
