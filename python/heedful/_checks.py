"""Single values given by the caller: numbers, integers, flags and words, each with its message."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Complex, Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


def named(value: object) -> str:
    """How an error message shows what came."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and type {value.dtype}"
    text = " ".join(repr(value).split())  # in one line
    return text if len(text) <= 60 else f"{text[:57]}..."


def flag(name: str, value: object) -> bool:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    raise TypeError(f"{name} must be True or False: got {named(value)}")


def real(name: str, value: Any) -> float:
    """A number as a Python float; any value, NaN and infinities included."""
    if type(value) is float:
        return value
    if isinstance(value, (bool, np.bool_)) or not _is_real(value):
        raise TypeError(f"{name} must be a number: got {named(value)}")
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _is_real(value: Any) -> bool:
    if isinstance(value, Complex):
        return isinstance(value, Real)
    # an array of no axes, or a scalar of a type that registers nowhere, as bfloat16's
    dtype = getattr(value, "dtype", None)
    return (
        getattr(value, "shape", None) == ()
        and (getattr(dtype, "kind", "") in "iuf" or getattr(dtype, "name", "") == "bfloat16")
        and hasattr(value, "__float__")
    )


def finite(name: str, value: Any) -> float:
    number = real(name, value)
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite: got {named(value)}")
    return number


def positive(name: str, value: Any) -> float:
    number = real(name, value)
    if not 0.0 < number < math.inf:
        raise ValueError(f"{name} must be finite and above 0: got {named(value)}")
    return number


def probability(name: str, value: Any) -> float:
    number = real(name, value)
    if not 0.0 <= number <= 1.0:
        raise ValueError(f"{name} must lie between 0 and 1: got {named(value)}")
    return number


def is_integer(value: object) -> bool:
    if type(value) is int:
        return True
    return isinstance(value, Integral) and not isinstance(value, (bool, np.bool_))


def one_of(name: str, value: object, words: Sequence[str]) -> str:
    if isinstance(value, str) and value in words:
        return value
    choice = " or ".join(repr(word) for word in words)
    kind = ValueError if isinstance(value, str) else TypeError
    raise kind(f"{name} must be {choice}: got {named(value)}")


def integers(name: str, given: Any) -> list[int]:
    """Exact Python integers, flattened: numbers beyond 64 bits stay what they are."""
    return [int(number) for number in integer_array(name, given).ravel()]


def integer_array(name: str, given: Any) -> np.ndarray[Any, Any]:
    """A copy of the given integers, of any integer type, or of Python integers as objects."""
    if isinstance(given, (int, list, tuple)):
        array = _objects(name, given)
        if not all(is_integer(number) for number in array.flat):
            wrong = next(number for number in array.flat if not is_integer(number))
            raise TypeError(f"{name} must be integers: got {named(wrong)}")
        return array
    array = np.array(given)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers: got type {array.dtype}")
    return array


def _objects(name: str, given: Any) -> np.ndarray[Any, Any]:
    """The elements of nested lists as they are: NumPy would make floats of mixed large integers."""
    try:
        return np.array(given, dtype=object)
    except ValueError:
        raise ValueError(f"{name} must be rectangular: got lists of different lengths") from None


def size(name: str, value: Any) -> int:
    """A number of something that there must be at least one of."""
    if not is_integer(value):
        raise TypeError(f"{name} must be an integer: got {named(value)}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1: got {named(value)}")
    return int(value)


def as_array(name: str, given: ArrayLike) -> np.ndarray[Any, Any]:
    """An array of any type, the given one where it is one already."""
    subclass = isinstance(given, np.ndarray) and type(given) is not np.ndarray
    if subclass and isinstance(given, np.ma.MaskedArray):  # numpy.ma is slow to import
        raise TypeError(f"{name} must be a plain array: got a masked array, use mask=")
    try:
        return np.asarray(given)
    except ValueError:
        if not isinstance(given, (list, tuple)):
            raise
        raise ValueError(f"{name} must be rectangular: got lists of different lengths") from None


def each_of(name: str, given: Sequence[Any] | None, count: int) -> Sequence[Any]:
    """One thing for each layer; None for each where there are none."""
    if given is None:
        return [None] * count
    if len(given) != count:
        raise ValueError(f"{name} must have one for each of {count} layers: got {len(given)}")
    return given


def is_bfloat16(dtype: np.dtype[Any]) -> bool:
    # by name, for ml_dtypes is imported by the caller or by nobody
    return dtype.kind == "V" and dtype.name == "bfloat16"


def numbers(name: str, given: ArrayLike) -> np.ndarray[Any, Any]:
    """An array of real numbers: what is converted from another kind would be wrong in silence."""
    array = as_array(name, given)
    if array.dtype.kind not in "fiub" and not is_bfloat16(array.dtype):
        raise TypeError(f"{name} must hold real numbers: got {named(array)}")
    return array


def generator(rng: int | np.random.Generator | None) -> np.random.Generator:
    """The given generator, or a new one from a seed or from the system."""
    if isinstance(rng, np.random.Generator):
        return rng
    if rng is None or (is_integer(rng) and rng >= 0):
        return np.random.default_rng(rng)
    raise TypeError(
        f"rng must be None, an integer from 0 on or a numpy.random.Generator: got {named(rng)}"
    )
