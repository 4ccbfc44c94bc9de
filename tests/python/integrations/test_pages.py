"""The examples of the pages on other libraries hold where these are installed."""

from __future__ import annotations

import doctest
import os
from pathlib import Path

import pytest

pytestmark = [pytest.mark.peer, pytest.mark.once]

DOCS = Path(__file__).parents[3] / "docs"
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.mark.parametrize("name", ["onnx", "jax", "keras"])  # of the page and of the library
def test_the_examples_of_a_page_hold(name: str) -> None:
    if name == "keras":
        os.environ.setdefault("KERAS_BACKEND", "numpy")
    library = pytest.importorskip(name, exc_type=ImportError)
    if name == "keras" and library.config.backend() != "numpy":
        pytest.skip("Keras has another backend than NumPy")
    page = DOCS / f"{name}.md"
    lines = page.read_text(encoding="utf-8").splitlines()
    text = "\n".join("" if line.startswith("```") else line for line in lines)
    test = doctest.DocTestParser().get_doctest(text, {}, page.stem, str(page), 0)
    assert test.examples
    complaints: list[str] = []
    doctest.DocTestRunner(optionflags=FLAGS, verbose=False).run(test, out=complaints.append)
    assert not complaints, "".join(complaints)
