"""The compiled norms of rows against NumPy in long double, and their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from closeness import assert_as_accurate_as_numpy, assert_same_bits
from numpy.typing import NDArray

import heedful
from heedful._core import native

Array = NDArray[Any]
SHAPES = [(1, 1), (3, 5), (7, 97), (97, 7), (130, 1025), (1025, 33)]
EPSILON = 1e-5


def drawn(shape: tuple[int, ...], dtype: Any, seed: int, gap: int = 0) -> Array:
    room = np.random.default_rng(seed).standard_normal((*shape[:-1], shape[-1] + gap))
    return (room + 0.5).astype(dtype)[..., : shape[-1]]


def plain(x: Array, weight: Array, bias: Array, centred: bool) -> Array:
    """In the type of x."""
    middle = x.mean(-1, keepdims=True) if centred else x.dtype.type(0)
    distance = x - middle
    scale = 1 / np.sqrt((distance**2).mean(-1, keepdims=True) + x.dtype.type(EPSILON))
    result: Array = distance * scale * weight + bias
    return result


def plain_gradients(dy: Array, x: Array, weight: Array, centred: bool) -> tuple[Array, ...]:
    """dx, dweight, dbias, by the textbook."""
    unit = plain(x, np.ones_like(weight), np.zeros_like(weight), centred)
    middle = x.mean(-1, keepdims=True) if centred else x.dtype.type(0)
    scale = 1 / np.sqrt(((x - middle) ** 2).mean(-1, keepdims=True) + x.dtype.type(EPSILON))
    upstream = dy * weight
    level = upstream.mean(-1, keepdims=True) if centred else x.dtype.type(0)
    dx = scale * (upstream - level - unit * (upstream * unit).mean(-1, keepdims=True))
    return dx, (dy * unit).sum(0), dy.sum(0)


def forward(x: Array, weight: Array | None, bias: Array | None, centred: bool) -> tuple[Array, ...]:
    """y, mean (None without), rstd"""
    y, mean, rstd = np.full_like(x, np.nan), np.empty(len(x), x.dtype), np.empty(len(x), x.dtype)
    native.norm_forward(x, weight, bias, EPSILON, y, mean if centred else None, rstd)
    return y, mean, rstd


@pytest.mark.parametrize("centred", [True, False], ids=["layer norm", "RMS norm"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_norms_and_gradients_are_as_accurate_as_numpy(
    shape: tuple[int, int], centred: bool, wide_dtype: np.dtype[Any]
) -> None:
    x, dy = drawn(shape, wide_dtype, 1, 3), drawn(shape, wide_dtype, 2, 1)
    weight, bias = drawn(shape[1:], wide_dtype, 3), drawn(shape[1:], wide_dtype, 4)
    y, mean, rstd = forward(x, weight, bias, centred)
    wide = [array.astype(np.longdouble) for array in (x, weight, bias, dy)]
    exact = plain(*wide[:3], centred).astype(float)
    assert_as_accurate_as_numpy(y, plain(x, weight, bias, centred), exact, "y")
    dx, dweight, dbias = np.empty_like(x), np.zeros_like(weight), np.zeros_like(bias)
    native.norm_backward(dy, x, weight, mean if centred else None, rstd, dx, dweight, dbias)
    exacts = plain_gradients(wide[3], wide[0], wide[1], centred)
    plains = plain_gradients(dy, x, weight, centred)
    for name, result, in_type, truth in zip(
        ("dx", "dweight", "dbias"), (dx, dweight, dbias), plains, exacts, strict=True
    ):
        if shape[1] > 1:  # a row of one element has a gradient of rounding errors alone
            assert_as_accurate_as_numpy(result, in_type, truth.astype(float), name)


@pytest.mark.parametrize("centred", [True, False], ids=["layer norm", "RMS norm"])
def test_gradients_match_finite_differences(centred: bool) -> None:
    x, dy = drawn((3, 5), float, 1), drawn((3, 5), float, 2)
    weight, bias = drawn((5,), float, 3), drawn((5,), float, 4)
    _, mean, rstd = forward(x, weight, bias, centred)
    dx, dweight = np.empty_like(x), np.zeros_like(weight)
    native.norm_backward(dy, x, weight, mean if centred else None, rstd, dx, dweight, None)
    step = 1e-6
    for array, gradient in ((x, dx), (weight, dweight)):
        for place in np.ndindex(array.shape):
            kept, differences = array[place], []
            for move in (step, -step):
                array[place] = kept + move
                differences.append((forward(x, weight, bias, centred)[0] * dy).sum())
            array[place] = kept
            derivative = (differences[0] - differences[1]) / (2 * step)
            np.testing.assert_allclose(gradient[place], derivative, rtol=1e-6, atol=1e-8)


def test_without_weight_and_in_place(wide_dtype: np.dtype[Any]) -> None:
    x, dy = drawn((41, 97), wide_dtype, 1), drawn((41, 97), wide_dtype, 2)
    ones, zeros = np.ones(97, wide_dtype), np.zeros(97, wide_dtype)
    y, mean, rstd = forward(x, None, None, True)
    np.testing.assert_array_equal(y, forward(x, ones, zeros, True)[0])
    in_place = x.copy()
    native.norm_forward(in_place, None, None, EPSILON, in_place, None, rstd.copy())
    np.testing.assert_array_equal(in_place, forward(x, None, None, False)[0])
    dx, upstream = np.empty_like(x), dy.copy()
    native.norm_backward(dy, x, None, mean, rstd, dx, None, None)
    native.norm_backward(upstream, x, ones, mean, rstd, upstream, None, None)
    np.testing.assert_array_equal(upstream, dx)


def test_threads_do_not_change_a_bit(wide_dtype: np.dtype[Any]) -> None:
    x, dy = drawn((1025, 97), wide_dtype, 1), drawn((1025, 97), wide_dtype, 2)
    weight = drawn((97,), wide_dtype, 3)

    def everything(threads: int) -> list[Array]:
        dx, dweight, dbias = np.empty_like(x), np.zeros_like(weight), np.zeros_like(weight)
        with heedful.num_threads(threads):
            y, mean, rstd = forward(x, weight, weight, True)
            native.norm_backward(dy, x, weight, mean, rstd, dx, dweight, dbias)
        return [y, mean, rstd, dx, dweight, dbias]

    alone = everything(1)
    for threads in (2, 3):
        for result, expected in zip(everything(threads), alone, strict=True):
            assert_same_bits(result, expected, f"{threads} threads")


def test_nan_reaches_its_own_row_alone_and_empty_arrays_pass(wide_dtype: np.dtype[Any]) -> None:
    x = drawn((5, 19), wide_dtype, 1)
    x[2, 18] = np.nan
    assert np.isnan(forward(x, None, None, True)[0]).all(1).tolist() == [
        False,
        False,
        True,
        False,
        False,
    ]
    for shape in ((0, 5), (3, 0)):
        assert forward(np.empty(shape, wide_dtype), None, None, True)[0].shape == shape
