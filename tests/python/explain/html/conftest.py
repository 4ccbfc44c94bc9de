"""A browser for each file of tests, and a map of attention that pages show."""

from __future__ import annotations

from collections.abc import Iterator

import browser as chromium
import numpy as np
import pytest
from attention_maps import WORDS, looks_at
from browser import Browser

from heedful.explain import AttentionMap


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium.browser() as opened:
        yield opened


@pytest.fixture
def quiet(browser: Browser) -> Iterator[None]:
    """No page asks for anything but itself, or logs an error."""
    browser.theme("light")
    browser.size(1000, 800)
    browser.requests()
    yield
    assert all(address.startswith("file:") for address in browser.requests())
    assert browser.complaints() == []


@pytest.fixture
def a_map() -> AttentionMap:
    """Two layers, two heads: 0 looks at the previous token, 1 at [SEP]."""
    previous, separator = looks_at([0, 0, 1, 2, 3, 4], 6), looks_at([5] * 6, 6)
    weights = np.array([[previous, separator], [separator, previous]])
    return AttentionMap.from_numpy(weights, WORDS, names=["first", "second"])
