"""A checkpoint: one safetensors file, or an index and the shards that it lists."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

from heedful._checks import named
from heedful._printable import printable
from heedful._whole_file import AnyPath, check_path
from heedful.base._types import Array
from heedful.training.files._mapped import mapped
from heedful.training.files._safetensors import (
    Shapes,
    checked_file,
    one_place,
    read_shards,
)
from heedful.training.files._tensors import read_tensors

WHOLE = "model.safetensors"
INDEX = f"{WHOLE}.index.json"


def read_checkpoint(path: AnyPath, shapes: Shapes | None = None) -> dict[str, Array]:
    """The arrays of a safetensors file, of an index's shards, or of a folder with either.

    In a folder model.safetensors takes precedence, as in transformers.
    """
    check_path(path)
    place = Path(path)
    if place.is_dir():
        inside = [place / name for name in (WHOLE, INDEX) if (place / name).is_file()]
        if not inside:
            raise IsADirectoryError(
                f"path must be a file: got the folder {os.fspath(path)!r}, which has no {WHOLE} "
                f"and no {INDEX}"
            )
        place = inside[0]
    files, shard_of = files_of(place)
    if not shard_of:
        return read_tensors(place, shapes)[0]
    tensors, found = read_shards(files, shapes)
    check_places(place, shard_of, found)
    return tensors


def mapped_checkpoint(files: Sequence[Path]) -> tuple[dict[str, Array], dict[str, Path]]:
    """The arrays of files as views of them, see `mapped`, and the file of each name.

    All files are checked before any is mapped. A name in two of them is a ValueError.
    """
    place: dict[str, Path] = {}
    for path in files:
        for name in checked_file(path):
            one_place(place, name, path)
    tensors: dict[str, Array] = {}
    for path in files:
        tensors |= mapped(path)
    return tensors, place


def files_of(place: Path) -> tuple[list[Path], dict[str, str]]:
    """The file itself, or the shards of an index and the shard of each name."""
    if not place.name.endswith(".json"):
        return [place], {}
    shard_of = _shards(place)
    names = sorted(set(shard_of.values()))
    missing = [name for name in names if not (place.parent / name).exists()]
    if missing:
        raise FileNotFoundError(
            f"{place.name} lists shards that are not there: {printable(', '.join(missing))}"
        )
    return [place.parent / name for name in names], shard_of


def check_places(index: Path, shard_of: Mapping[str, str], found: Mapping[str, AnyPath]) -> None:
    """Every name must have been found in the shard that the index lists."""
    for name, shard in shard_of.items():
        if name not in found or Path(found[name]).name != shard:
            raise ValueError(f"{printable(name)} must be in {shard!r}, as {index.name} says")


def _shards(index: Path) -> dict[str, str]:
    """The file of each name according to an index; the index is not trusted."""
    try:
        found = json.loads(index.read_text(encoding="utf-8"), object_pairs_hook=_once)["weight_map"]
        if not isinstance(found, dict) or not found:
            raise TypeError(f"weight_map must be a mapping of names to files: got {named(found)}")
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            f"path must be an index of safetensors files: {index.name} is none, "
            f"{printable(str(error))}"
        ) from None
    for shard in found.values():
        _check_name(shard)
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{named(name)} is in it twice")
        found[name] = value
    return found


def _check_name(shard: Any) -> None:
    """A file beside the index, and never a pickle."""
    if not isinstance(shard, str) or not shard.endswith(".safetensors"):
        raise ValueError(f"shards must be .safetensors files: got {named(shard)}")
    inside = Path(shard).name == shard == PureWindowsPath(shard).name
    if not inside or "\0" in shard:
        raise ValueError(f"shards must be in the folder of the index: got {named(shard)}")
