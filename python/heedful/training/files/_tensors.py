"""Files of arrays and text: npz by NumPy where the path ends so, otherwise safetensors."""

from __future__ import annotations

from heedful._whole_file import AnyPath, check_path
from heedful.base._types import Array
from heedful.training.files import _safetensors
from heedful.training.files._npz import is_npz, read_npz, read_npz_text, write_npz
from heedful.training.files._safetensors import Shapes


def read_tensors(
    path: AnyPath, shapes: Shapes | None = None
) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays of a file and its text.

    Shapes of names that are in `shapes` are compared before anything is read.
    """
    check_path(path)
    if is_npz(path):
        return read_npz(path, shapes or {})
    return _safetensors.read_tensors(path, shapes)


def read_text(path: AnyPath) -> dict[str, str]:
    """The text of a file alone."""
    check_path(path)
    return read_npz_text(path) if is_npz(path) else _safetensors.read_text(path)


def write_tensors(tensors: dict[str, Array], path: AnyPath, text: dict[str, str]) -> None:
    """Atomically, see `whole_file`."""
    check_path(path)
    (write_npz if is_npz(path) else _safetensors.write_tensors)(tensors, path, text)
