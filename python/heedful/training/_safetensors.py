"""safetensors files: arrays and text, read with care and written as a whole."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from heedful.training._types import Array

AnyPath = str | os.PathLike[str]


def _library() -> Any:
    try:
        from safetensors import numpy as library
    except ImportError:
        raise ImportError(
            "files of weights need the package safetensors: pip install safetensors"
        ) from None
    return library


def read_tensors(
    path: AnyPath, shapes: Mapping[str, tuple[int, ...]] | None = None
) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays of a safetensors file and its text.

    Where `shapes` says what shape a name has, it is compared before anything is read.
    """
    _library()
    from safetensors import SafetensorError, safe_open

    if Path(path).is_dir():
        raise IsADirectoryError(f"path must be a file: got the folder {os.fspath(path)!r}")
    tensors: dict[str, Array] = {}
    try:
        with safe_open(path, framework="numpy") as file:
            text = file.metadata() or {}
            names = list(file.keys())
            for name in names:
                shape = tuple(file.get_slice(name).get_shape())
                wanted = (shapes or {}).get(name, shape)
                if shape != wanted:
                    raise ValueError(f"{name} must have shape {wanted}: got {shape}")
            for name in names:
                tensors[name] = file.get_tensor(name)
    except SafetensorError as error:
        raise SafetensorError(
            f"path must be a whole safetensors file: {os.fspath(path)!r} is none, {error}"
        ) from None
    return tensors, text


def write_tensors(tensors: dict[str, Array], path: AnyPath, text: dict[str, str]) -> None:
    """Whole or not at all: an interrupted write leaves the file before it as it was."""
    target = Path(path)
    check_folder(target)
    beside = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        ready = {name: np.asarray(array, order="C") for name, array in tensors.items()}
        _library().save_file(ready, beside, metadata=text)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def check_folder(path: Path) -> None:
    """A file can be written only where its folder is."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"path must lie in a folder that is there: got {str(path)!r}")
    if path.is_dir():
        raise IsADirectoryError(f"path must be a file: got the folder {str(path)!r}")
