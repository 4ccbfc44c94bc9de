"""Rounding to 16 bits agrees with NumPy's own conversion, for every kind of number."""

import numpy as np
import pytest
from conftest import as_dtype

from heedful._core import native

# about all float16 numbers: themselves, the middles between two (ties), and just beside these
_HALVES = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
_ODD = np.float32(
    [np.inf, -np.inf, np.nan, 3.4e38, -3.4e38, 65519.9, 65520, 1e-45, -1e-45, 0, -0.0]
)


def numbers_of_all_kinds(rng: np.random.Generator) -> np.ndarray:
    finite = np.sort(_HALVES[np.isfinite(_HALVES)])
    middles = (finite[1:] + finite[:-1]) / 2
    beside = [np.nextafter(middles, np.float32(side)) for side in (-np.inf, np.inf)]
    bits = rng.integers(0, 1 << 32, 100_000, dtype=np.uint32)  # every float32 there is
    return np.concatenate([_HALVES, middles, *beside, bits.view(np.float32), _ODD])


@pytest.mark.parametrize("type_name", ["float16", "bfloat16"])
def test_narrowing_rounds_as_numpy_does(type_name: str, rng: np.random.Generator) -> None:
    wide, dtype = numbers_of_all_kinds(rng), as_dtype(type_name)
    narrowed = np.empty(wide.shape, dtype)
    native.narrow(wide, narrowed)
    with np.errstate(over="ignore", invalid="ignore"):
        expected = wide.astype(dtype)
    nan = np.isnan(wide)
    assert np.isnan(narrowed[nan].astype(np.float32)).all()
    np.testing.assert_array_equal(narrowed[~nan].view(np.uint16), expected[~nan].view(np.uint16))


@pytest.mark.parametrize("count", [0, 1, 7, 32_767, 32_768, 32_769, 100_001])
def test_narrowing_stops_at_the_last_element(count: int, rng: np.random.Generator) -> None:
    memory = np.full(count + 8, 7, np.float16)
    wide = rng.standard_normal(count, dtype=np.float32)
    native.narrow(wide, memory[:count])
    np.testing.assert_array_equal(memory[:count], wide.astype(np.float16))
    assert (memory[count:] == 7).all()
