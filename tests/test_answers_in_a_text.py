"""What the example of answers in texts reads: texts with their questions, and spans of tokens."""

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


def example(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.setattr(sys, "argv", [name])
    try:
        return import_module(name)
    except SystemExit:
        pytest.skip(f"{name} needs packages")


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
