"""The examples of docs/torch.md run and print what the page says."""

from __future__ import annotations

from pathlib import Path

import pytest
from page_examples import assert_examples_hold

# PyTorch warns of parts of its own that it will drop
pytestmark = [
    pytest.mark.peer, pytest.mark.once, pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:enable_nested_tensor:UserWarning"),
]  # fmt: skip

pytest.importorskip("torch")

PAGE = Path(__file__).parents[4] / "docs" / "torch.md"


def test_the_examples_of_the_page_hold() -> None:
    assert_examples_hold(PAGE)
