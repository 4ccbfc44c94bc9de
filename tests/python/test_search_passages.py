"""A text's passages: prose, tables and code under the headings of their section."""

from __future__ import annotations

from pathlib import Path

import pytest

from heedful._command.passages import passages


def found(text: str, name: str = "text.md") -> list[tuple[int, str]]:
    return [(passage.line, passage.whole) for passage in passages(Path(name), text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# Title\n\nwords\n\nmore", [(1, "# Title\n\nwords"), (5, "# Title\n\nmore")]),
        ("Title\n=====\n\nwords", [(1, "Title\n=====\n\nwords")]),
        ("*****\nTitle\n*****\n\nwords", [(1, "*****\nTitle\n*****\n\nwords")]),
        ("# One\n\n## Two\n\nwords", [(1, "# One\n\n## Two\n\nwords")]),
        ("# One\n\na\n\n## Two\n\nb", [(1, "# One\n\na"), (5, "# One\n\n## Two\n\nb")]),
        ("## One\n\na\n\n## Two\n\nb", [(1, "## One\n\na"), (5, "## Two\n\nb")]),
        ("# A\n\n## B\n\nb\n\n# C\n\nc", [(1, "# A\n\n## B\n\nb"), (7, "# C\n\nc")]),
        ("One\n===\n\na\n\nTwo\n---\n\nb\n\nSix\n===\n\nc",
         [(1, "One\n===\n\na"), (6, "One\n===\n\nTwo\n---\n\nb"), (11, "Six\n===\n\nc")]),
        ("words\n\n# Title", [(1, "words"), (3, "# Title")]),
        ("# One\n\n# Two\n\nwords", [(1, "# One"), (3, "# Two\n\nwords")]),
        ("<h2>Title</h2>\n\nwords", [(1, "<h2>Title</h2>\n\nwords")]),
        ("# Title\nwords\n\nmore", [(1, "# Title\n\nwords"), (4, "# Title\n\nmore")]),
        ("a line\n\n---\n\nwords", [(1, "a line"), (3, "---"), (5, "words")]),
        ("#hashtag words\n\nmore", [(1, "#hashtag words"), (3, "more")]),
        ("# " + "x" * 300 + "\n\nwords", [(1, "# " + "x" * 300), (3, "words")]),
    ],
)  # fmt: skip
def test_headings_belong_to_all_of_their_section(
    text: str, expected: list[tuple[int, str]]
) -> None:
    assert found(text) == expected


def test_comments_of_programs_are_no_headings() -> None:
    assert found("# why\n\nx = 1", "a.py") == [(1, "# why"), (3, "x = 1")]
    text = "```python\n# why\n\nx = 1\n```\n\nwords"
    assert found(text) == [(1, "```python\n# why\n\nx = 1\n```"), (7, "words")]


@pytest.mark.parametrize(
    ("text", "prose"),
    [
        ("words\n| a | b |\n|---|---|\n| c | d |\nmore", [True, False, True]),
        ("+---+---+\n| a | b |\n+===+===+\n| c | d |\n+---+---+\n\nwords", [False, True]),
        ("===  ===\na    b\n===  ===\nc    d\n===  ===", [False]),
        ("<table>\n<tr><td>a</td>\n<td>b</td></tr>", [True, False]),
        ("words\n~~~\ncode\n\n```\n~~~\nwords", [True, False, True]),
        ("````\n```\ncode\n```\n````\n\nwords", [False, True]),
        (">>> a\n1\n\nwords", [False, True]),
        ("```\nno end\n\nof it", [False]),
        ("---\nkernel: python\nformat: text\n---\n\nwords", [False, True]),
    ],
)
def test_tables_and_code_are_no_prose(text: str, prose: list[bool]) -> None:
    passages_ = list(passages(Path("text.md"), text))
    assert [passage.prose for passage in passages_] == prose
    letters = "".join(passage.text for passage in passages_)
    assert "".join(letters.split()) == "".join(text.split())


def test_a_long_paragraph_is_cut_after_sentences() -> None:
    sentence = " ".join(["word"] * 49) + " end."
    text = "\n".join([f"{sentence} {sentence}"] * 2)  # two lines, four sentences of 50 words
    passages_ = list(passages(Path("text.txt"), f"one\ntwo\n\n\n{text}\n\nlast"))
    assert [(one.line, len(one.text.split())) for one in passages_] == [
        (1, 2), (5, 100), (6, 100), (8, 1),
    ]  # fmt: skip
    assert all(one.text.endswith("end.") for one in passages_[1:3])
