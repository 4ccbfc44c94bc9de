"""The text files of a folder, and what is skipped, with the reason."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from heedful._printable import printable

_BYTES = 10_000_000  # a larger file is no document
_TOOLS = {"node_modules", "build", "dist", "__pycache__"}
_SHOWN = 10  # of what is skipped

OnSkip = Callable[[Path, str], None]


class Skipped:
    """Counts what is skipped, and reports the first ones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines: list[str] = []
        self.count = 0

    def __call__(self, path: Path, reason: str) -> None:
        self.count += 1
        if len(self.lines) < _SHOWN:
            name = os.path.relpath(path, self.folder)
            self.lines.append(f"skipped {printable(name)}: {printable(reason)}")

    def show(self) -> None:
        more = self.count - len(self.lines)
        for line in [*self.lines, *([f"skipped {more} more"] if more else [])]:
            print(line, file=sys.stderr)


def read_documents(
    folder: Path, endings: tuple[str, ...], on_skip: OnSkip
) -> Iterator[tuple[Path, str]]:
    """The text of each file with one of these extensions, in the order of their names."""
    for path in _files(folder, on_skip):
        if path.suffix.lower() not in endings:
            continue
        try:
            text = _text(path)
        except OSError as error:
            on_skip(path, _reason(error))
        except ValueError as error:
            on_skip(path, str(error))
        else:
            yield path, text


def _files(folder: Path, on_skip: OnSkip) -> Iterator[Path]:
    """All files but generated ones: of tools, of environments, of builds."""
    pending: list[tuple[Path, bool]] = [(folder, True)]
    while pending:
        place, is_folder = pending.pop()
        if not is_folder:
            yield place
            continue
        try:
            with os.scandir(place) as found:
                entries = sorted(found, key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            on_skip(place, _reason(error))
            continue
        for entry in entries:
            path = Path(entry.path)
            if not _is_folder(entry):
                pending.append((path, False))
            elif entry.is_symlink():  # its target may be anywhere, even this folder
                on_skip(path, "a link to a folder")
            elif not _is_of_tools(path):
                pending.append((path, True))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # such as a link to itself: reported when it is read
        return False


def _is_of_tools(folder: Path) -> bool:
    hidden = folder.name.startswith(".") or folder.name in _TOOLS
    return hidden or os.path.isfile(folder / "pyvenv.cfg")  # False without permission to enter


def _text(path: Path) -> str:
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError("a device, pipe or socket")
    # without blocking, in case a pipe has replaced it meanwhile
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("a device, pipe or socket")
        content = file.read(_BYTES + 1)
    if len(content) > _BYTES:
        raise ValueError(f"larger than {_BYTES // 10**6} MB")
    if b"\0" in content:
        raise ValueError("binary")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("not in UTF-8") from None


def _reason(error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return "not there, or a link to nothing"
    return error.strerror or str(error)
