"""Long passages are split so that a model reads all of them; the most similar part is shown."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful._command.passages import Passage
from heedful._command.search import excerpt
from heedful._command.spans import spans
from heedful._command.splitting import Splitter

SECRET = "The password of the safe is written under the violet carpet."
FILLER = "These words are filler and say nothing at all. "


def split(text: str, max_units: int) -> list[str]:
    """By letters."""
    return [text[begin:end] for begin, end in spans(text, range(len(text)), max_units)]


@pytest.mark.parametrize(
    ("text", "max_units", "expected"),
    [
        ("One two. Three four. Five.", 21, ["One two. Three four. ", "Five."]),
        ("One two. Three four. Five.", 12, ["One two. ", "Three four. ", "Five."]),
        ("one two\nthree four five", 15, ["one two\n", "three four five"]),
        ("one two, three four five", 17, ["one two, ", "three four five"]),
        ("one two three", 9, ["one two ", "three"]),
        ("abcdefghij", 4, ["abcd", "efgh", "ij"]),
        ("猫が好きです。犬も好きです。鳥も。", 15, ["猫が好きです。犬も好きです。", "鳥も。"]),
        ("填充文字，密码在地毯下", 8, ["填充文字，", "密码在地毯下"]),
        ("填充文字密码在地毯下", 4, ["填充文字", "密码在地", "毯下"]),
        ("ภาษาไทย ไม่มีช่องว่าง", 10, ["ภาษาไทย ", "ไม่มีช่อง", "ว่าง"]),
        ("e\u0301" * 5, 3, ["e\u0301", "e\u0301", "e\u0301", "e\u0301", "e\u0301"]),
        ("", 3, [""]),
        ("abc", 3, ["abc"]),
    ],
)
def test_a_text_is_split_at_the_best_place(text: str, max_units: int, expected: list[str]) -> None:
    assert split(text, max_units) == expected


@given(st.text(alphabet="ab .,\n。é\u0301中", max_size=97), st.integers(1, 13))
def test_pieces_are_the_text_and_none_is_too_long(text: str, max_units: int) -> None:
    pieces = split(text, max_units)
    assert "".join(pieces) == text
    assert all(0 < len(piece) <= max_units for piece in pieces if text)


class Encoding:
    def __init__(self, offsets: list[tuple[int, int]]) -> None:
        self.offsets = offsets


class Letters:
    """A tokenizer whose tokens are letters, and no_truncation what it needs not."""

    def encode(self, text: str, add_special_tokens: bool) -> Encoding:
        return Encoding([(place, place + 1) for place in range(len(text))])

    def encode_batch(self, texts: list[str], add_special_tokens: bool) -> list[Encoding]:
        return [self.encode(text, add_special_tokens) for text in texts]


def splitter(max_read: int, max_tokens: int) -> Splitter:
    found = Splitter.__new__(Splitter)
    found.tokenizer, found.max_read, found.max_tokens = Letters(), max_read, max_tokens
    return found


def test_pieces_know_their_line_and_keep_their_title() -> None:
    text = "One one one.\nTwo two two.\n\tThree three."
    passage = Passage(Path("a"), 5, text, "# T", 7)
    found = list(splitter(20, 14).split([passage, Passage(Path("a"), 20, "short")]))
    assert [(piece.line, piece.text, piece.title) for piece in found] == [
        (5, "One one one.", "# T"), (8, "Two two two.", "# T"), (9, "Three three.", "# T"),
        (20, "short", ""),
    ]  # fmt: skip


def test_a_title_that_leaves_no_room_is_a_passage_once() -> None:
    title = "# one two three four five"
    passages = [Passage(Path("a"), 5, "text", title, 7), Passage(Path("a"), 9, "more", title, 9)]
    found = list(splitter(20, 14).split(passages))
    assert [(piece.line, piece.whole) for piece in found] == [
        (5, "# one two"), (5, "three four"), (5, "five"), (7, "text"), (9, "more"),
    ]  # fmt: skip


def test_a_piece_and_its_title_fit_together() -> None:
    passage = Passage(Path("a"), 1, "One one. Two two. Three.", "# Title", 3)
    found = list(splitter(26, 14).split([passage]))
    assert [piece.text for piece in found] == ["One one.", "Two two.", "Three."]
    assert all(len(piece.whole) <= 26 for piece in found)


def encoder() -> Any:
    pytest.importorskip("tokenizers")
    from heedful.integrations.sentences import SentenceEncoder, find_minilm

    try:
        return SentenceEncoder(find_minilm())
    except ModuleNotFoundError as error:
        pytest.skip(str(error))


LONG = {
    "sentences": FILLER * 40 + SECRET,
    "no signs": FILLER.replace(".", "") * 40 + SECRET,
    "one word": "x" * 5000 + " " + SECRET,
    "first": SECRET + " " + FILLER * 200,
    "letters": "nothing" * 100 + "Password" * 3 + "nothing" * 100,
    "chinese": "这些词语没有任何意义只是填充而已" * 60 + "保险箱的密码写在紫色地毯下面",
    "kana": "これはなんでもない" * 200 + "パスワードはじゅうたんのした",
    "thai": "ไม่มีอะไร" * 200 + " รหัสผ่าน",
    "korean": "이말은아무뜻도없다" * 100,
    "title": "# " + FILLER * 60 + SECRET + "\n\nwords",
    "accents": "a\u0301\u0323" * 900,
}


@pytest.mark.slow
@pytest.mark.peer
@pytest.mark.parametrize("kind", LONG)
def test_a_model_reads_every_letter(kind: str, tmp_path: Path) -> None:
    from heedful._command.search import read_passages

    model = encoder()
    (tmp_path / "a.txt").write_text(LONG[kind], encoding="utf-8")
    pieces = list(Splitter(model).split(read_passages(tmp_path, (".txt",))))
    letters = "".join(piece.whole for piece in pieces)
    assert "".join(letters.split()) == "".join(LONG[kind].split())
    whole = Splitter(model)
    for piece in pieces:
        tokens = whole.tokenizer.encode(piece.text, add_special_tokens=False)
        assert len(tokens.ids) <= model.max_length - 2
        # a word of more letters is unknown, whatever it is
        assert max(end - begin for begin, end in tokens.offsets) <= 100


@pytest.mark.peer
@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "question", "answer"),
    [
        (FILLER * 40 + SECRET, "Where is the password of the safe written?", SECRET),
        ("# " + FILLER * 40 + SECRET + "\n\nwords", "Where is the password of the safe?", SECRET),
        ("这些词语没有任何意义只是填充而已。" * 60 + "保险箱的密码写在紫色地毯下面。",
         "保险箱的密码在哪里", "保险箱的密码写在紫色地毯下面。"),
    ],
    ids=["english", "title", "chinese"],
)  # fmt: skip
def test_the_command_finds_what_stands_at_the_end_of_a_long_line(
    text: str, question: str, answer: str, tmp_path: Path
) -> None:
    encoder()
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    for index in range(5):
        (tmp_path / f"other{index}.txt").write_text(FILLER * (index + 1), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "heedful", "search", question, str(tmp_path), "--top", "1"],
        capture_output=True, encoding="utf-8", timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, shown = done.stdout.splitlines()[:2]
    assert float(first.split()[1]) > 0.5
    assert first.endswith("  a.txt:1")
    assert answer in shown
    assert len(shown) < 320


class Counting:
    """A text is as close as it has letters x."""

    def encode(self, texts: Any) -> np.ndarray:
        if isinstance(texts, str):
            return np.array([1.0])
        return np.array([[float(text.count("x"))] for text in texts])


def test_an_excerpt_is_the_closest_part_of_a_long_passage() -> None:
    model: Any = Counting()
    short = Passage(Path("a"), 1, "some\n words", "# Title")
    assert excerpt(model, short, "?") == "# Title some words"
    text = "word " * 200 + "x x x. " + "word " * 200
    shown = excerpt(model, Passage(Path("a"), 1, text), "?")
    assert "x x x." in shown
    assert len(shown) < 310
    assert (shown[:2], shown[-2:]) == ("… ", " …")
    titled = excerpt(model, Passage(Path("a"), 1, text, "# Title" + "!" * 200), "?")
    assert titled.startswith("# Title!")
    assert "x x x." in titled
    assert len(titled) < 320
