"""Steps of arithmetic: +, −, ·, /, powers, comparisons and choices, element by element."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful._checks import finite
from heedful.base._types import Array
from heedful.base.tape._step import Found, shape_of, step, summed_to


@step(one_type=True)
def add(x: Any, y: Any) -> Found:
    """x + y, broadcast as in NumPy."""
    first, second = shape_of(x), shape_of(y)
    return np.add(x, y), (lambda dy: summed_to(dy, first), lambda dy: summed_to(dy, second))


@step(one_type=True)
def subtract(x: Any, y: Any) -> Found:
    """x − y, broadcast as in NumPy."""
    first, second = shape_of(x), shape_of(y)
    return np.subtract(x, y), (lambda dy: summed_to(dy, first), lambda dy: -summed_to(dy, second))


@step(one_type=True)
def multiply(x: Any, y: Any) -> Found:
    """x · y element by element, broadcast as in NumPy."""
    first, second = shape_of(x), shape_of(y)
    return np.multiply(x, y), (
        lambda dy: summed_to(dy * y, first),
        lambda dy: summed_to(dy * x, second),
    )


@step(one_type=True)
def divide(x: Any, y: Any) -> Found:
    """x / y element by element, broadcast as in NumPy."""
    first, second = shape_of(x), shape_of(y)
    return np.true_divide(x, y), (
        lambda dy: summed_to(dy / y, first),
        lambda dy: summed_to(-dy * x / (y * y), second),
    )


@step(one_type=True)
def negative(x: Any) -> Found:
    """−x."""
    return np.negative(x), (lambda dy: -dy,)


@step(one_type=True)
def power(x: Any, exponent: float) -> Found:
    """x ** exponent, element by element; the exponent is a number."""
    number = finite("exponent", exponent)

    def gradient(dy: Array) -> Array:
        slope: Array = dy * number * x ** (number - 1) if number else np.zeros_like(dy)
        return slope

    return x**number, (gradient,)


@step(one_type=True)
def maximum(x: Any, y: Any) -> Found:
    """The larger of x and y, broadcast as in NumPy; where both are equal, half a gradient each."""
    return _larger(x, y, np.maximum(x, y))


@step(one_type=True)
def minimum(x: Any, y: Any) -> Found:
    """The smaller of x and y, broadcast as in NumPy; where both are equal, half a gradient each."""
    return _larger(x, y, np.minimum(x, y))


def _larger(x: Any, y: Any, chosen: Array) -> Found:
    first, second = shape_of(x), shape_of(y)

    def share(one: Any, other: Any, dy: Array) -> Array:
        part: Array = dy * ((one == chosen) * np.where(one == other, 0.5, 1.0)).astype(dy.dtype)
        return part

    return chosen, (
        lambda dy: summed_to(share(x, y, dy), first),
        lambda dy: summed_to(share(y, x, dy), second),
    )


@step(one_type=True)
def where(condition: Any, x: Any, y: Any) -> Found:
    """x where the condition, which are booleans, is true, else y; broadcast as in NumPy."""
    if np.asarray(condition).dtype != np.bool_:
        raise TypeError("condition must be booleans")
    first, second = shape_of(x), shape_of(y)
    zero = np.float32(0)
    return np.where(condition, x, y), (
        _no_gradient,
        lambda dy: summed_to(np.where(condition, dy, zero), first),
        lambda dy: summed_to(np.where(condition, zero, dy), second),
    )


def _no_gradient(dy: Array) -> None:
    return None


@step(one_type=True)
def greater(x: Any, y: Any) -> Found:
    """x > y: booleans, without a gradient."""
    return np.greater(x, y), None


@step(one_type=True)
def greater_equal(x: Any, y: Any) -> Found:
    """x ≥ y: booleans, without a gradient."""
    return np.greater_equal(x, y), None


@step(one_type=True)
def less(x: Any, y: Any) -> Found:
    """x < y: booleans, without a gradient."""
    return np.less(x, y), None


@step(one_type=True)
def less_equal(x: Any, y: Any) -> Found:
    """x ≤ y: booleans, without a gradient."""
    return np.less_equal(x, y), None


@step(one_type=True)
def equal(x: Any, y: Any) -> Found:
    """x = y: booleans, without a gradient."""
    return np.equal(x, y), None


@step(one_type=True)
def not_equal(x: Any, y: Any) -> Found:
    """x ≠ y: booleans, without a gradient."""
    return np.not_equal(x, y), None
