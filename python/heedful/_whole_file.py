"""Atomic writes: a file is written as a whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from heedful._checks import named

AnyPath = str | os.PathLike[str]


def check_path(path: AnyPath) -> None:
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path must be a str or a path: got {named(path)}")


@contextmanager
def whole_file(path: AnyPath) -> Iterator[Path]:
    """A temporary file beside `path`, to be written; at the end it replaces `path`.

    After an error, or Ctrl-C, `path` is unchanged and the temporary file is removed. A new file has
    the mode that the umask leaves, as by `open`; an existing one keeps its mode, and its owner if
    permitted. Symbolic links stay: their target is written.
    """
    target = Path(os.path.realpath(path))
    _check_replaced(target, path)
    before = target.stat() if target.exists() else None
    temporary = target.with_name(f".{secrets.token_hex(8)}.part")  # within the limit of names
    try:
        mode = _created(temporary)
        yield temporary
        if before is None:
            temporary.chmod(mode)
        else:
            _copy_mode(temporary, before)
        temporary.replace(target)
    except OSError as error:
        if error.filename is None or not _is_of(error, temporary):
            raise
        # the name of the temporary file means nothing to the caller
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None
    finally:
        with suppress(OSError):
            temporary.unlink()


def check_source(path: AnyPath) -> None:
    """Reject a path that is there but is no file: opening a pipe would block."""
    check_path(path)
    place = Path(path)
    if place.is_dir():
        raise IsADirectoryError(f"path must be a file: got the folder {os.fspath(path)!r}")
    if place.exists() and not place.is_file():
        raise OSError(f"path must be a file: got {os.fspath(path)!r}, a device or a pipe")


def check_target(path: AnyPath) -> None:
    """Reject a path that cannot be written: before a long computation, not after it."""
    check_path(path)
    target = Path(os.path.realpath(path))
    shown = repr(os.fspath(path))
    if Path(path).is_symlink():
        shown += f", a link to {str(target)!r}"
    if not target.parent.is_dir():
        raise FileNotFoundError(f"path must be in an existing folder: got {shown}")
    if target.is_dir():
        raise IsADirectoryError(f"path must be a file: got the folder {shown}")
    _check_replaced(target, path)


def _check_replaced(target: Path, path: AnyPath) -> None:
    """An existing target must be a regular file with write permission."""
    if target.is_symlink():  # a link to itself
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(path))
    if not target.exists() or target.is_dir():  # a folder cannot be replaced
        return
    shown = repr(os.fspath(path))
    if not target.is_file():  # to replace /dev/null would be a disaster
        raise OSError(f"path must be a file: got {shown}, a device or a pipe")
    if not os.access(target, os.W_OK):
        raise PermissionError(f"path must be a file that may be written: got {shown}")


def _created(path: Path) -> int:
    """Create the file, which must not exist; returns the mode that the umask left it."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        return stat.S_IMODE(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)


def _copy_mode(path: Path, before: os.stat_result) -> None:
    """Owner first: changing it clears bits of the mode."""
    if hasattr(os, "chown"):
        for owner in ((before.st_uid, -1), (-1, before.st_gid)):
            with suppress(OSError):  # only root may give files away
                os.chown(path, *owner)
    path.chmod(stat.S_IMODE(before.st_mode))


def _is_of(error: OSError, path: Path) -> bool:
    return os.fspath(path) in (error.filename, error.filename2)
