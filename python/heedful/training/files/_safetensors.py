"""safetensors files: arrays and text, validated when read and written atomically."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from heedful._printable import printable
from heedful._whole_file import AnyPath, check_path, check_source, check_target, whole_file
from heedful.base._types import Array
from heedful.training.files._mapped import TYPES, mapped, release, widened

Shapes = Mapping[str, tuple[int, ...]]

PRUNED = "pruned_heads"  # in the text of a file, see _pruned_heads.py


def _library(otherwise: str = "") -> Any:
    try:
        from safetensors import numpy as library
    except ImportError:
        raise ImportError(
            "files of weights need the package safetensors: pip install safetensors" + otherwise
        ) from None
    return library


def read_tensors(
    path: AnyPath, shapes: Shapes | None = None
) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays of a safetensors file and its text; bfloat16 as float32.

    Shapes of names that are in `shapes` are compared before anything is read.
    """
    with _open(path) as file:
        _check(file, shapes or {})
        return _arrays(path, file), file.metadata() or {}


def read_text(path: AnyPath) -> dict[str, str]:
    """The text of a safetensors file alone."""
    with _open(path) as file:
        text: dict[str, str] = file.metadata() or {}
        return text


def read_shards(
    paths: Sequence[AnyPath], shapes: Shapes | None = None
) -> tuple[dict[str, Array], dict[str, AnyPath]]:
    """The arrays of several files, and the file of each name.

    All are checked before the first is read. A name in two of them is a ValueError.
    """
    place: dict[str, AnyPath] = {}
    with ExitStack() as stack:
        files = [(path, stack.enter_context(_open(path))) for path in paths]
        for path, file in files:
            _check(file, shapes or {})
            for name in file.keys():  # noqa: SIM118, no mapping
                one_place(place, name, path)
        tensors: dict[str, Array] = {}
        for path, file in files:
            tensors |= _arrays(path, file)
    return tensors, place


def checked_file(path: AnyPath) -> list[str]:
    """The names in a safetensors file whose header, length and element types are right."""
    with _open(path) as file:
        _check(file, {})
        return list(file.keys())


def one_place(place: dict[str, Any], name: str, path: AnyPath) -> None:
    """Notes the file of a name, which may be in no other one."""
    if name in place:
        raise ValueError(
            f"{printable(name)} must be in one shard: got it in "
            f"{_last(place[name])} and in {_last(path)}"
        )
    place[name] = path


def write_tensors(tensors: dict[str, Array], path: AnyPath, text: dict[str, str]) -> None:
    """Atomically, see `whole_file`."""
    library = _library(", or write to a path that ends in .npz, which needs NumPy alone")
    from safetensors import SafetensorError

    check_target(path)
    with whole_file(path) as temporary:
        ready = {name: np.asarray(array, order="C") for name, array in tensors.items()}
        try:
            library.save_file(ready, temporary, metadata=text)
        except SafetensorError as error:  # a full disk is one, too
            raise OSError(
                f"path could not be written: {os.fspath(path)!r}, {printable(str(error))}"
            ) from None


def _open(path: AnyPath) -> Any:
    """A context that reads the file; its header has been checked."""
    check_path(path)
    _library()
    from safetensors import SafetensorError, safe_open

    check_source(path)
    try:
        return safe_open(path, framework="numpy")
    except SafetensorError as error:
        raise SafetensorError(
            f"path must be a whole safetensors file: {os.fspath(path)!r} is none, "
            f"{printable(str(error))}"
        ) from None


def check_shape(name: str, shape: tuple[int, ...], shapes: Shapes, text: dict[str, str]) -> None:
    """A shape in a file with this text, against the one that is wanted, if any is."""
    wanted = shapes.get(name, shape)
    if shape != wanted:
        hint = "; heads were pruned, see heedful.pruning.pruned_heads" * (PRUNED in text)
        raise ValueError(f"{printable(name)} must have shape {wanted}: got {shape}{hint}")


def _check(file: Any, shapes: Shapes) -> None:
    text = file.metadata() or {}
    for name in file.keys():  # noqa: SIM118, no mapping
        tensor = file.get_slice(name)
        shape, kind = tuple(tensor.get_shape()), str(tensor.get_dtype())
        check_shape(name, shape, shapes, text)
        if kind not in TYPES:
            raise TypeError(
                f"{printable(name)} must be of F64, F32, F16, BF16, integers or BOOL: got {kind}"
            )


def _arrays(path: AnyPath, file: Any) -> dict[str, Array]:
    names = list(file.keys())
    narrow = {name for name in names if file.get_slice(name).get_dtype() == "BF16"}
    views = mapped(path) if narrow else {}
    found: dict[str, Array] = {}
    for name in names:
        if name in narrow:
            found[name] = widened(views[name])
            release(views[name])
        else:
            found[name] = file.get_tensor(name)
    return found


def _last(path: AnyPath) -> str:
    return repr(Path(path).name)
