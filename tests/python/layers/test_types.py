"""The type of results: a layer's own, or that of what came where a layer has no parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from heedful import layers
from heedful.layers import Dropout, GlobalAveragePooling, Linear, Residual, Sequential

ml_dtypes = pytest.importorskip("ml_dtypes")

L, SHAPE = layers, (3, 5, 6)
STATELESS: dict[str, Callable[..., Any]] = {
    "dropout": lambda **o: L.Dropout(0.4, **o),
    "no_dropout": lambda **o: L.Dropout(0.0, **o),
    **{
        name: (lambda name=name, **o: L.Activation(name, **o))
        for name in ("relu", "gelu", "gelu_tanh", "silu", "tanh", "sigmoid", "linear")
    },
    "relu_layer": L.ReLU, "gelu_layer": L.GELU, "silu_layer": L.SiLU, "tanh_layer": L.Tanh,
    "sigmoid_layer": L.Sigmoid, "softmax": L.Softmax,
    "pooling": L.GlobalAveragePooling, "flatten": L.Flatten,
    "sinusoidal": lambda **o: L.SinusoidalPositions(6, **o), "rotary": L.RotaryPositions,
}  # fmt: skip
TYPES = [
    (np.float64, np.float64), (np.float32, np.float32), (np.float16, np.float32),
    (ml_dtypes.bfloat16, np.float32), (np.longdouble, np.float64), (np.int64, np.float64),
    (np.uint8, np.float64), (np.bool_, np.float64), (np.dtype(">f8"), np.float64),
    (np.dtype(">f4"), np.float32),
]  # fmt: skip


def numbers(dtype: Any) -> Any:
    rng = np.random.default_rng(0)
    return rng.integers(0, 2, SHAPE).astype(dtype) if np.dtype(dtype).kind in "biu" else (
        rng.standard_normal(SHAPE).astype(dtype)
    )  # fmt: skip


@pytest.mark.parametrize("name", STATELESS)
@pytest.mark.parametrize(("given", "expected"), TYPES, ids=lambda one: np.dtype(one).str)
def test_a_layer_without_parameters_has_the_type_of_its_input(
    name: str, given: Any, expected: Any
) -> None:
    layer, x = STATELESS[name](), numbers(given)
    same = STATELESS[name](dtype=expected)
    for own in (layer, same):
        assert own(x).dtype == expected
    np.testing.assert_array_equal(layer(x), same(x))
    y, backward = layer.forward(x, rng=0)
    assert y.dtype == expected
    for dtype in (np.float32, np.float64):  # of the gradient, which becomes that of x
        y, backward = layer.forward(x, rng=0)
        assert backward(np.ones(y.shape, dtype)).dtype == expected


@pytest.mark.parametrize("name", STATELESS)
def test_a_requested_type_is_kept(name: str) -> None:
    for dtype in (np.float32, np.float64):
        layer = STATELESS[name](dtype=dtype)
        for given in (np.float32, np.float64, np.float16):
            assert layer(numbers(given)).dtype == dtype
    with pytest.raises(TypeError, match="dtype must be float32 or float64: got float16"):
        STATELESS[name](dtype=np.float16)


def test_a_model_of_float64_keeps_its_digits() -> None:
    """A step by finite differences of 1e-7 would drown in float32."""
    model = Sequential(
        Linear(6, 7, dtype="float64", rng=0), Dropout(0.1), L.GELU(), L.SinusoidalPositions(7),
        GlobalAveragePooling(), L.Softmax(), Linear(7, 1, dtype="float64", rng=1),
    )  # fmt: skip
    x, step = np.random.default_rng(0).standard_normal(SHAPE), 1e-6
    _, backward = model.forward(x, rng=3)
    dx = backward(np.ones((3, 1)))
    moved = np.zeros(SHAPE)
    moved[1, 2, 3] = step
    sums = [model.forward(x + sign * moved, rng=3)[0].sum() for sign in (1, -1)]
    assert (sums[0] - sums[1]) / (2 * step) == pytest.approx(dx[1, 2, 3], rel=1e-6)


def test_lists_count_as_numpy_reads_them() -> None:
    assert L.ReLU()([1.0, -2.0]).dtype == np.float64
    assert L.Flatten()([[1, 2]]).dtype == np.float64


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("given", [np.float16, np.float32, np.float64, np.int64])
def test_a_residual_connection_has_the_layer_s_type(dtype: Any, given: Any) -> None:
    layer, x = Residual(Linear(6, 6, dtype=dtype, rng=0)), numbers(given)
    assert layer(x).dtype == dtype
    y, backward = layer.forward(x)
    assert backward(np.ones(y.shape)).dtype == dtype
    assert layer(x.tolist()).dtype == dtype


def test_a_layer_with_parameters_needs_a_type() -> None:
    with pytest.raises(TypeError, match="dtype must be float32 or float64: got None"):
        Linear(2, 2, dtype=None)
