"""Arrays of safetensors files as views of the mapped files: nothing is read until it is used."""

from __future__ import annotations

import json
import mmap

import numpy as np

from heedful._whole_file import AnyPath
from heedful.base._types import Array, DType

BFLOAT16 = np.dtype([("bfloat16", "<u2")])  # NumPy has none, and ml_dtypes may be absent

# by the names of safetensors; float8 and narrower types need scales that are stored elsewhere
TYPES: dict[str, DType] = {
    "F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": BFLOAT16,
    "I64": np.dtype("<i8"), "I32": np.dtype("<i4"), "I16": np.dtype("<i2"), "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"), "U32": np.dtype("<u4"), "U16": np.dtype("<u2"), "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}  # fmt: skip


def mapped(path: AnyPath) -> dict[str, Array]:
    """The arrays of a file whose header and length have been checked, read-only.

    Those of bfloat16 have the type `BFLOAT16`.
    """
    with open(path, "rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    length = int.from_bytes(data[:8], "little")
    found: dict[str, Array] = {}
    for name, entry in json.loads(data[8 : 8 + length]).items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        dtype = TYPES[entry["dtype"]]
        flat = np.frombuffer(data, dtype, (end - begin) // dtype.itemsize, 8 + length + begin)
        found[name] = flat.reshape(entry["shape"])
    return found


def widened(array: Array) -> Array:
    """The array itself, or one of `BFLOAT16` as float32, exactly."""
    if array.dtype != BFLOAT16:
        return array
    bits: Array = array["bfloat16"].astype(np.uint32)
    np.left_shift(bits, 16, out=bits)
    return bits.view(np.float32)


def release(array: Array) -> None:
    """Gives the memory of the file that a view is of back to the system, until it is read again."""
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    data = base.obj if isinstance(base, memoryview) else base
    if isinstance(data, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        data.madvise(mmap.MADV_DONTNEED)
