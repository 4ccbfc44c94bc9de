"""What the question-answering examples read: a dictionary, questions, texts with their answers."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"

# WordNet: "offset file kind count (word sense)* pointers (mark offset kind place)* | gloss"
NOUNS = """\
  1 This is the licence.
00000001 03 n 02 talc 0 talcum 0 001 @ 00000002 n 0000 | a soft mineral; "talc is white"
00000002 03 n 01 mineral 0 001 @ 00000003 n 0000 | a solid of definite composition
00000003 03 n 01 material 0 000 | what things are made of
00000004 15 n 01 Cape_Verde 0 001 @i 00000002 n 0000 | an island country
"""


def example(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.setattr(sys, "argv", [name])
    try:
        return import_module(name)
    except SystemExit:
        pytest.skip(f"{name} needs packages")


@pytest.mark.peer
def test_no_tested_question_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = example("trivia_answers", monkeypatch).quarters(26, seed=0)
    for known, tested in parts:
        assert sorted([*known, *tested]) == list(range(26))
        assert not set(known) & set(tested)
    assert sorted(np.concatenate([tested for _, tested in parts])) == list(range(26))


@pytest.mark.peer
def test_an_answer_is_looked_up_in_a_dictionary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trivia = example("trivia_answers", monkeypatch)
    path = tmp_path / "data.noun"
    path.write_text(NOUNS, encoding="utf-8")
    senses = trivia.read_nouns(path)
    assert senses["talcum"] == [("a soft mineral", "mineral, material")]
    assert trivia.look_up("The minerals", senses) == senses["mineral"]
    assert trivia.look_up("Old Cape Verde", senses) == [("an island country", "mineral, material")]
    assert trivia.look_up("In 1963", senses) == [("", "a year, a date")]
    assert trivia.keys_of(7, "Talc", senses) == [
        (7, "Talc", "mineral, material"),
        (7, "Talc: a soft mineral", "mineral, material"),
        (7, "Talc, mineral, material", "mineral, material"),
    ]


@pytest.mark.peer
@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Who wrote it?", "a person"),
        ("In which European city is it?", "european city is"),
        ("What is the softest mineral in the world?", "the softest mineral in the"),
        ("How many eyes does a bee have?", "a number"),
        ("Name a colour.", "Name a colour."),
    ],
)
def test_what_a_question_asks_for(
    question: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert example("trivia_answers", monkeypatch).asked(question) == expected


@pytest.mark.peer
def test_the_answer_stands_where_the_example_says(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = example("country_texts", monkeypatch)
    names = ["c", *texts.TEMPLATES]
    countries = [{name: f"{name}-{number}" for name in names} for number in range(5)]
    found = {
        unseen: texts.make(countries, 60, np.random.default_rng(0), unseen)
        for unseen in (False, True)
    }
    for one in [*found[False], *found[True]]:
        assert one.text[one.place :].startswith(one.answer)
        assert one.answer.split("-")[1] in one.question  # of the same country
    sentences = [
        {re.sub(r"-\d|\.$", "", part) for one in examples for part in one.text.split(". ")}
        for examples in found.values()
    ]
    assert not sentences[0] & sentences[1]  # no wording is shared


@pytest.mark.peer
def test_the_answer_is_a_span_of_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = example("answers_in_a_text", monkeypatch)

    def encode_batch(pairs: list[tuple[str, str]]) -> list[SimpleNamespace]:
        """Words as tokens, numbered by their length."""
        found = []
        for pair in pairs:
            words = [(part, word) for part in (0, 1) for word in re.finditer(r"\w+", pair[part])]
            found.append(SimpleNamespace(
                ids=[len(word[0]) for _, word in words], sequence_ids=[part for part, _ in words],
                offsets=[word.span() for _, word in words], tokens=[word[0] for _, word in words],
            ))  # fmt: skip
        return found

    text = "A Finn says Etelä Korea for it."
    made = reader.Example("How says it?", text, "Etelä Korea", text.index("Etelä"))
    rows = reader.read(SimpleNamespace(encode_batch=encode_batch), [made])
    assert rows.names[0][rows.start[0] : rows.end[0] + 1] == ["Etelä", "Korea"]
    assert rows.segments.tolist() == [[0, 0, 0, 1, 2, 2, 1, 1, 2, 2]]
