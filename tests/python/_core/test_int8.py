"""The compiled dense layer of int8 against NumPy with exact integers: the same bits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import int8_reference
import numpy as np
import pytest
from closeness import assert_same_bits
from numpy.typing import NDArray

import heedful
from heedful import _core
from heedful._core import native

Array = NDArray[Any]
SHAPES = [
    (1, 64, 5), (3, 97, 131), (8, 1025, 97), (17, 5, 97), (97, 64, 33), (130, 768, 67), (5, 3, 2),
]  # fmt: skip
WAYS = ("widened", "bytes", "vnni", "tiles", "tiles-model")


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    reason = native.force_int8(request.param)
    if reason:
        pytest.skip(reason)
    yield request.param
    native.force_int8("")


class Drawn:
    """Inputs of one call; rows of x and the weight are further apart than they are long."""

    def __init__(self, rows: int, inputs: int, outputs: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.x = rng.standard_normal((rows, inputs + 3), dtype=np.float32)[:, :inputs]
        self.weight = rng.integers(-128, 128, (outputs, inputs + 5), dtype=np.int8)[:, :inputs]
        self.scale = rng.random(outputs, dtype=np.float32) / 100
        self.bias = rng.standard_normal(outputs, dtype=np.float32)
        self.residual = rng.standard_normal((rows, outputs), dtype=np.float32)

    def y(
        self, bias: Array | None = None, residual: Array | None = None, activation: str = ""
    ) -> Array:
        y = np.full((len(self.x), len(self.weight)), 7, np.float32)
        sums = self.weight.sum(1, dtype=np.int32)
        split = native.int8_split(self.weight) if native.int8_reads_split(len(self.x)) else None
        native.int8_forward(
            self.x, self.weight, self.scale, sums, bias, residual, activation, y, split
        )
        return y

    def expected(self) -> Array:
        return int8_reference.product(self.x, self.weight, self.scale)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_product_has_the_bits_of_exact_integers(way: str, shape: tuple[int, int, int]) -> None:
    drawn = Drawn(*shape)
    assert_same_bits(drawn.y(), drawn.expected())


@pytest.mark.parametrize("value", [-128, 127])
@pytest.mark.parametrize("x", [1.0, -1.0, 0.0])
@pytest.mark.parametrize("rows", [2, 33, 50])
def test_the_largest_products_do_not_saturate(way: str, value: int, x: float, rows: int) -> None:
    drawn = Drawn(rows, 515, 19)
    drawn.weight[...] = value
    drawn.x[...] = x
    found = drawn.y() / drawn.scale
    np.testing.assert_allclose(found, np.full(found.shape, 515.0 * value * x), rtol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_bias_activation_and_residual_are_added(way: str, shape: tuple[int, int, int]) -> None:
    drawn = Drawn(*shape)
    plain = drawn.expected().astype(np.float64) + drawn.bias
    tolerance = 1e-6 * max(1.0, float(abs(plain).max()))
    np.testing.assert_allclose(drawn.y(drawn.bias), plain, atol=tolerance, rtol=0)
    found = drawn.y(drawn.bias, drawn.residual, "relu")
    np.testing.assert_allclose(found, np.maximum(plain, 0) + drawn.residual, atol=tolerance, rtol=0)


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("shape", [(3, 97, 1025), (1025, 97, 67), (130, 301, 401)])
def test_threads_do_not_change_a_bit(way: str, threads: int, shape: tuple[int, int, int]) -> None:
    drawn = Drawn(*shape)
    with heedful.num_threads(1):
        alone = drawn.y(drawn.bias, None, "gelu")
    with heedful.num_threads(threads):
        assert_same_bits(drawn.y(drawn.bias, None, "gelu"), alone)


def test_every_way_gives_the_same_bits() -> None:
    drawn, found = Drawn(61, 203, 97), {}
    for name in WAYS:
        if not native.force_int8(name):
            found[name] = drawn.y(drawn.bias, drawn.residual, "gelu")
    native.force_int8("")
    assert {"widened", "tiles-model"} <= set(found)
    for y in found.values():
        assert_same_bits(y, found["widened"])


def test_a_row_alone_has_the_bits_of_a_row_among_others(way: str) -> None:
    drawn = Drawn(41, 131, 77)
    together = drawn.y(drawn.bias, None, "silu")
    x = drawn.x
    for row in range(0, 41, 5):
        drawn.x = x[row : row + 1]
        assert_same_bits(drawn.y(drawn.bias, None, "silu"), together[row : row + 1])


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rows", [3, 41])
def test_a_row_that_is_not_finite_gives_nan_alone(way: str, rows: int, wrong: float) -> None:
    drawn = Drawn(rows, 131, 61)
    drawn.x[2, 130] = wrong
    is_nan = np.isnan(drawn.y())
    assert is_nan[2].all()
    assert is_nan.sum() == 61


@pytest.mark.parametrize(
    "row", [0.0, -0.0, 1e-45, 1e-38, 3e38, -3e38], ids=lambda value: f"{value:g}"
)
def test_extreme_rows(way: str, row: float) -> None:
    drawn = Drawn(4, 70, 9)
    drawn.x[:2] = row
    drawn.x[0, ::3] = -row
    drawn.scale[...] = 2.0**-20
    with np.errstate(over="ignore", under="ignore"):
        assert_same_bits(drawn.y(), drawn.expected())


def test_what_is_not_int8_is_refused() -> None:
    drawn = Drawn(3, 8, 4)
    y, sums = np.empty((3, 4), np.float32), drawn.weight.sum(1, dtype=np.int32)
    right = [drawn.x, drawn.weight, drawn.scale, sums, None, None, "", y, None]
    native.int8_forward(*right)
    for place, wrong in (
        (1, drawn.weight.astype(np.int16)), (1, drawn.weight.view(np.uint8)),
        (3, sums.astype(np.int64)), (0, drawn.x.astype(float)), (2, drawn.scale.astype(float)),
        (7, y.astype(float)),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=r"expected integers of|must be all float32"):
            native.int8_forward(*right[:place], wrong, *right[place + 1 :])


def test_the_way_is_forced_or_refused_with_a_reason() -> None:
    try:
        for name in WAYS:
            reason = native.force_int8(name)
            if not reason:
                assert native.show_build()["int8"] == name
            else:
                assert name in ("vnni", "tiles")
        assert native.force_int8("pairs") == "there is no such way"
    finally:
        assert not native.force_int8("")
    if _core.level == "v2":
        assert native.force_int8("vnni") == "this level does not use VNNI"
