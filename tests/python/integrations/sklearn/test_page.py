"""The examples of docs/scikit_learn.md hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from page_examples import assert_examples_hold

pytest.importorskip("sklearn")

pytestmark = [pytest.mark.once, pytest.mark.slow]

PAGE = Path(__file__).parents[4] / "docs" / "scikit_learn.md"


def test_the_examples_of_the_page_hold() -> None:
    assert_examples_hold(PAGE)
