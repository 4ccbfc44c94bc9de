"""The examples of the pages on other libraries hold where these are installed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from page_examples import assert_examples_hold

pytestmark = [pytest.mark.peer, pytest.mark.once]

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize(
    "name", ["autograd", "onnx", "jax", "keras"]
)  # of the page and of the library
def test_the_examples_of_a_page_hold(name: str) -> None:
    if name == "keras":
        os.environ.setdefault("KERAS_BACKEND", "numpy")
    library = pytest.importorskip(name, exc_type=ImportError)
    if name == "keras" and library.config.backend() != "numpy":
        pytest.skip("Keras has another backend than NumPy")
    assert_examples_hold(DOCS / f"{name}.md")
