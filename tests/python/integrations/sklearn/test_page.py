"""The examples of docs/scikit_learn.md hold."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

pytest.importorskip("sklearn")

pytestmark = [pytest.mark.once, pytest.mark.slow]

PAGE = Path(__file__).parents[4] / "docs" / "scikit_learn.md"


def test_the_examples_of_the_page_hold() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    text = "\n".join("" if line.startswith("```") else line for line in lines)
    test = doctest.DocTestParser().get_doctest(text, {}, PAGE.stem, str(PAGE), 0)
    complaints: list[str] = []
    doctest.DocTestRunner(verbose=False).run(test, out=complaints.append)
    assert test.examples
    assert not complaints
