"""npz files: arrays and text by NumPy alone, validated when read and written atomically."""

from __future__ import annotations

import json
import math
import os
import zipfile
import zlib
from collections import Counter
from typing import Any

import numpy as np

from heedful._printable import printable
from heedful._whole_file import AnyPath, check_source, check_target, whole_file
from heedful.base._types import Array, DType
from heedful.training.files._safetensors import Shapes, check_shape

SUFFIX = ".npz"
_TEXT = "__metadata__"  # a member of text, of the name that safetensors has for it
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class _Damaged(Exception):
    """What makes a file none of this format."""


# what zipfile raises for a file that is none, or whose members are encrypted or of another kind
_DAMAGED = (
    _Damaged, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError
)  # fmt: skip


def is_npz(path: AnyPath) -> bool:
    return os.fspath(path).endswith(SUFFIX)


def write_npz(tensors: dict[str, Array], path: AnyPath, text: dict[str, str]) -> None:
    """Atomically, see `whole_file`. numpy.load reads it."""
    check_target(path)
    members: dict[str, Array] = {**tensors, _TEXT: np.array(json.dumps(text))}
    with whole_file(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in members.items():
            # of no date: the same weights are the same bytes
            member = zipfile.ZipInfo(f"{name}.npy")
            with archive.open(member, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def read_npz(path: AnyPath, shapes: Shapes) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays of a file and its text. All are checked before the first is read."""
    check_source(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive)
            heads = {name: _header(archive, member) for name, member in members.items()}
            text = _text(archive, members.pop(_TEXT)) if _TEXT in members else {}
            for name in members:
                check_shape(name, heads[name][0], shapes, text)
                _check_type(name, heads[name][1])
            return {name: _array(archive, member) for name, member in members.items()}, text
    except _DAMAGED as error:
        raise _damaged(path, error) from None


def read_npz_text(path: AnyPath) -> dict[str, str]:
    """The text of a file alone."""
    check_source(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive)
            return _text(archive, members[_TEXT]) if _TEXT in members else {}
    except _DAMAGED as error:
        raise _damaged(path, error) from None


def _damaged(path: AnyPath, reason: Exception) -> ValueError:
    shown = printable(str(reason))
    return ValueError(f"path must be a whole npz file: {os.fspath(path)!r} is none, {shown}")


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    members = archive.infolist()
    for name, count in Counter(member.filename for member in members).items():
        if not name.endswith(".npy"):
            raise _Damaged(f"{name} in it is no array")
        if count > 1:
            raise _Damaged(f"{name} is in it twice")
    return {member.filename.removesuffix(".npy"): member for member in members}


def _header(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> tuple[tuple[int, ...], DType]:
    """Shape and type of a member, whose length is that of such an array."""
    with archive.open(member) as file:
        try:
            version = np.lib.format.read_magic(file)
            shape, _, dtype = _HEADERS[version](file)
        except (KeyError, ValueError) as error:
            raise _Damaged(f"{member.filename} has no header of an array, {error}") from None
        length = file.tell() + math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0:
        raise _Damaged(f"{member.filename} has no header of an array, its shape is {shape}")
    if dtype.hasobject:
        raise _Damaged(f"{member.filename} holds Python objects")
    if length != member.file_size:
        raise _Damaged(f"{member.filename} has {member.file_size} bytes, its header says {length}")
    return shape, dtype


def _check_type(name: str, dtype: DType) -> None:
    if dtype.kind not in "iub" and not (dtype.kind == "f" and dtype.itemsize <= 8):
        raise TypeError(
            f"{printable(name)} must be of float64, float32, float16, integers or bool: got {dtype}"
        )


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    with archive.open(member) as file:
        found: Array = np.lib.format.read_array(file, allow_pickle=False)
        return found


def _text(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> dict[str, str]:
    try:
        found: Any = json.loads(str(_array(archive, member)))
        return {str(name): str(value) for name, value in found.items()}
    except (AttributeError, ValueError, RecursionError) as error:
        raise _Damaged(f"its text is damaged, {error}") from None
