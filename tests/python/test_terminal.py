"""What reaches a terminal: text of any file on any terminal, and nothing that commands it."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from heedful.__main__ import main
from heedful._command.terminal import any_text
from heedful._printable import printable

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("words, Äpfel und 中文 – ไทย", "words, Äpfel und 中文 – ไทย"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\x9b2J\x85", "\\x9b2J\\x85"),
        ("a\nb\r\t\x7f", "a\\nb\\r\\t\\x7f"),
        ("\u202eevil\u2066\u200f", "\\u202eevil\\u2066\\u200f"),
        ("\ud800\udcff", "\\ud800\\udcff"),
        ("\U000e0041", "\\U000e0041"),
        ("می\u200cخواهم 👩\u200d🔬", "می\u200cخواهم 👩\u200d🔬"),
        ("\\x1b", "\\x1b"),
    ],
)
def test_what_commands_a_terminal_is_shown_in_signs(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_letters_that_a_terminal_lacks_are_written_in_signs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    with any_text():
        print("中 \udcff")
    assert stream.buffer.getvalue() == b"\\u4e2d \\udcff\n"  # type: ignore[attr-defined]
    assert stream.errors == "strict"


COMMAND = [sys.executable, "-m", "heedful"]


def run(*words: Any, environment: dict[str, str] | None = None, **options: Any) -> Any:
    return subprocess.run(
        [*COMMAND, *words], timeout=300, check=False, env={**os.environ, **(environment or {})},
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    name = os.fsdecode(b"na\xffme\x1b[2J.txt")
    (tmp_path / name).write_text("attention \x1b[31mplease\x9b2J \u202e中文\x07", encoding="utf-8")
    return tmp_path


def need_weights() -> None:
    pytest.importorskip("tokenizers")
    from heedful.integrations.sentences import find_minilm

    try:
        find_minilm()
    except ModuleNotFoundError as error:
        pytest.skip(str(error))


posix = pytest.mark.skipif(os.name != "posix", reason="names that are not UTF-8")


@posix
@pytest.mark.peer
@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "chinese"),
    [
        ({"PYTHONIOENCODING": "ascii"}, b"\\u4e2d\\u6587"),
        ({"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}, b"\\u4e2d\\u6587"),
        ({"LC_ALL": "C"}, "中文".encode()),
        ({"PYTHONIOENCODING": "utf-8"}, "中文".encode()),
    ],
)
def test_search_prints_any_file_on_any_terminal(
    environment: dict[str, str], chinese: bytes, folder: Path
) -> None:
    need_weights()
    done = run("search", b"atten\xfftion \xed\xa0\x80", folder, environment=environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    first, second = done.stdout.splitlines()[:2]
    assert first.endswith(b"  na\\udcffme\\x1b[2J.txt:1")
    assert second == b"   attention \\x1b[31mplease\\x9b2J \\u202e" + chinese + b"\\x07"


@posix
@pytest.mark.peer
@pytest.mark.slow
@pytest.mark.parametrize("command", ["search", "explain"])
def test_a_terminal_shows_what_is_being_done(command: str, folder: Path, tmp_path: Path) -> None:
    need_weights()
    terminal, stderr = os.openpty()
    page = ("--html", tmp_path / "page.html") if command == "explain" else ()
    done = run(command, "attention", folder, *page, stderr=stderr)
    os.close(stderr)
    shown = b""
    with contextlib.suppress(OSError):  # its end
        while part := os.read(terminal, 1 << 16):
            shown += part
    os.close(terminal)
    assert done.returncode == 0, shown
    lines = [line.rstrip() for line in shown.split(b"\r") if line.strip()]
    expected = [b"reading the files", b"loading the model", b"reading passages: 0 of 1"]
    assert lines == [*expected, *([b"drawing its attention"] if command == "explain" else [])]
    assert shown.endswith(b"\r" + b" " * 60 + b"\r")
    assert b"reading" not in done.stdout


@posix
@pytest.mark.parametrize(
    ("words", "code", "shown"),
    [
        (("search", "a", b"no\x1b[2J\xff"), 1, b"no\\x1b[2J\\udcff is no folder"),
        (("search", "a", "b", b"c\x1b[2J\xff"), 2, b"unrecognized arguments: c\\x1b[2J\\udcff"),
        (("--picture", b"a\x1b[2J"), 2, b".svg file, got 'a\\x1b[2J'"),
        ((b"\x1b[2J\xff",), 2, b"invalid choice: '\\x1b[2J\\udcff'"),
        (("bench", "--json", "x", b"\x1b[2J"), 2, b"unrecognized arguments: \\x1b[2J"),
    ],
)
def test_messages_name_files_in_signs(words: Any, code: int, shown: bytes, tmp_path: Path) -> None:
    done = run(*words, cwd=tmp_path)
    assert done.returncode == code
    assert shown in done.stderr
    assert b"\x1b" not in done.stderr
    assert b"Traceback" not in done.stderr


@posix
@pytest.mark.parametrize("words", [("config",), ("--help",), ("search", "--help")])
def test_a_reader_that_left_before_the_first_line_causes_no_message(words: Any) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = run(*words, stdout=writing)
    os.close(writing)
    assert done.returncode in (0, 1)  # argparse does not mind
    assert done.stderr == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is full")
def test_output_that_cannot_be_written_is_one_line() -> None:
    with open("/dev/full", "wb") as full:
        done = run("config", stdout=full)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [b"python -m heedful: [Errno 28] No space left on device"]


@posix
def test_ctrl_c_ends_quietly(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "bench", "--shapes", "overhead", "--libraries", "heedful", "--seconds", "30"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        # a shell's background commands ignore SIGINT, and so would this one
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == b""


def test_streams_are_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config"]) == 0
    assert "heedful" in capsys.readouterr().out
