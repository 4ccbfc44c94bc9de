"""What all tests share: markers, hypothesis profiles, dtypes, a seeded generator."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

try:
    import hypothesis
except ImportError:  # only tests/python/functional/test_properties.py needs it
    pass
else:
    hypothesis.settings.register_profile("here", deadline=None, max_examples=30)
    hypothesis.settings.register_profile("ci", deadline=None, max_examples=30, derandomize=True)
    hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "here")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes more than ten seconds")


def pytest_report_header() -> str:
    wish = os.environ.get("HEEDFUL_ISA", "not set")
    try:
        import heedful._core
    except ImportError as error:  # the tests of the loader may still run
        return f"heedful: {error}, HEEDFUL_ISA {wish}"
    return f"heedful: level {heedful._core.level}, HEEDFUL_ISA {wish}"


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
