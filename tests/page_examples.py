"""Runs the examples of a page of documentation."""

from __future__ import annotations

import doctest
from pathlib import Path

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def complaints(test: doctest.DocTest) -> str:
    """What examples say that is not so; empty where all holds."""
    found: list[str] = []
    doctest.DocTestRunner(optionflags=FLAGS, verbose=False).run(test, out=found.append)
    return "".join(found)


def assert_examples_hold(page: Path, text: str | None = None) -> None:
    """Those of a page, or of the part of it that is given: the fences of code are no output."""
    lines = (page.read_text(encoding="utf-8") if text is None else text).splitlines()
    code = "\n".join("" if line.startswith("```") else line for line in lines)
    test = doctest.DocTestParser().get_doctest(code, {}, page.stem, str(page), 0)
    assert test.examples
    assert not (found := complaints(test)), found
