"""The compiled dense layer and activations against NumPy in float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from closeness import assert_as_accurate_as_numpy, assert_same_bits
from numpy.typing import NDArray

import heedful
from heedful._core import native

Array = NDArray[Any]
ACTIVATIONS = ("", "relu", "gelu", "gelu_tanh", "silu", "tanh", "sigmoid")
SHAPES = [(1, 7, 5), (3, 97, 1025), (7, 1025, 97), (33, 5, 97), (97, 97, 33), (1025, 97, 67)]


def activated(kind: str, x: Array) -> Array:
    """In the type of x, by the usual formula."""
    if kind == "relu":
        return np.maximum(x, 0)
    if kind == "gelu":
        erf = np.vectorize(math.erf, otypes=[np.float64])(x / math.sqrt(2)).astype(x.dtype)
        return x / 2 * (1 + erf)
    if kind == "gelu_tanh":
        root = x.dtype.type(math.sqrt(2 / math.pi))
        return x / 2 * (1 + np.tanh(root * (x + x.dtype.type(0.044715) * x**3)))
    if kind == "silu":
        return x / (1 + np.exp(-x))
    if kind == "tanh":
        return np.tanh(x)
    if kind == "sigmoid":
        return 1 / (1 + np.exp(-x))
    return x


def derivative(kind: str, x: Array) -> Array:
    """By central differences, in long double."""
    x, step = x.astype(np.longdouble), np.longdouble(1e-6)
    if kind == "gelu":  # math.erf has no long double
        density = np.exp(-x * x / 2) / np.sqrt(2 * np.longdouble(np.pi))
        return activated("gelu", x.astype(float)) / np.where(x == 0, 1, x) + x * density
    return (activated(kind, x + step) - activated(kind, x - step)) / (2 * step)


def drawn(shape: tuple[int, ...], dtype: Any, seed: int, gap: int = 0) -> Array:
    """Random numbers; with a gap, rows whose stride is larger than their length."""
    rng = np.random.default_rng(seed)
    room = rng.standard_normal((*shape[:-1], shape[-1] + gap)).astype(dtype)
    return room[..., : shape[-1]]


def forward(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    residual: Array | None = None,
    kind: str = "",
) -> tuple[Array, Array]:
    """before, y"""
    shape = len(x), len(weight)
    before, y = np.full(shape, np.nan, x.dtype), np.full(shape, np.nan, x.dtype)
    native.linear_forward(x, weight, bias, residual, kind, before, y)
    return before, y


@pytest.mark.parametrize("gap", [0, 3], ids=["packed", "strided"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_layer_is_as_accurate_as_numpy(
    shape: tuple[int, int, int], gap: int, wide_dtype: np.dtype[Any]
) -> None:
    rows, inputs, outputs = shape
    x, weight = (
        drawn((rows, inputs), wide_dtype, 1, gap),
        drawn((outputs, inputs), wide_dtype, 2, gap),
    )
    bias, residual = drawn((outputs,), wide_dtype, 3), drawn((rows, outputs), wide_dtype, 4, gap)
    before, y = forward(x, weight, bias, residual, "gelu")
    exact = x.astype(np.longdouble) @ weight.T.astype(np.longdouble) + bias
    plain = x @ weight.T + bias
    assert_as_accurate_as_numpy(before, plain, exact.astype(float), "before")
    exact_y = activated("gelu", exact.astype(float)) + residual
    assert_as_accurate_as_numpy(y, activated("gelu", plain) + residual, exact_y, "y")
    without = np.empty_like(y)
    native.linear_forward(x, weight, bias, residual, "gelu", None, without)
    assert_same_bits(without, y, "without before")
    in_place = residual.copy()
    native.linear_forward(x, weight, bias, in_place, "gelu", None, in_place)
    assert_same_bits(in_place, y, "in place of the residual")


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gradients_are_as_accurate_as_numpy(
    shape: tuple[int, int, int], wide_dtype: np.dtype[Any]
) -> None:
    rows, inputs, outputs = shape
    x, weight = drawn((rows, inputs), wide_dtype, 1, 2), drawn((outputs, inputs), wide_dtype, 2, 1)
    dy = drawn((rows, outputs), wide_dtype, 3, 3)
    wide_x, wide_weight, wide_dy = (a.astype(np.longdouble) for a in (x, weight, dy))
    dx = np.full((rows, inputs), np.nan, wide_dtype)
    native.linear_gradient_input(dy, weight, dx, False)
    assert_as_accurate_as_numpy(dx, dy @ weight, (wide_dy @ wide_weight).astype(float), "dx")
    once = dx.copy()
    native.linear_gradient_input(dy, weight, dx, True)
    np.testing.assert_allclose(dx, 2 * once, rtol=1e-5, atol=1e-4)
    dweight, dbias = np.zeros_like(weight), np.zeros(outputs, wide_dtype)
    native.linear_gradient_weight(dy, x, dweight, dbias)
    exact = (wide_dy.T @ wide_x).astype(float)
    assert_as_accurate_as_numpy(dweight, dy.T @ x, exact, "dweight")
    assert_as_accurate_as_numpy(dbias, dy.sum(0), wide_dy.sum(0).astype(float), "dbias")
    first = dweight.copy()
    native.linear_gradient_weight(dy, x, dweight, None)  # added to what is there
    np.testing.assert_allclose(dweight, 2 * first, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_activations_and_their_derivatives(kind: str, wide_dtype: np.dtype[Any]) -> None:
    x = np.concatenate([np.linspace(-9, 9, 4003), [0.0, -0.0, 1e-20, -1e-20]]).astype(wide_dtype)
    y, dx = np.empty_like(x), np.empty_like(x)
    native.activation_forward(kind, x, y)
    exact = activated(kind, x.astype(float))
    assert_as_accurate_as_numpy(y, activated(kind, x), exact, kind)
    dy = drawn(x.shape, wide_dtype, 1)
    native.activation_backward(kind, x, dy, dx)
    smooth = abs(x) > 1e-5  # the derivative of relu is discontinuous at 0
    expected = (derivative(kind, x) * dy).astype(float)
    rtol, atol = (1e-5, 1e-6) if wide_dtype == np.float32 else (1e-8, 1e-10)
    np.testing.assert_allclose(dx[smooth], expected[smooth], rtol=rtol, atol=atol)
    native.activation_forward(kind, x, x)
    assert_same_bits(x, y, "in place")


def test_activations_of_any_shape_and_unknown_ones() -> None:
    x = drawn((3, 5, 7), np.float32, 1)
    y = np.empty_like(x)
    native.activation_forward("relu", x, y)
    np.testing.assert_array_equal(y, np.maximum(x, 0))
    with pytest.raises(ValueError, match="unknown activation: swish"):
        native.activation_forward("swish", x, y)
    with pytest.raises(TypeError, match="all float32 or all float64: got float64"):
        native.activation_forward("relu", x.astype(float), y)


@pytest.mark.parametrize("shape", [*SHAPES, (300, 401, 1025)], ids=str)
def test_threads_do_not_change_a_bit(
    shape: tuple[int, int, int], wide_dtype: np.dtype[Any]
) -> None:
    rows, inputs, outputs = shape
    x, weight = drawn((rows, inputs), wide_dtype, 1), drawn((outputs, inputs), wide_dtype, 2)
    bias, dy = drawn((outputs,), wide_dtype, 3), drawn((rows, outputs), wide_dtype, 4)

    def everything(threads: int) -> list[Array]:
        dx, dweight, dbias = np.zeros_like(x), np.zeros_like(weight), np.zeros_like(bias)
        with heedful.num_threads(threads):
            results = [*forward(x, weight, bias, dy, "silu"), dx, dweight, dbias]
            native.linear_gradient_input(dy, weight, dx, False)
            native.linear_gradient_weight(dy, x, dweight, dbias)
        return results

    alone = everything(1)
    for threads in (2, 3):
        for result, expected in zip(everything(threads), alone, strict=True):
            assert_same_bits(result, expected, f"{threads} threads")


def test_rows_may_be_repeated_or_reversed(wide_dtype: np.dtype[Any]) -> None:
    weight = drawn((41, 19), wide_dtype, 2)
    for rows in (5, 23, 300):
        x = drawn((rows, 19), wide_dtype, 1)
        reversed_x = x[::-1]
        np.testing.assert_array_equal(
            forward(reversed_x, weight)[1], forward(reversed_x.copy(), weight)[1]
        )
        same = np.broadcast_to(x[0], x.shape)
        np.testing.assert_array_equal(forward(same, weight)[1], forward(same.copy(), weight)[1])


@pytest.mark.parametrize("rows", [0, 1, 5, 300])
def test_without_inputs_y_is_the_activation_of_the_bias(
    rows: int, wide_dtype: np.dtype[Any]
) -> None:
    bias = drawn((7,), wide_dtype, 1)
    x, weight = np.empty((rows, 0), wide_dtype), np.empty((7, 0), wide_dtype)
    before, y = forward(x, weight, bias, None, "tanh")
    assert y.shape == (rows, 7)
    np.testing.assert_array_equal(before, np.broadcast_to(bias, (rows, 7)))
    np.testing.assert_allclose(y, np.broadcast_to(np.tanh(bias), (rows, 7)), rtol=1e-6)
    dbias = np.zeros(7, wide_dtype)
    native.linear_gradient_weight(np.ones((rows, 7), wide_dtype), x, weight.copy(), dbias)
    np.testing.assert_array_equal(dbias, rows)


def test_no_outputs_give_gradients_of_0(wide_dtype: np.dtype[Any]) -> None:
    dx = np.full((5, 3), np.nan, wide_dtype)
    native.linear_gradient_input(
        np.empty((5, 0), wide_dtype), np.empty((0, 3), wide_dtype), dx, False
    )
    np.testing.assert_array_equal(dx, 0)


@pytest.mark.parametrize("rows", [3, 40, 403])
def test_nan_passes_through_and_reaches_no_other_row(rows: int, wide_dtype: np.dtype[Any]) -> None:
    x, weight = drawn((rows, 53), wide_dtype, 1), drawn((61, 53), wide_dtype, 2)
    x[1, 52] = np.nan
    y = forward(x, weight, None, None, "relu")[1]
    assert np.isnan(y[1]).all()
    assert not np.isnan(np.delete(y, 1, axis=0)).any()
    dy = drawn((rows, 61), wide_dtype, 3)
    dweight = np.zeros_like(weight)
    native.linear_gradient_weight(dy, x, dweight, None)
    assert np.isnan(dweight[:, 52]).all()
    assert not np.isnan(dweight[:, :52]).any()


def test_types_do_not_mix() -> None:
    x, weight = np.ones((3, 5), np.float32), np.ones((7, 5))
    with pytest.raises(TypeError, match="all float32 or all float64"):
        native.linear_forward(x, weight, None, None, "", None, np.ones((3, 7), np.float32))
    with pytest.raises(ValueError, match="two-dimensional"):
        native.linear_forward(x, weight, None, None, "", None, np.ones((1, 3, 7)))
