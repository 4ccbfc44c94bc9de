"""Which element types are accepted, and in which type a call computes."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from heedful._checks import as_array as as_array  # every argument passes it
from heedful._checks import is_bfloat16 as is_bfloat16
from heedful._checks import listed, named
from heedful._core import native

Array: TypeAlias = NDArray[Any]
DType: TypeAlias = np.dtype[Any]

FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)
FLOAT16 = np.dtype(np.float16)
_LARGEST_BFLOAT16 = 2.0**128 - 2.0**120
_FLOATING = "float32, float64, float16"


def computing_type(dtype: DType) -> DType:
    """T: float64 for float64, float32 for every other input."""
    return FLOAT64 if dtype == FLOAT64 else FLOAT32


def _native(dtype: DType) -> DType | None:
    """The accepted type in this machine's byte order; None for a type that is refused."""
    if is_bfloat16(dtype):
        return dtype
    # by its character code, which drops metadata
    return np.dtype(dtype.char) if dtype.kind == "f" and dtype.char in "efd" else None


def readable(array: Array, dtype: DType) -> bool:
    """Whether it can be read in place as this type."""
    return array.dtype == dtype and array.flags.aligned


def rounded(array: Array, dtype: DType) -> Array:
    """The array itself where it has the type, otherwise a copy; inf and NaN are passed on."""
    narrower = dtype.itemsize == 2 and dtype.isnative
    if narrower and array.dtype == FLOAT32 and array.flags.c_contiguous:
        narrowed = np.empty(array.shape, dtype)
        native.narrow(array, narrowed)  # NumPy takes ten times as long
        return narrowed
    if array.dtype == dtype:
        return array
    with np.errstate(all="ignore"):
        return array.astype(dtype)


def round_into(narrow: Array, wide: Array) -> None:
    """Rounds a C-contiguous float32 array into a 16-bit one of any strides."""
    if narrow.flags.c_contiguous:
        native.narrow(wide, narrow)
    else:
        narrow[...] = rounded(wide, narrow.dtype)


def converted(array: Array, dtype: DType) -> Array:
    """The array itself where it can be read in place, otherwise a copy of the given type."""
    if readable(array, dtype):
        return array
    # repeated elements (stride 0) are converted once
    once = tuple(slice(None, 1) if stride == 0 else slice(None) for stride in array.strides)
    return np.broadcast_to(finite_cast(array[once], dtype), array.shape)


def finite_cast(array: Array, dtype: DType) -> Array:
    """A copy in which finite stays finite: out of range becomes the largest finite number."""
    if np.can_cast(array.dtype, dtype):
        return np.array(array, dtype)
    try:
        with np.errstate(all="ignore", over="raise"):
            result = np.array(array, dtype)
        if not is_bfloat16(dtype):  # its cast raises nothing
            return result
    except FloatingPointError:
        pass
    with np.errstate(all="ignore"):
        result = np.array(array, dtype)
        over = np.isinf(result) & np.isfinite(array)
        if over.any():
            result[over] = np.where(array[over] < 0, -largest(dtype), largest(dtype))
    return result


def largest(dtype: DType) -> float:
    """The largest finite number of a floating type."""
    return _LARGEST_BFLOAT16 if is_bfloat16(dtype) else float(np.finfo(dtype).max)


def floating_type(name: str, array: Array) -> DType:
    """Bias and sink: the floating type in which they are read."""
    dtype = _native(array.dtype)
    if dtype is None:
        mask = name == "bias" and array.dtype.kind == "b"
        hint = ", True and False belong in mask" if mask else ""
        raise TypeError(f"{name} must be of type {_FLOATING} or bfloat16{hint}: got {array.dtype}")
    return dtype


def is_floating(dtype: DType) -> bool:
    """Whether it is one of the floating types that are computed with."""
    return _native(dtype) is not None


def floating_dtype(name: str, given: DTypeLike) -> DType:
    """A storage type chosen by the caller, in this machine's byte order."""
    try:
        dtype = _native(np.dtype(given))
    except TypeError:  # not a type
        dtype = None
    if dtype is None:
        raise TypeError(f"{name} must be {_FLOATING} or bfloat16: got {named(given)}")
    return dtype


def accepted_type(name: str, array: Array) -> DType:
    """The floating type that an input is treated as: integers and bools are float64."""
    if array.dtype.kind in "biu":
        return FLOAT64
    dtype = _native(array.dtype)
    if dtype is None:
        raise TypeError(
            f"{name} must be of type {_FLOATING}, bfloat16, integer or bool: got {array.dtype}"
        )
    return dtype


def common_type(names: str, types: Sequence[DType]) -> DType:
    """NumPy's promotion, which does not exist between float16 and bfloat16."""
    if FLOAT16 in types and any(map(is_bfloat16, types)):
        raise TypeError(
            f"{names} must not mix float16 and bfloat16: got {', '.join(map(str, types))}"
        )
    return np.result_type(*types)


def types_together(
    query: Array, key: Array, value: Array, names: Sequence[str]
) -> tuple[DType, DType, DType]:
    """One type for all by NumPy's promotion; a float32 query keeps 16-bit keys and values."""
    query_type, key_type, value_type = types = (
        accepted_type("query", query),
        accepted_type("key", key),
        accepted_type("value", value),
    )
    if query_type == FLOAT32 and key_type == value_type and key_type.itemsize == 2:
        return types
    return (common_type(listed(names), types),) * 3


def gradient_type(dtype: DType) -> DType:
    """A gradient has its input's type, float64 for integers and bools."""
    return FLOAT64 if dtype.kind in "biu" else dtype


def of_shape(name: str, given: ArrayLike, shape: tuple[int, ...]) -> Array:
    """A gradient or a result of an earlier call: exactly this shape, without broadcasting."""
    array = as_array(name, given)
    accepted_type(name, array)
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}: got {array.shape}")
    return array


def cast_like(name: str, given: ArrayLike, shape: tuple[int, ...], dtype: DType) -> Array:
    """The same, converted to this type."""
    return converted(of_shape(name, given, shape), dtype)
