"""Arrays for the results: allocated here, or given by the caller as out=."""

import math
from typing import Any

import numpy as np

from heedful._checks import named, refuse_masked
from heedful._core._memory import empty
from heedful.functional._call import Call
from heedful.functional._dtypes import FLOAT64, Array, DType
from heedful.functional._options import ARRAY_NAMES

KEY_INDEX = np.dtype(np.int32)
_MAX_OVERLAP_WORK = 100_000  # numpy's effort, past which arrays count as overlapping


def allocate(name: str, shape: tuple[int, ...], dtype: DType, fill: float | None = None) -> Array:
    """A new array, uninitialised or filled; a lack of memory is always a MemoryError."""
    try:
        if fill is None:
            return empty(shape, dtype)
        if fill == 0:
            return np.zeros(shape, dtype)
        array = empty(shape, dtype)
    except (ValueError, MemoryError):  # more than can be addressed, or allocated
        raise MemoryError(f"no room for {name}: shape {shape}, type {dtype}") from None
    array.fill(fill)
    return array


def allocate_out(call: Call, dtype: DType | None = None) -> Array:
    """In the output's own type or another."""
    # fresh pages are zero, so rows that are never written cost nothing
    fill = None if call.items is None else 0
    return allocate("the output", call.plan.axes.out, dtype or call.plan.dtype, fill)


def allocate_lse(call: Call) -> Array:
    """Of entmax the thresholds."""
    if call.normalizer is not None:
        fill = None if call.items is None else math.inf
        return allocate("the thresholds", (*call.plan.axes.rows, 2), FLOAT64, fill)
    fill = None if call.items is None else -math.inf
    return allocate("lse", call.plan.axes.rows, call.plan.computing, fill)


def allocate_kept(call: Call) -> Array:
    """Indices of the keys that each row attends to, where there is a top_k."""
    shape = (*call.plan.axes.rows, call.plan.top_k)
    return allocate("the indices of the kept keys", shape, KEY_INDEX)


def check_out(out: Any, call: Call) -> Array:
    """The caller's array, which several threads may write to."""
    shape = call.plan.axes.out
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a numpy array: got {named(out)}")
    if type(out) is not np.ndarray:  # a memory map can be written
        refuse_masked("out", out)
    if out.shape != shape:
        raise ValueError(f"out must have shape {shape}: got {out.shape}")
    if out.dtype != call.dtype:
        raise ValueError(f"out must have type {call.dtype}: got {out.dtype}")
    if not out.flags.writeable:
        raise ValueError("out must be writeable: got a read-only array")
    if not out.flags.aligned:
        raise ValueError("out must be aligned: got an unaligned array")
    if overlaps_itself(out):
        raise ValueError(f"out must not overlap itself: got strides {out.strides}")
    assert call.inputs is not None
    for name, array in zip(ARRAY_NAMES, call.inputs, strict=True):
        if array is not None and overlap(out, array):
            raise ValueError(f"out must not overlap an input: it shares memory with {name}")
    if call.items is not None:
        out[...] = 0
    return out


def overlap(one: Array, other: Array) -> bool:
    if not np.may_share_memory(one, other):
        return False
    try:
        return np.shares_memory(one, other, max_work=_MAX_OVERLAP_WORK)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


def overlaps_itself(array: Array) -> bool:
    """Whether two elements may share memory; unusual strides count as if they did."""
    if array.size == 0:
        return False
    extent = array.itemsize
    pairs = zip(array.strides, array.shape, strict=True)
    for stride, size in sorted((abs(stride), size) for stride, size in pairs if size > 1):
        if stride < extent:
            return True
        extent += stride * (size - 1)
    return False
