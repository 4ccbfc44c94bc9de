"""The examples of docs/transformers.md run and print what the page says."""

from __future__ import annotations

from pathlib import Path

import pytest
from page_examples import assert_examples_hold

pytestmark = [
    pytest.mark.peer, pytest.mark.once, pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]  # fmt: skip

pytest.importorskip("transformers")

PAGE = Path(__file__).parents[4] / "docs" / "transformers.md"


def test_the_examples_of_the_page_hold() -> None:
    assert_examples_hold(PAGE)
