"""One thread: the models here are so small that a second one would only wait."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import heedful


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with heedful.num_threads(1):
        yield
