"""What cannot be read is skipped and reported; everything else is searched."""

from __future__ import annotations

import inspect
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from heedful._command import documents
from heedful._command.documents import Skipped
from heedful._command.search import read_passages

pytestmark = pytest.mark.skipif(os.name != "posix", reason="pipes, links and names as POSIX has")


def search(folder: Path) -> tuple[list[str], list[str]]:
    """Names of what is read, and the lines on what is not."""
    skipped = Skipped(folder)
    names = [str(passage.path.relative_to(folder)) for passage in
             read_passages(folder, (".txt",), skipped)]  # fmt: skip
    return names, skipped.lines


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # its name may be 108 bytes long
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (make_pipe, "a device, pipe or socket"),
        (make_socket, "a device, pipe or socket"),
        (lambda path: path.symlink_to("/dev/zero"), "a device, pipe or socket"),
        (lambda path: path.symlink_to(path.name), "Too many levels of symbolic links"),
        (lambda path: path.symlink_to("nowhere"), "not there, or a link to nothing"),
        (lambda path: path.symlink_to("."), "a link to a folder"),
        (lambda path: path.symlink_to("/"), "a link to a folder"),
        (lambda path: path.write_bytes(b"\xe9t\xe9"), "not in UTF-8"),
        (lambda path: path.write_bytes("words".encode("utf-16")), "binary"),
        (lambda path: path.write_bytes(b"a\0b"), "binary"),
        (lambda path: path.write_bytes(b"a" * 10_000_001), "larger than 10 MB"),
    ],
    ids=["pipe", "socket", "device", "loop", "dangling", "folder", "root", "latin", "utf16",
         "binary", "huge"],
)  # fmt: skip
def test_what_is_no_text_is_skipped_and_reported(make: Any, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("words", encoding="utf-8")
    make(tmp_path / "b.txt")
    (tmp_path / "c.txt").write_text("words", encoding="utf-8")
    assert search(tmp_path) == (["a.txt", "c.txt"], [f"skipped b.txt: {reason}"])


def refuse(monkeypatch: pytest.MonkeyPatch, name: str, error: OSError) -> None:
    """For root may enter and read everything."""
    for function in ("scandir", "open", "stat"):
        before = getattr(os, function)

        def call(path: Any, *args: Any, before: Any = before, **options: Any) -> Any:
            if isinstance(path, (str, Path)) and name in Path(path).parts:
                raise error
            return before(path, *args, **options)

        monkeypatch.setattr(documents.os, function, call)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(13, "Permission denied"), "Permission denied"),
        (FileNotFoundError(2, "No such file or directory"), "not there, or a link to nothing"),
        (OSError(5, "Input/output error"), "Input/output error"),
        (NotADirectoryError(20, "Not a directory"), "Not a directory"),
    ],
)
@pytest.mark.parametrize("name", ["closed", "closed.txt"])
def test_what_may_not_be_read_or_vanishes_is_skipped_and_reported(
    name: str, error: OSError, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / name
    if place.suffix:
        place.write_text("words", encoding="utf-8")
    else:
        (place / "inside").mkdir(parents=True)
    (tmp_path / "a.txt").write_text("words", encoding="utf-8")
    (tmp_path / "z").mkdir()
    (tmp_path / "z" / "z.txt").write_text("words", encoding="utf-8")
    refuse(monkeypatch, name, error)
    assert search(tmp_path) == (["a.txt", "z/z.txt"], [f"skipped {name}: {reason}"])


@pytest.mark.skipif(getattr(os, "geteuid", int)() == 0, reason="root may enter everything")
def test_a_folder_that_may_not_be_entered_is_skipped_and_reported(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    (tmp_path / "a.txt").write_text("words", encoding="utf-8")
    assert search(tmp_path) == (["a.txt"], ["skipped closed: Permission denied"])


def test_folders_may_be_deeper_than_calls(tmp_path: Path) -> None:
    place = tmp_path
    for _ in range(100):
        place = place / "d"
        place.mkdir()
    (place / "a.txt").write_text("words", encoding="utf-8")
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 70)
    try:
        names, skipped = search(tmp_path)
    finally:
        sys.setrecursionlimit(before)
    assert (len(names), skipped) == (1, [])


def test_many_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for index in range(23):
        (tmp_path / f"{index:02}.txt").write_bytes(b"\xff")
    skipped = Skipped(tmp_path)
    assert list(read_passages(tmp_path, (".txt",), skipped)) == []
    skipped.show()
    shown = capsys.readouterr()
    assert shown.out == ""
    lines = shown.err.splitlines()
    assert lines[0] == "skipped 00.txt: not in UTF-8"
    assert lines[-2:] == ["skipped 09.txt: not in UTF-8", "skipped 13 more"]


def test_control_characters_in_names_are_escaped(tmp_path: Path) -> None:
    names = (b"a\xff\x1b[2J.txt", b"b\n.txt", "c\x9b\u202e.txt".encode())
    for name in names:
        Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name))).write_bytes(b"\xff")
    _, skipped = search(tmp_path)
    assert skipped == [
        "skipped a\\udcff\\x1b[2J.txt: not in UTF-8", "skipped b\\n.txt: not in UTF-8",
        "skipped c\\x9b\\u202e.txt: not in UTF-8",
    ]  # fmt: skip


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf# Title\n\nwords")
    (passage,) = read_passages(tmp_path, (".txt",))
    assert passage.whole == "# Title\n\nwords"
