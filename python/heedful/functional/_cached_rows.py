"""CachedRows: keys or values as a cache stores them, in a floating type or as scaled int8."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from heedful._checks import named
from heedful.functional._dtypes import FLOAT32, Array, DType, converted, floating_dtype
from heedful.functional._results import allocate

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

INT8 = np.dtype(np.int8)
_LARGEST = 127


class CachedRows:
    """Rows (N, Hkv, R, D), and for int8 the scale of each: row = scale · elements.

    N are items, or pages. Indices are those of the first three axes.
    """

    __slots__ = ("elements", "scales")

    def __init__(self, elements: Array, scales: Array | None = None) -> None:
        self.elements: Array = elements
        self.scales: Array | None = scales  # float32 (N, Hkv, R)

    @classmethod
    def zeros(cls, shape: tuple[int, ...], dtype: DType) -> CachedRows:
        elements = allocate("the cache", shape, dtype, 0)
        if dtype != INT8:
            return cls(elements)
        return cls(elements, allocate("the cache", shape[:3], FLOAT32, 0))

    @classmethod
    def of(cls, array: Array, dtype: DType) -> CachedRows:
        """Rows of the caller's, in the type of the cache."""
        if array.dtype == dtype != INT8:  # int8 rows of the caller's have no scale yet
            return cls(array)
        with np.errstate(all="ignore"):  # rounding to 16 bits is expected
            return _quantized(array) if dtype == INT8 else cls(converted(array, dtype))

    @property
    def dtype(self) -> DType:
        return self.elements.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self.elements.shape

    @property
    def nbytes(self) -> int:
        return self.elements.nbytes + (0 if self.scales is None else self.scales.nbytes)

    def read(self) -> Array:
        """The rows as floating numbers: a copy of int8, otherwise a view."""
        if self.scales is None:
            return self.elements
        with np.errstate(all="ignore"):
            return self.elements * self.scales[..., None]

    def __getitem__(self, index: Any) -> CachedRows:
        return CachedRows(self.elements[index], None if self.scales is None else self.scales[index])

    def __setitem__(self, index: Any, rows: CachedRows) -> None:
        self.elements[index] = rows.elements
        if self.scales is not None:
            self.scales[index] = rows.scales

    def copy(self) -> CachedRows:
        return CachedRows(self.elements.copy(), None if self.scales is None else self.scales.copy())

    def resized(self, count: int, rows: int, filled: int, dtype: DType) -> CachedRows:
        """Of other N, R or type, with the first `filled` rows of as many of N as fit."""
        made = CachedRows.zeros((count, self.shape[1], rows, self.shape[3]), dtype)
        kept = min(count, self.shape[0])
        made[:kept, :, :filled] = self[:kept, :, :filled]
        return made


def stored_type(given: DTypeLike) -> DType:
    """A type of rows that the caller chose."""
    try:
        dtype = np.dtype(given)
        return INT8 if dtype == INT8 else floating_dtype("dtype", given)
    except TypeError:
        raise TypeError(
            f"dtype must be float32, float64, float16 or bfloat16, or 'int8': got {named(given)}"
        ) from None


def _quantized(rows: Array) -> CachedRows:
    """Symmetric int8: the largest element of a row is ±127. NaN or inf make the whole row NaN."""
    if rows.dtype.itemsize < FLOAT32.itemsize or rows.dtype.kind != "f":
        rows = rows.astype(FLOAT32)
    largest = np.abs(rows).max(axis=-1, initial=0)
    scales = (largest / _LARGEST).astype(FLOAT32)
    # no multiplication by 1 / scale, which is infinite for subnormal scales
    divisors = np.where(scales > 0, scales, np.inf).astype(rows.dtype, copy=False)
    scaled = np.rint(rows / divisors[..., None])
    scaled = np.where(np.isfinite(scaled), scaled, 0)
    elements = np.clip(scaled, -_LARGEST, _LARGEST).astype(INT8)
    return CachedRows(elements, scales)
