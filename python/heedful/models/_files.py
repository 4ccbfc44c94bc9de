"""The files of a model's folder, of which nothing outside it is read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from heedful._checks import named
from heedful.base._types import Array
from heedful.models._config import Config, read_object
from heedful.training.files._checkpoint import (
    INDEX,
    WHOLE,
    check_places,
    files_of,
    mapped_checkpoint,
)

CONFIG = "config.json"
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")


def checked_folder(given: Any) -> Path:
    if not isinstance(given, (str, os.PathLike)):
        raise TypeError(f"folder must be a str or a path: got {named(given)}")
    folder = Path(given)
    if not folder.is_dir():
        hint = " (heedful does not download)" if not folder.exists() else ", which is a file"
        raise NotADirectoryError(
            f"folder must be an existing folder with {CONFIG}: got {os.fspath(given)!r}{hint}"
        )
    return folder


def file_in(folder: Path, name: str) -> Path | None:
    """A file of the folder; None where there is none. A link that leads out is a ValueError.

    The cache of Hugging Face's hub is allowed: its ``snapshots/<revision>`` links to ``blobs``.
    """
    path = folder / name
    if not path.exists():
        return None
    target, home = path.resolve(), folder.resolve()
    places = [home]
    if home.parent.name == "snapshots":
        places.append(home.parent.parent / "blobs")
    if not any(target.is_relative_to(place) for place in places):
        raise ValueError(f"{name} must be in the folder: got a link to {str(target)!r}")
    if not target.is_file():
        raise OSError(f"{name} must be a file: got {str(target)!r}, which is none")
    return path


def read_config(folder: Path) -> Config:
    path = file_in(folder, CONFIG)
    if path is None:
        raise FileNotFoundError(f"folder must have a {CONFIG}: got {str(folder)!r}")
    return Config(read_object(path), CONFIG)


def read_tensors(folder: Path) -> dict[str, Array]:
    """The arrays of the folder's checkpoint, views of the mapped files; see `mapped_checkpoint`."""
    found = file_in(folder, WHOLE) or file_in(folder, INDEX)
    if found is None:
        pickles = [name for name in _PICKLES if (folder / name).exists()]
        hint = ""
        if pickles:
            hint = (
                f", which has {pickles[0]}, a pickle that could run any program: save the model "
                "again with transformers' save_pretrained, which writes safetensors"
            )
        raise FileNotFoundError(f"folder must have {WHOLE} or {INDEX}: got {str(folder)!r}{hint}")
    files, shard_of = files_of(found)
    for file in files:
        file_in(folder, file.name)
    tensors, place = mapped_checkpoint(files)
    check_places(found, shard_of, place)
    return tensors
