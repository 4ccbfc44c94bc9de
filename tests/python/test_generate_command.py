"""`python -m heedful generate`: what it prints, streams and refuses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import heedful
from heedful._command.generation import decoded, shown

pytest.importorskip("safetensors")
pytest.importorskip("tokenizers")

from written_llama import write_llama
from written_t5 import write_t5

from heedful.models import Tokenizer, from_pretrained


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llama(tmp_path_factory.mktemp("my-llama"))


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "heedful", "generate", *words]


def environment() -> dict[str, str]:
    source = str(Path(heedful.__file__).parents[1])
    path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8", "COLUMNS": "80"}


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*words), capture_output=True, text=True, encoding="utf-8", timeout=300,
        env=environment(),
    )  # fmt: skip


@pytest.mark.slow
def test_the_text_is_that_of_the_model(folder: Path) -> None:
    done = run(str(folder), "the cat", "--max-tokens", "12")
    assert done.returncode == 0, done.stderr
    tokenizer, model = Tokenizer.from_pretrained(folder), from_pretrained(folder)
    prompt = tokenizer.encode("the cat")
    new = model.generate([prompt], max_length=12)[0]
    text = tokenizer.decode(new, skip_special_tokens=True)
    assert done.stdout == shown(text) + "\n"
    again = [run(str(folder), "the cat", "--max-tokens", "12", "--temperature", "0.9", "--top-p",
                 "0.8", "--seed", seed).stdout for seed in ("1", "1", "2")]  # fmt: skip
    assert again[0] == again[1] != again[2]


@pytest.mark.slow
def test_an_answer_is_printed_without_the_question(folder: Path) -> None:
    pytest.importorskip("jinja2")
    done = run(str(folder), "the cat", "--max-tokens", "9", "--chat")
    assert done.returncode == 0, done.stderr
    tokenizer, model = Tokenizer.from_pretrained(folder), from_pretrained(folder)
    prompt = tokenizer.encode("<s><user>the cat<assistant>", add_special_tokens=False)
    assert prompt[0] == 256
    new = model.generate([prompt], max_length=9)[0][len(prompt) :]
    expected = tokenizer.decode(new, skip_special_tokens=True)
    assert done.stdout.rstrip("\n") == shown(expected).rstrip("\n")


@pytest.mark.slow
def test_an_encoder_decoder_answers(tmp_path: Path) -> None:
    write_t5(tmp_path)
    done = run(str(tmp_path), "the cat", "--max-tokens", "9")
    assert done.returncode == 0, done.stderr
    tokenizer, model = Tokenizer.from_pretrained(tmp_path), from_pretrained(tmp_path)
    target = model.generate([tokenizer.encode("the cat")], max_length=9)[0]
    expected = tokenizer.decode(target, skip_special_tokens=True)
    assert len(expected) > 3
    assert done.stdout.rstrip("\n") == shown(expected).rstrip("\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["nowhere", "a"], 1, "folder must be an existing folder with config.json"),
        (["{folder}", ""], 1, "the prompt has no tokens: write a text"),
        (["{folder}", "a", "--max-tokens", "0"], 2, "expected a number from 1 on, got 0"),
        (["{folder}", "a", "--temperature", "-1"], 2, "expected a number from 0 on, got -1"),
        (["{folder}", "a", "--top-p", "1.5"], 2, "expected a number above 0, at most 1, got 1.5"),
        (["{folder}", "a", "--seed", "x"], 2, "expected an integer from 0 on, got x"),
        (["{folder}"], 2, "the following arguments are required: prompt"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_in_a_sentence(
    words: list[str], code: int, message: str, folder: Path
) -> None:
    done = run(*(word.replace("{folder}", str(folder)) for word in words))
    assert done.returncode == code, done.stderr
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_folder_that_does_not_fit_is_named(tmp_path: Path) -> None:
    write_llama(tmp_path, model_type="mamba")
    done = run(str(tmp_path), "a")
    assert done.returncode == 1
    assert "model_type of config.json must be one of" in done.stderr
    write_llama(tmp_path, num_attention_heads=3)
    done = run(str(tmp_path), "a")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (tmp_path / "tokenizer.json").unlink()
    done = run(str(tmp_path), "a")
    assert "folder must have a tokenizer.json" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_ends_it_after_what_was_written(folder: Path) -> None:
    started = subprocess.Popen(
        command(str(folder), "the cat", "--max-tokens", "1000000"), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env=environment(),
    )  # fmt: skip
    try:
        assert started.stdout is not None
        assert started.stdout.read(12)
        time.sleep(0.2)
        started.send_signal(signal.SIGINT)
        out, errors = started.communicate(timeout=60)
    finally:
        started.kill()
    assert started.returncode == 130
    assert out.endswith(b"\n")
    assert errors == b""


@pytest.mark.slow
def test_the_help_fits_80_columns() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= 80
    for option in ("--max-tokens", "--temperature", "--top-p", "--seed", "--chat"):
        assert option in done.stdout


def test_characters_of_several_tokens_come_whole(folder: Path) -> None:
    tokenizer = Tokenizer.from_pretrained(folder)
    text = "é 猫\n🐈 end\tof\x1b[31m"
    tokens = tokenizer.encode(text)
    pieces: Iterator[str] = decoded(tokenizer, tokenizer.encode("a"), tokens)
    found = list(pieces)
    assert "".join(found) == text
    assert "猫" in found
    assert "🐈" in found
    assert shown("a\r\n\tb\x1b[31m\u202ec") == "a\n\tb\\x1b[31m\\u202ec"
    unfinished = list(decoded(tokenizer, tokens[:1], tokenizer.encode("猫")[:2]))
    assert "".join(unfinished).strip("\ufffd") == ""
    assert np.size(tokens) > len(found)
