"""What all tests share: markers, hypothesis profiles, dtypes, a seeded generator."""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np
import pytest
from fast_selection import FAST_ITEMS, fast_items
from numpy.typing import NDArray

try:
    import hypothesis
except ImportError:  # only tests/python/functional/test_properties.py needs it
    pass
else:
    untimed: Any = {  # a loaded machine is slow
        "deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow],
    }  # fmt: skip
    hypothesis.settings.register_profile("here", max_examples=30, **untimed)
    hypothesis.settings.register_profile("ci", max_examples=30, derandomize=True, **untimed)
    hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "here")


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    config.stash[FAST_ITEMS] = fast_items(items)
    for item in config.stash[FAST_ITEMS]:
        item.add_marker("fast")


def pytest_runtest_setup() -> None:
    """PyTorch on one thread: its threads wait by spinning, which disturbs heedful's."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


def pytest_report_header() -> str:
    forced = os.environ.get("HEEDFUL_ISA", "not set")
    try:
        import heedful._core
    except ImportError as error:  # the tests of the loader may still run
        return f"heedful: {error}, HEEDFUL_ISA {forced}"
    return f"heedful: level {heedful._core.level}, HEEDFUL_ISA {forced}"


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240229)


@pytest.fixture(params=["float32", "float64", "float16", "bfloat16"])
def dtype(request: pytest.FixtureRequest) -> np.dtype[Any]:
    return as_dtype(request.param)


@pytest.fixture(params=["float32", "float64"])
def wide_dtype(request: pytest.FixtureRequest) -> np.dtype[Any]:
    return as_dtype(request.param)


@pytest.fixture
def inputs(rng: np.random.Generator) -> tuple[NDArray[Any], ...]:
    """query (2, 4, 5, 3), key (2, 2, 7, 3), value (2, 2, 7, 6)."""
    shapes = (2, 4, 5, 3), (2, 2, 7, 3), (2, 2, 7, 6)
    return tuple(rng.standard_normal(shape) for shape in shapes)


def as_dtype(name: str) -> np.dtype[Any]:
    if name == "bfloat16":
        return np.dtype(pytest.importorskip("ml_dtypes").bfloat16)
    return np.dtype(name)
