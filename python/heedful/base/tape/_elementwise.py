"""Steps that compute each element from one element."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful.base._types import Array
from heedful.base.tape._step import Found, step


@step()
def exp(x: Any) -> Found:
    """e to the power of x."""
    y = np.exp(x)
    return y, (lambda dy: dy * y,)


@step()
def log(x: Any) -> Found:
    """The natural logarithm of x."""
    return np.log(x), (lambda dy: dy / x,)


@step()
def sqrt(x: Any) -> Found:
    """The square root of x."""
    y = np.sqrt(x)
    return y, (lambda dy: dy / (2 * y),)


@step()
def tanh(x: Any) -> Found:
    """The hyperbolic tangent of x."""
    y = np.tanh(x)
    return y, (lambda dy: dy * (1 - y * y),)


@step()
def sigmoid(x: Any) -> Found:
    """1 / (1 + exp(−x))."""
    y = 0.5 * np.tanh(0.5 * x) + 0.5  # exp(−x) overflows
    return y, (lambda dy: dy * y * (1 - y),)


@step()
def abs_(x: Any) -> Found:
    """``|x|``, with the gradient 0 at 0."""
    return np.abs(x), (lambda dy: dy * np.sign(x),)


@step()
def stop_gradient(x: Any) -> Found:
    """x as a constant: an array, through which no gradient flows."""
    constant: Array = np.asarray(x)
    return constant, None
