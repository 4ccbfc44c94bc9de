"""examples/translate_messages: its parts, and the whole on made-up catalogues."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import heedful

pytest.importorskip("sacrebleu")
pytest.importorskip("sklearn")
pytest.importorskip("tokenizers")
APPLICATION = Path(__file__).parents[1] / "examples/translate_messages"
NOUNS = {"file": "Datei", "page": "Seite", "line": "Zeile", "word": "Wort", "disk": "Platte"}
VERBS = {"open": "öffnen", "read": "lesen", "save": "sichern", "close": "schließen"}
PROGRAMS = ("alpha", "beta", "gamma", "delta")


@pytest.fixture
def parts() -> Iterator[None]:
    """The folder of the application, whose modules import each other by name."""
    before = set(sys.modules)
    sys.path.insert(0, str(APPLICATION))
    yield
    sys.path.remove(str(APPLICATION))
    for name in set(sys.modules) - before:
        if (APPLICATION / f"{name}.py").exists():
            del sys.modules[name]


def write_catalogue(path: Path, messages: dict[str, str]) -> None:
    """A .mo file as gettext's manual describes it, version 0."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pairs = sorted({"": "Content-Type: text/plain; charset=UTF-8\n", **messages}.items())
    columns = [[one.encode() for one in column] for column in zip(*pairs, strict=True)]
    place, tables, texts = 28 + 16 * len(pairs), b"", b""
    for column in columns:
        for text in column:
            tables += struct.pack("<2I", len(text), place + len(texts))
            texts += text + b"\0"
    head = struct.pack("<7I", 0x950412DE, 0, len(pairs), 28, 28 + 8 * len(pairs), 0, 0)
    path.write_bytes(head + tables + texts)


@pytest.fixture
def catalogues(tmp_path: Path) -> Path:
    rng = np.random.default_rng(3)
    for program in PROGRAMS:
        messages = {}
        for noun, german in NOUNS.items():
            for verb, own in VERBS.items():
                number = rng.integers(100)
                messages[f"_{verb.capitalize()} the {noun} {number}"] = f"{german} {number} {own}"
        write_catalogue(tmp_path / f"{program}/usr/de/LC_MESSAGES/{program}.mo", messages)
    return tmp_path


@pytest.mark.usefixtures("parts")
def test_catalogues_are_read_without_marks_contexts_and_long_messages(tmp_path: Path) -> None:
    from catalogues import read

    write_catalogue(
        tmp_path / "de/LC_MESSAGES/alpha.mo",
        {
            "_Open a file": "Datei ö_ffnen",
            "menu\x04Save\nit": "Es\nsichern",
            "max_size and min_size": "max_size und min_size!",
            "%d file\x00%d files": "%d Datei\x00%d Dateien",
            "Vim": "Vim",
            "PDF": "Pdf",
            "long " * 20: "lang " * 20,
        },
    )
    assert read(tmp_path) == {
        "alpha": {
            "Open a file": "Datei öffnen",
            "Save it": "Es sichern",
            "max_size and min_size": "max_size und min_size!",
            "%d file": "%d Datei",
        }
    }


@pytest.mark.usefixtures("parts")
def test_messages_that_training_has_are_not_tested() -> None:
    from catalogues import split

    programs = {"a": {"x": "1", "y": "2"}, "b": {"y": "3", "z": "4"}, "c": {"x": "5"}}
    found = split(programs, ["c"], ["b"])
    assert found.test == {"z": "4"}
    assert found.validation == {}
    assert list(found.train) == ["a"]
    with pytest.raises(ValueError, match="no catalogue of d, e"):
        split(programs, ["e"], ["d"])


@pytest.mark.usefixtures("parts")
def test_the_lexicon_is_that_of_loops_over_words() -> None:
    from lexicon import lexicon

    rng = np.random.default_rng(5)
    sources, targets = (
        [list(rng.integers(0, 7, rng.integers(1, 6))) for _ in range(11)] for _ in range(2)
    )
    p = np.ones((7, 7))
    for _ in range(5):
        counts = np.zeros((7, 7))
        for source, target in zip(sources, targets, strict=True):
            for t in target:
                total = sum(p[s, t] for s in source)
                for s in source:
                    counts[s, t] += p[s, t] / total
        p = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-300)
    p[p < 0.003] = 0
    np.testing.assert_allclose(lexicon(sources, targets, 7).toarray(), p, rtol=1e-6)


