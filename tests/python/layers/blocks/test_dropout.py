"""Dropout as a layer: how much it drops, what it gives back, and what it leaves alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from philox import kept_elements

from heedful.base._mode import INFERENCE, Mode
from heedful.layers import Dropout, FeedForward, Layer


def test_the_mask_depends_on_the_generator_s_seed(
    rng: np.random.Generator, wide_dtype: np.dtype[Any]
) -> None:
    generator, twin = np.random.default_rng(4), np.random.default_rng(4)
    layer, x = Dropout(0.25, dtype=wide_dtype), np.ones((3, 5, 97))
    for _ in range(3):
        y, backward = layer.forward(x, rng=generator)
        seed = int(twin.integers(0, 2**64, dtype=np.uint64))
        kept = kept_elements(x.size, 0.25, seed).reshape(x.shape)
        np.testing.assert_allclose(y, kept / 0.75, rtol=1e-6)
        dy = rng.standard_normal(x.shape)
        np.testing.assert_allclose(backward(dy), dy * kept / 0.75, rtol=1e-6)


def test_strides_do_not_move_the_mask(rng: np.random.Generator) -> None:
    layer, x = Dropout(0.5), rng.standard_normal((33, 7, 5)).astype(np.float32)
    expected, _ = layer.forward(x, rng=1)
    transposed = np.ascontiguousarray(x.T).T
    y, backward = layer.forward(transposed, rng=1)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(backward(transposed), expected)
    y, _ = layer.forward(np.repeat(x, 2, axis=1)[:, ::2], rng=1)
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_dropped_fraction_is_the_rate_and_elements_are_independent(rate: float) -> None:
    count, layer = 200_000, Dropout(rate)
    y, _ = layer.forward(np.ones(count), rng=11)
    deviation = np.sqrt(rate * (1 - rate) / count)
    assert abs((y == 0).mean() - rate) < 4.5 * deviation
    centred = y - y.mean()
    for distance in (1, 2, 4, 8, 15, 16, 17, 32, 63, 64, 65):  # where one draw ends and another
        correlation = np.mean(centred[distance:] * centred[:-distance]) / np.mean(centred**2)
        assert abs(correlation) < 4.5 / np.sqrt(count)
    other, _ = layer.forward(np.ones(count), rng=12)
    assert abs(np.mean(centred * (other - other.mean())) / np.mean(centred**2)) < 4.5 / count**0.5


def test_rate_one_drops_all_and_nan_too() -> None:
    y, backward = Dropout(1.0).forward(np.full(97, np.nan), rng=0)
    assert not y.any()
    assert not backward(np.full(97, np.inf)).any()


def test_a_single_number_keeps_its_shape() -> None:
    y, backward = Dropout(0.5).forward(2.0, rng=0)
    assert y.shape == backward(np.float32(1)).shape == ()


def test_arguments_of_a_user_are_not_overwritten(rng: np.random.Generator) -> None:
    for layer in (Dropout(0.5), FeedForward(5, 11, 0.5, rng=0)):
        x, dy = rng.standard_normal((2, 7, 5)).astype(np.float32)
        kept = x.copy(), dy.copy()
        _, backward = layer.forward(x, rng=0)
        backward(dy)
        np.testing.assert_array_equal(x, kept[0])
        np.testing.assert_array_equal(dy, kept[1])


class Squares(Layer):
    """A layer whose backward function needs its own result."""

    def compute(self, mode: Any, x: Any, residual: Any = None) -> Any:
        y = x * x
        return y, lambda dy: 2 * np.sqrt(y) * dy


def test_layers_that_a_user_puts_into_a_block_keep_their_results(rng: np.random.Generator) -> None:
    x, dy = rng.random((2, 7, 11)) + 1
    block = FeedForward(11, 11, 0.5, dtype=np.float64, rng=0)
    block.linear1 = block.linear2 = Squares()  # type: ignore[assignment]
    y, backward = block.forward(x, rng=3)
    kept = y != 0
    np.testing.assert_allclose(y, kept * (2 * x * x) ** 2, rtol=1e-12)
    np.testing.assert_allclose(backward(dy), kept * 16 * x**3 * dy, rtol=1e-12)


def test_a_residual_is_added_to_what_is_left(rng: np.random.Generator) -> None:
    layer = Dropout(0.5, dtype=np.float64)
    x, residual = rng.standard_normal((2, 7, 5))
    y, _ = layer.compute(Mode(True, np.random.default_rng(2)), x, residual.T.copy().T)
    np.testing.assert_allclose(y, layer.forward(x, rng=2)[0] + residual, rtol=1e-14)
    np.testing.assert_array_equal(layer.compute(INFERENCE, x, residual)[0], x + residual)
    with pytest.raises(ValueError, match="residual must have shape"):
        layer.compute(INFERENCE, x, residual[:1])
