"""The examples of docs/transformers.md run and print what the page says."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.peer, pytest.mark.once, pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]  # fmt: skip

pytest.importorskip("transformers")

PAGE = Path(__file__).parents[4] / "docs" / "transformers.md"


def test_the_examples_of_the_page_hold() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    text = "\n".join("" if line.startswith("```") else line for line in lines)
    test = doctest.DocTestParser().get_doctest(text, {}, PAGE.stem, str(PAGE), 0)
    complaints: list[str] = []
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    doctest.DocTestRunner(optionflags=flags, verbose=False).run(test, out=complaints.append)
    assert test.examples
    assert not complaints, "".join(complaints)
