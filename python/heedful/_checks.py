"""Checks of single arguments: numbers, integers, flags and strings, each with its message."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from numbers import Complex, Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heedful._torch_tensors import is_tensor, refuse_unreadable, unreadable


def named(value: object) -> str:
    """How an error message shows a value."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and type {value.dtype}"
    text = " ".join(repr(value).split())  # in one line
    return text if len(text) <= 60 else f"{text[:57]}..."


def listed(words: Sequence[str]) -> str:
    """Names in a sentence: query, key and value."""
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0]


def flag(name: str, value: object) -> bool:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    raise TypeError(f"{name} must be True or False: got {named(value)}")


def real(name: str, value: Any) -> float:
    """A number as a Python float; any value, NaN and infinities included."""
    if type(value) is float:
        return value
    if isinstance(value, np.ndarray):
        refuse_masked(name, value)
    if isinstance(value, (bool, np.bool_)) or not _is_real(value):
        raise TypeError(f"{name} must be a number: got {named(value)}")
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _is_real(value: Any) -> bool:
    if isinstance(value, Complex):
        return isinstance(value, Real)
    # an array without axes, or a scalar of a type not registered in `numbers`, such as bfloat16
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


def not_negative(name: str, value: Any) -> float:
    number = finite(name, value)
    if number < 0:
        raise ValueError(f"{name} must not be negative: got {named(value)}")
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


def below_one(name: str, value: Any) -> float:
    """A probability with which not everything is lost."""
    number = real(name, value)
    if not 0.0 <= number < 1.0:
        raise ValueError(f"{name} must lie in [0, 1): got {named(value)}")
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
    """Exact Python integers, flattened: those beyond 64 bits are kept exactly."""
    return [int(number) for number in integer_array(name, given).ravel()]


def integer_array(name: str, given: Any) -> np.ndarray[Any, Any]:
    """A copy of the given integers, of any integer type, or of Python integers as objects."""
    if isinstance(given, (int, list, tuple)):
        array = _objects(name, given)
        if not all(is_integer(number) for number in array.flat):
            wrong = next(number for number in array.flat if not is_integer(number))
            raise TypeError(f"{name} must be integers: got {named(wrong)}")
        return array
    # not copied by the same call: PyTorch's tensors warn when NumPy requests a copy
    array = as_array(name, given)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers: got type {array.dtype}")
    found: np.ndarray[Any, Any] = array.copy()
    return found


def int64_array(name: str, given: Any, limit: int = 2**63 - 1) -> NDArray[np.int64]:
    """A copy of integers from −limit to limit, compared before they are narrowed to 64 bits."""
    if type(given) is int and -limit <= given <= limit:
        return np.array(given, np.int64)
    array = integer_array(name, given)
    for number in (array.min(), array.max()) if array.size else ():
        if not -limit <= number <= limit:
            bound = f"2**{limit.bit_length() - 1}" if limit & (limit - 1) == 0 else f"{limit}"
            raise ValueError(f"{name} must lie within ±{bound}: got {named(int(number))}")
    return array.astype(np.int64)


def positions(name: str, given: Any) -> NDArray[np.int64]:
    """Integers that float64, in which angles are computed, represents exactly."""
    return int64_array(name, given, 2**53)


def _objects(name: str, given: Any) -> np.ndarray[Any, Any]:
    """The elements of nested lists as they are: NumPy would make mixed large integers floats."""
    refuse_masked(name, given)
    try:
        return np.array(given, dtype=object)
    except ValueError:
        raise ValueError(f"{name} must be rectangular: got lists of different lengths") from None


def size(name: str, value: Any) -> int:
    """A count of at least 1."""
    if not is_integer(value):
        raise TypeError(f"{name} must be an integer: got {named(value)}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1: got {named(value)}")
    if value > sys.maxsize:
        raise ValueError(f"{name} must be at most {sys.maxsize}: got {named(value)}")
    return int(value)


def count(name: str, value: Any) -> int:
    """A number of things from 0 on."""
    if not is_integer(value) or value < 0:
        kind = ValueError if is_integer(value) else TypeError
        raise kind(f"{name} must be an integer from 0 on: got {named(value)}")
    return 0 if value == 0 else size(name, value)


def as_array(name: str, given: ArrayLike) -> np.ndarray[Any, Any]:
    """An array of any type; no copy where the argument is one already.

    Every array argument is converted here: a masked array, whose mask NumPy would drop, is
    rejected, alone and within lists, and so is a tensor that would lose something.
    """
    if type(given) is np.ndarray:
        return given
    refuse_masked(name, given)
    if is_tensor(given):
        return _tensor_as_array(name, given)
    try:
        return np.asarray(given)
    except ValueError:
        if not isinstance(given, (list, tuple)):
            raise
        raise ValueError(f"{name} must be rectangular: got lists of different lengths") from None


def _tensor_as_array(name: str, tensor: Any) -> np.ndarray[Any, Any]:
    refuse_unreadable(name, tensor)
    try:
        return np.asarray(tensor)
    except (RuntimeError, TypeError) as error:
        raise unreadable(name, error) from None


def refuse_masked(name: str, given: Any) -> None:
    """A TypeError for a masked array, alone and within lists."""
    # numpy.ma is slow to import, and a caller with a masked array has imported it
    module = sys.modules.get("numpy.ma")
    if module is not None and _holds(given, module.MaskedArray):
        hint = ", use mask=" if name in ("query", "key", "value", "x") else ""
        raise TypeError(f"{name} must be a plain array: got a masked array{hint}")


def _holds(given: Any, kind: type, depth: int = 64) -> bool:
    """Whether a value is of a type, or a list that holds one, nested up to NumPy's axes."""
    if not isinstance(given, (list, tuple)):
        return isinstance(given, kind)
    types = set(map(type, given))  # at the speed of compiled code: lists of numbers may be long
    if any(issubclass(found, kind) for found in types):
        return True
    return (
        depth > 0
        and any(issubclass(found, (list, tuple)) for found in types)
        and any(_holds(inner, kind, depth - 1) for inner in given)
    )


def each_of(
    name: str, given: Sequence[Any] | None, count: int, kind: type[Any] | None = None
) -> Sequence[Any]:
    """One item per layer, of this type; None for each layer if the argument is None."""
    if given is None:
        return [None] * count
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise TypeError(f"{name} must be a list with one for each layer: got {named(given)}")
    if len(given) != count:
        raise ValueError(f"{name} must have one for each of {count} layers: got {len(given)}")
    for one in given:
        if kind is not None and not isinstance(one, kind):
            raise TypeError(f"{name} must hold a {kind.__name__} for each layer: got {named(one)}")
    return given


def is_bfloat16(dtype: np.dtype[Any]) -> bool:
    # by name: heedful does not import ml_dtypes
    return dtype.kind == "V" and dtype.name == "bfloat16"


def numbers(name: str, given: ArrayLike) -> np.ndarray[Any, Any]:
    """An array of real numbers: a conversion from another kind would be silently wrong."""
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
