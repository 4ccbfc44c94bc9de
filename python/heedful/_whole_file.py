"""Files that are written as a whole or not at all."""

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
    """An empty file beside `path`, to be written; at the end it takes the place of `path`.

    After an error, or Ctrl-C, `path` is what it was and the other file is gone. A new file has the
    mode that the umask leaves, as by `open`; an old one hands on its mode, and its owner where that
    is allowed. Symbolic links stay: what they lead to is written.
    """
    target = Path(os.path.realpath(path))
    _check_replaced(target, path)
    before = target.stat() if target.exists() else None
    beside = target.with_name(f".{secrets.token_hex(8)}.part")  # not longer than a name may be
    try:
        mode = _created(beside)
        yield beside
        if before is None:
            beside.chmod(mode)
        else:
            _make_like(beside, before)
        beside.replace(target)
    except OSError as error:
        if error.filename is None or not _is_of(error, beside):
            raise
        # the caller does not know the name of the file beside it
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None
    finally:
        with suppress(OSError):
            beside.unlink()


def check_target(path: AnyPath) -> None:
    """Refuses what no file can be written to: before a long computation, not after it."""
    check_path(path)
    target = Path(os.path.realpath(path))
    shown = repr(os.fspath(path))
    if Path(path).is_symlink():
        shown += f", a link to {str(target)!r}"
    if not target.parent.is_dir():
        raise FileNotFoundError(f"path must lie in a folder that is there: got {shown}")
    if target.is_dir():
        raise IsADirectoryError(f"path must be a file: got the folder {shown}")
    _check_replaced(target, path)


def _check_replaced(target: Path, path: AnyPath) -> None:
    """What stands there may be a file that may be written, and nothing else."""
    if target.is_symlink():  # which leads to itself
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(path))
    if not target.exists() or target.is_dir():  # a folder cannot be replaced
        return
    shown = repr(os.fspath(path))
    if not target.is_file():  # to replace /dev/null would be a disaster
        raise OSError(f"path must be a file: got {shown}, a device or a pipe")
    if not os.access(target, os.W_OK):
        raise PermissionError(f"path must be a file that may be written: got {shown}")


def _created(path: Path) -> int:
    """Makes the file, which must not be there, and says which mode the umask left it."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        return stat.S_IMODE(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)


def _make_like(path: Path, before: os.stat_result) -> None:
    """Owner first: a change of it takes bits of the mode away."""
    if hasattr(os, "chown"):
        for owner in ((before.st_uid, -1), (-1, before.st_gid)):
            with suppress(OSError):  # only root may give files away
                os.chown(path, *owner)
    path.chmod(stat.S_IMODE(before.st_mode))


def _is_of(error: OSError, path: Path) -> bool:
    return os.fspath(path) in (error.filename, error.filename2)