@pytest.mark.usefixtures("parts")
def test_each_half_is_learned_with_the_lexicon_of_the_other() -> None:
    from learning import Learning
    from pieces import PAD, START, STOP

    programs = {
        "large": {"red": "rot", "blue": "blau", "green": "grün"},
        "small": {"up": "auf", "down": "ab", "blue": "blues"},
    }
    learning = Learning(programs, 60)
    assert learning.known["blue"] == "blau"  # of the program that comes first
    assert learning.half.tolist() == [0, 0, 0, 1, 1]
    batches = learning.batches(np.random.default_rng(0))
    for source, target, table in [next(batches) for _ in range(4)]:
        assert (target[:, 0] == START).all()
        texts = {learning.pieces.text(row) for row in source}
        of_large = texts == set(programs["large"])
        assert of_large or texts == {"up", "down"}
        own = [token for token in np.unique(source) if token not in (PAD, STOP)]
        others = learning.pieces.rows(["up", "down"] if of_large else list(programs["large"]))
        unshared = [token for token in own if all(token not in row for row in others)]
        assert unshared
        assert table[unshared].nnz == 0  # it counts no piece that only these messages have


@pytest.mark.usefixtures("parts")
def test_progress_moves_on_with_what_was_written() -> None:
    from translator import progress

    table = np.zeros((1, 3, 9), np.float32)
    table[0, [0, 1, 2], [4, 5, 6]] = 1  # pieces 4, 5, 6 translate the three of the message
    found = progress(np.array([[7, 8, 3]]), np.array([[1, 5, 6]]), table)
    assert found.shape == (1, 3, 3, 8)
    behind, here, ahead, further, done, _, _, _ = np.moveaxis(found[0], -1, 0)
    assert here.round(3).tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert behind.round(3).tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0]]
    assert ahead.round(3).tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]
    assert further.round(3).tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert done.round(3).tolist() == [[0, 0, 0], [0, 1, 0], [0, 1, 1]]


@pytest.mark.usefixtures("parts")
def test_padding_and_company_do_not_change_a_translation() -> None:
    from scipy import sparse
    from translator import Translator

    rng = np.random.default_rng(0)
    model = Translator(11, 16, 1, 0.1, rng)
    table = sparse.csr_array(rng.dirichlet(np.ones(11), 11).astype(np.float32))
    source, target = rng.integers(3, 11, (2, 3, 5))
    source[0, 3:] = 0
    together = model(source, target, lexicon=table)
    alone = model(source[:1, :3], target[:1], lexicon=table)
    np.testing.assert_allclose(together[:1], alone, atol=1e-5)
    before = model(source, target[:, :3], lexicon=table)
    np.testing.assert_allclose(together[:, :3], before, atol=1e-5)  # what follows is not seen


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    source = str(Path(heedful.__file__).parents[1])
    path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        [sys.executable, "-W", "error", str(APPLICATION), str(folder), "--small", *arguments],
        cwd=folder, capture_output=True, text=True, timeout=3600, env=environment, check=False,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.once
def test_the_application_runs_on_made_up_catalogues(catalogues: Path) -> None:
    held_out = ["--test", "delta", "--validation", "gamma"]
    done = run(catalogues, *held_out, "--picture", "found.png")
    assert done.returncode == 0, done.stderr
    assert "translation memory" in done.stdout
    assert (catalogues / "found.png").stat().st_size > 1000


@pytest.mark.slow
@pytest.mark.once
def test_missing_catalogues_are_told_with_the_command_that_fetches_them(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 1
    assert "no catalogue of geany" in done.stderr
    assert "download.sh" in done.stderr
    assert "Traceback" not in done.stderr
