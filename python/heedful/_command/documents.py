"""The text files of a folder, and what is passed by on the way, with the reason."""

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
_SHOWN = 10  # of what is passed by

Told = Callable[[Path, str], None]


class PassedBy:
    """Counts what is passed by, and tells the first ones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines: list[str] = []
        self.count = 0

    def __call__(self, path: Path, reason: str) -> None:
        self.count += 1
        if len(self.lines) < _SHOWN:
            name = os.path.relpath(path, self.folder)
            self.lines.append(f"passed by {printable(name)}: {printable(reason)}")

    def show(self) -> None:
        more = self.count - len(self.lines)
        for line in [*self.lines, *([f"and {more} more passed by"] if more else [])]:
            print(line, file=sys.stderr)


def read_documents(
    folder: Path, endings: tuple[str, ...], told: Told
) -> Iterator[tuple[Path, str]]:
    """The text of each file of these endings, in the order of their names."""
    for path in _files(folder, told):
        if path.suffix.lower() not in endings:
            continue
        try:
            text = _text(path)
        except OSError as error:
            told(path, _reason(error))
        except ValueError as error:
            told(path, str(error))
        else:
            yield path, text


def _files(folder: Path, told: Told) -> Iterator[Path]:
    """All but those that nobody wrote to be read: of tools, of environments, of builds."""
    waiting: list[tuple[Path, bool]] = [(folder, True)]
    while waiting:
        place, is_folder = waiting.pop()
        if not is_folder:
            yield place
            continue
        try:
            with os.scandir(place) as found:
                entries = sorted(found, key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            told(place, _reason(error))
            continue
        for entry in entries:
            path = Path(entry.path)
            if not _is_folder(entry):
                waiting.append((path, False))
            elif entry.is_symlink():  # it may lead anywhere, back to here too
                told(path, "a link to a folder")
            elif not _is_of_tools(path):
                waiting.append((path, True))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, say: told when it is read
        return False


def _is_of_tools(folder: Path) -> bool:
    hidden = folder.name.startswith(".") or folder.name in _TOOLS
    return hidden or os.path.isfile(folder / "pyvenv.cfg")  # False where it may not be entered


def _text(path: Path) -> str:
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError("a device, pipe or socket")
    # not waiting, should a pipe have taken its place meanwhile
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
