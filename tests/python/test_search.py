"""`python -m heedful search`: the right passage is found; what is wrong is said in a sentence."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import pytest

from heedful._command import search as command
from heedful._command.passages import Passage
from heedful._command.progress import Progress
from heedful._command.search import read_passages


def search(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "heedful", "search", *arguments],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


# Written before any answer was looked at: a question, and the topic that answers it.
QUESTIONS = {
    "how do I leave a loop early?": "break",
    "how can I skip to the next iteration?": "continue",
    "how do I handle an error that was raised?": "try",
    "how do I define a function?": "function",
    "what does an inheritance list of a class mean?": "class",
    "how do I check a condition while debugging?": "assert",
    "which rounding happens when integers are divided?": "binary",
    "how do I repeat something as long as a condition holds?": "while",
    "how do I import a module under another name?": "import",
    "how do I remove a name from a namespace?": "del",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("topics")
    for name in set(QUESTIONS.values()) | {"numbers", "typesseq", "strings", "lambda", "global"}:
        (where / f"{name}.txt").write_text(topics[name], encoding="utf-8")
    return where


@pytest.mark.peer
@pytest.mark.slow
def test_ten_questions_find_their_passage(folder: Path) -> None:
    pytest.importorskip("tokenizers")
    from heedful.integrations.sentences import SentenceEncoder, find_minilm

    try:
        encoder = SentenceEncoder(find_minilm())
    except ModuleNotFoundError as error:
        pytest.skip(str(error))
    passages = list(read_passages(folder, (".txt",)))
    places = {}
    close = command.closeness(encoder, passages, list(QUESTIONS))
    for (question, topic), row in zip(QUESTIONS.items(), close, strict=True):
        order = row.argsort()[::-1]
        found = [passages[index].path.stem for index in order]
        places[question] = found.index(topic)
    # The model takes what "continue" says of loops for the answer to two questions about "break"
    # and "while"; their own passages stand right behind its two.
    assert max(places.values()) <= 2, places
    assert sum(place == 0 for place in places.values()) >= 8, places


@pytest.mark.peer
@pytest.mark.slow
def test_ten_questions_find_their_passage_among_pieces_too(folder: Path) -> None:
    """As the command does it: long tables are split, and text at their ends is found."""
    pytest.importorskip("tokenizers")
    from heedful._command.splitting import Splitter
    from heedful.integrations.sentences import SentenceEncoder, find_minilm

    try:
        encoder = SentenceEncoder(find_minilm())
    except ModuleNotFoundError as error:
        pytest.skip(str(error))
    passages = list(Splitter(encoder).split(read_passages(folder, (".txt",))))
    close = command.closeness(encoder, passages, list(QUESTIONS))
    places = {}
    for (question, topic), row in zip(QUESTIONS.items(), close, strict=True):
        found = [passages[index].path.stem for index in row.argsort()[::-1]]
        places[question] = found.index(topic)
    # "s *= n updates s with its contents repeated n times", at the end of a table of "typesseq",
    # comes closer than "while" to the question of repeating something.
    assert max(places.values()) <= 2, places
    assert sum(place == 0 for place in places.values()) >= 8, places


@pytest.mark.peer
@pytest.mark.slow
def test_ten_questions_find_the_same_passages_in_int8(folder: Path) -> None:
    pytest.importorskip("tokenizers")
    from heedful.integrations.sentences import SentenceEncoder, find_minilm

    try:
        encoder = SentenceEncoder(find_minilm())
    except ModuleNotFoundError as error:
        pytest.skip(str(error))
    passages = list(read_passages(folder, (".txt",)))
    texts = [*(passage.whole for passage in passages), *QUESTIONS]
    vectors, close = encoder.encode(texts), command.closeness(encoder, passages, list(QUESTIONS))
    encoder.model.quantize()
    found, rough = encoder.encode(texts), command.closeness(encoder, passages, list(QUESTIONS))
    assert (vectors * found).sum(1).min() >= 0.99  # cosines
    for (question, topic), exact, row in zip(QUESTIONS.items(), close, rough, strict=True):
        topics_ = [
            [passages[index].path.stem for index in one.argsort()[::-1]] for one in (exact, row)
        ]
        assert topics_[0][0] == topics_[1][0], question
        assert topics_[0].index(topic) == topics_[1].index(topic), question


@pytest.mark.peer
@pytest.mark.slow
def test_the_command_prints_ranked_passages(folder: Path) -> None:
    pytest.importorskip("tokenizers")
    from heedful.integrations.sentences import find_minilm

    try:
        find_minilm()
    except ModuleNotFoundError as error:
        pytest.skip(str(error))
    done = search("how do I define a function?", str(folder), "--top", "3")
    assert done.returncode == 0, done.stderr
    ranked = re.findall(r"^(\d)\. (\d\.\d{3})  (\w+)\.txt:(\d+)$", done.stdout, re.M)
    assert [rank for rank, *_ in ranked] == ["1", "2", "3"]
    closeness = [float(number) for _, number, *_ in ranked]
    assert closeness == sorted(closeness, reverse=True)
    assert ranked[0][2] == "function"


def test_files_that_are_no_text_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text("words", encoding="utf-8")
    (tmp_path / "bad.txt").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "other.bin").write_text("words", encoding="utf-8")
    (tmp_path / "folder.txt").mkdir()
    assert [passage.path.name for passage in read_passages(tmp_path, (".txt",))] == ["good.txt"]


def test_endings_are_those_of_names_in_any_case() -> None:
    assert command._endings(["TXT", ".Md"]) == (".txt", ".md")


def test_folders_of_tools_are_skipped(tmp_path: Path) -> None:
    for folder in (".git", ".venv", "node_modules/deep", "build", "__pycache__", "docs", "myenv"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "text.txt").write_text("words", encoding="utf-8")
    (tmp_path / "myenv" / "pyvenv.cfg").write_text("home = /usr", encoding="utf-8")
    (tmp_path / "a.txt").write_text("words", encoding="utf-8")
    found = [passage.path for passage in read_passages(tmp_path, (".txt",))]
    assert found == [tmp_path / "a.txt", tmp_path / "docs" / "text.txt"]
    inside = tmp_path / "build"  # who names a folder means it
    assert [passage.path.name for passage in read_passages(inside, (".txt",))] == ["text.txt"]


def test_the_headings_count_for_every_passage_below_them_and_tables_for_less() -> None:
    class Encoder:
        """Texts as vectors (letters a, letters b), of length 1."""

        def encode(self, texts: list[str]) -> np.ndarray:
            counts = np.array([[text.count("a"), text.count("b")] for text in texts], float)
            return counts / np.linalg.norm(counts, axis=1, keepdims=True)

    path = Path("x.md")
    passages = [
        Passage(path, 1, "a"),
        Passage(path, 3, "a", "b"),
        Passage(path, 5, "b", "a"),
        Passage(path, 7, "a", prose=False),
        Passage(path, 9, "b", "a", prose=False),
    ]
    (close,) = command.closeness(Encoder(), passages, ["a"])  # type: ignore[arg-type]
    both = 0.5**0.5  # of a heading a and a text b
    np.testing.assert_allclose(
        close, [1, both / 1.5, (both + 0.5) / 1.5, 0.9, 0.9 * (both + 0.5) / 1.5]
    )


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_shown_on_a_terminal_alone(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Encoder:
        def encode(self, texts: list[str]) -> np.ndarray:
            return np.array([[float(text)] for text in texts])

    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    texts = [str(number) for number in range(600)]
    with Progress() as progress:
        vectors = command.embedded(Encoder(), texts, progress, "passages")  # type: ignore[arg-type]
    np.testing.assert_array_equal(vectors[:, 0], np.arange(600))
    shown = capsys.readouterr().err
    assert ("reading passages: 0 of 600" in shown) == terminal
    assert ("reading passages: 256 of 600" in shown) == terminal
    assert shown.endswith(f"\r{' ' * 60}\r" if terminal else "")
    assert bool(shown) == terminal


@pytest.mark.slow
def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = search("question", str(tmp_path / "none"))
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("none is no folder")
    (tmp_path / "empty").mkdir()
    done = search("question", str(tmp_path / "empty"))
    assert done.returncode == 1
    assert "has no text in files of these endings" in done.stderr
