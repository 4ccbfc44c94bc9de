"""Each step: its result is NumPy's, its gradients are those of central differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import heedful
from heedful.base._mode import Mode
from heedful.layers import Layer, Linear, Tape, steps
from heedful.testing import gradcheck

RNG = np.random.default_rng(3)
X, Y, ROW = RNG.standard_normal((3, 5)), RNG.standard_normal((3, 5)), RNG.standard_normal(5)
POSITIVE, CUBE = np.abs(X) + 0.5, RNG.standard_normal((2, 3, 4))
PICK = np.array([2, 0, 2])

# name: (a call of steps, the same in NumPy, arrays)
CASES: dict[str, tuple[Callable[..., Any], Callable[..., Any], tuple[np.ndarray, ...]]] = {
    "add": (lambda x, y: x + y, np.add, (X, ROW)),
    "radd": (lambda x: 2 + x, lambda x: 2 + x, (X,)),
    "add array": (lambda x: Y + x, lambda x: Y + x, (X,)),
    "add twice": (lambda x: x + x, lambda x: 2 * x, (X,)),
    "subtract": (lambda x, y: x - y, np.subtract, (ROW, X)),
    "rsubtract": (lambda x: 1 - x, lambda x: 1 - x, (X,)),
    "multiply": (lambda x, y: x * y, np.multiply, (X[:, :1], Y)),
    "square": (lambda x: x * x, np.square, (X,)),
    "divide": (lambda x, y: x / y, np.divide, (X, POSITIVE)),
    "rdivide": (lambda x: 3 / x, lambda x: 3 / x, (POSITIVE,)),
    "negative": (lambda x: -x, np.negative, (X,)),
    "power": (lambda x: x**1.5, lambda x: x**1.5, (POSITIVE,)),
    "power 0": (lambda x: x**0, np.ones_like, (X,)),
    "maximum": (steps.maximum, np.maximum, (X, ROW)),
    "minimum": (lambda x: steps.minimum(x, 0.3), lambda x: np.minimum(x, 0.3), (X,)),
    "where": (lambda x, y: steps.where(Y > 0, x, y), lambda x, y: np.where(Y > 0, x, y), (X, ROW)),
    "exp": (steps.exp, np.exp, (X,)),
    "log": (steps.log, np.log, (POSITIVE,)),
    "sqrt": (steps.sqrt, np.sqrt, (POSITIVE,)),
    "tanh": (steps.tanh, np.tanh, (X,)),
    "sigmoid": (steps.sigmoid, lambda x: 1 / (1 + np.exp(-x)), (X,)),
    "abs": (steps.abs, np.abs, (X,)),
    "matmul": (
        lambda x, y: x @ y, np.matmul, (X, Y.T)
    ),
    "matmul broadcast": (lambda x, y: x @ y, np.matmul, (CUBE, X[:, :4].T)),
    "matmul vector": (lambda x, y: x @ y, np.matmul, (CUBE, ROW[:4])),
    "vector matmul": (lambda x, y: x @ y, np.matmul, (ROW[:3], CUBE)),
    "dot": (lambda x, y: x @ y, np.matmul, (ROW, X[0])),
    "rmatmul": (lambda x: Y @ x, lambda x: Y @ x, (X.T.copy(),)),
    "sum": (lambda x: x.sum(), np.sum, (X,)),
    "sum axes": (lambda x: x.sum((0, -1)), lambda x: x.sum((0, -1)), (CUBE,)),
    "sum keepdims": (lambda x: x.sum(1, keepdims=True), lambda x: x.sum(1, keepdims=True), (CUBE,)),
    "mean": (lambda x: x.mean(axis=1), lambda x: x.mean(1), (CUBE,)),
    "mean all": (lambda x: x.mean(), np.mean, (CUBE,)),
    # of scalars NumPy's functions return numbers, not arrays
    "scalar arithmetic": (
        lambda x: x * (2 - x.sum() / 3) + x.mean() ** 2,
        lambda x: x * (2 - x.sum() / 3) + x.mean() ** 2, (X,),
    ),
    "scalar functions": (
        lambda x: x + steps.log(steps.exp(-steps.tanh(x.sum()))),
        lambda x: x - np.tanh(x.sum()), (X,),
    ),
    "scalar choices": (
        lambda x: x * steps.maximum(steps.abs(x.sum()), 0.1) + steps.where(True, x[0, 0], x[1, 1]),
        lambda x: x * np.abs(x.sum()) + x[0, 0], (X,),
    ),
    "max": (lambda x: x.max(-1), lambda x: x.max(-1), (CUBE,)),
    "softmax": (
        lambda x: steps.softmax(x, axis=1), lambda x: np.exp(x) / np.exp(x).sum(1, keepdims=True),
        (CUBE,),
    ),
    "log_softmax": (
        lambda x: steps.log_softmax(x, axis=1),
        lambda x: x - np.log(np.exp(x).sum(1, keepdims=True)), (CUBE,),
    ),
    "reshape": (lambda x: x.reshape(4, -1), lambda x: x.reshape(4, -1), (CUBE,)),
    "transpose": (lambda x: x.transpose(1, 2, 0), lambda x: x.transpose(1, 2, 0), (CUBE,)),
    "transpose all": (lambda x: x.T, np.transpose, (CUBE,)),
    "transpose axes": (lambda x: x.transpose([0, -1, 1]), lambda x: x.transpose(0, 2, 1), (CUBE,)),
    "mT": (lambda x: x.mT, lambda x: x.swapaxes(-1, -2), (CUBE,)),
    "expand_dims": (lambda x: steps.expand_dims(x, (0, 2)), lambda x: x[None, :, None], (X,)),
    "squeeze": (lambda x: steps.expand_dims(x, 1).squeeze(1), lambda x: x, (X,)),
    "broadcast_to": (
        lambda x: steps.broadcast_to(x, (2, 3, 5)), lambda x: np.broadcast_to(x, (2, 3, 5)), (ROW,),
    ),
    "index": (lambda x: x[:, -1], lambda x: x[:, -1], (CUBE,)),
    "index none": (lambda x: x[None, ..., 1:3], lambda x: x[None, ..., 1:3], (CUBE,)),
    "index array": (lambda x: x[PICK], lambda x: x[PICK], (X,)),
    "index pairs": (lambda x: x[PICK, [1, 1, 1]], lambda x: x[PICK, 1], (X,)),
    "index mask": (lambda x: x[Y > 0], lambda x: x[Y > 0], (X,)),
    "concatenate": (
        lambda x, y: steps.concatenate([x, Y, y], axis=1),
        lambda x, y: np.concatenate([x, Y, y], axis=1), (X, POSITIVE[:, :2]),
    ),
    "stack": (
        lambda x, y: steps.stack([x, y], axis=-1), lambda x, y: np.stack([x, y], -1), (X, POSITIVE),
    ),
    "split": (
        lambda x: steps.split(x, 2, axis=-1)[0] * 3, lambda x: x[..., :2] * 3, (CUBE,),
    ),
    "split int64": (
        lambda x: steps.split(x, np.int64(2), axis=-1)[1], lambda x: x[..., 2:], (CUBE,),
    ),
    "split lengths": (
        lambda x: steps.split(x, [1, 3], axis=-1)[1], lambda x: x[..., 1:], (CUBE,),
    ),
    "attention": (
        lambda q, k, v, b: steps.attention(q, k, v, b, causal=True),
        lambda q, k, v, b: heedful.attention(q, k, v, bias=b, causal=True),
        (*RNG.standard_normal((3, 2, 4, 3)), RNG.standard_normal((4, 4))),
    ),
    "attention sink": (
        lambda q, k, v, b, s: steps.attention(q, k, v, sink=s, causal=True, bias=b),
        lambda q, k, v, b, s: heedful.attention(q, k, v, bias=b, sink=s, causal=True),
        (*RNG.standard_normal((3, 2, 4, 3)), RNG.standard_normal((4, 4)), RNG.standard_normal(2)),
    ),
    "attention weights": (
        lambda q, k, v: steps.attention(q, k, v, return_weights=True)[1],
        lambda q, k, v: heedful.attention_weights(q, k),
        tuple(RNG.standard_normal((3, 2, 4, 3))),
    ),
    "attention lse": (
        lambda q, k, v: steps.attention(q, k, v, return_lse=True)[1],
        lambda q, k, v: heedful.attention(q, k, v, return_lse=True)[1],
        tuple(RNG.standard_normal((3, 2, 4, 3))),
    ),
    "additive attention": (
        steps.additive_attention, heedful.additive_attention,
        (*RNG.standard_normal((3, 1, 4, 3)), RNG.standard_normal((1, 3))),
    ),
}  # fmt: skip


def on_a_tape(function: Callable[..., Any]) -> Callable[..., Any]:
    def run(*arrays: np.ndarray) -> Any:
        with Tape(Layer(), Mode(True, np.random.default_rng(0))) as tape:
            y = function(*(tape.input(array) for array in arrays))
        value, backward = tape.result(y)

        def pullback(dy: np.ndarray) -> tuple[np.ndarray, ...]:
            found = backward(dy)
            return found if isinstance(found, tuple) else (found,)

        return value, pullback

    return run


@pytest.mark.parametrize("name", CASES)
def test_steps_compute_what_numpy_computes_and_their_gradients(name: str) -> None:
    function, expected, arrays = CASES[name]
    y, _ = on_a_tape(function)(*arrays)
    np.testing.assert_allclose(y, expected(*arrays), rtol=1e-13, atol=1e-14)
    assert gradcheck(on_a_tape(function), *arrays, rtol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_steps_in_float32_stay_in_float32(name: str) -> None:
    function, _, arrays = CASES[name]
    narrow = [array.astype(np.float32) for array in arrays]
    y, pullback = on_a_tape(function)(*narrow)
    assert y.dtype == np.float32
    assert all(dx.dtype == np.float32 for dx in pullback(np.ones_like(y)))


def test_every_step_is_in_a_case() -> None:
    words = {"radd", "rsubtract", "rdivide"}
    tested = " ".join(CASES) + " ".join(words)
    booleans = {"greater", "greater_equal", "less", "less_equal", "equal", "not_equal"}
    others = {"stop_gradient", "swapaxes", "additive_attention"}  # below, mT, with a space
    missing = [name for name in steps.__all__ if name not in tested]
    assert set(missing) <= booleans | others


def test_steps_on_arrays_give_arrays() -> None:
    for name, (function, expected, arrays) in CASES.items():
        if "squeeze" in name or "transpose axes" in name or "mT" in name:
            continue  # methods that arrays have in another form, or not at all
        found = function(*arrays)
        assert isinstance(found, (np.ndarray, np.generic)), name
        np.testing.assert_allclose(found, expected(*arrays), rtol=1e-13, atol=1e-14)


def test_comparisons_are_plain_booleans() -> None:
    def function(x: Any) -> Any:
        for mask, expected in (
            (x > 0, X > 0), (x >= 0, X >= 0), (x < 0, X < 0), (x <= 0, X <= 0),
            (x == X, X == X), (x != X, X != X), (x < Y, Y > X),
        ):  # fmt: skip
            assert type(mask) is np.ndarray
            assert (mask == expected).all()
        return x

    on_a_tape(function)(X)
    assert gradcheck(on_a_tape(lambda x: steps.where(x > 0, x, 0.1 * x)), X, rtol=1e-6)


def test_equal_elements_share_the_gradient_of_a_maximum() -> None:
    _, pullback = on_a_tape(lambda x: x.max())(np.array([1.0, 3.0, 3.0]))
    np.testing.assert_array_equal(pullback(np.array(4.0))[0], [0.0, 2.0, 2.0])
    _, pullback = on_a_tape(steps.maximum)(np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    np.testing.assert_array_equal(pullback(np.ones(2)), [[0.5, 1.0], [0.5, 0.0]])


def test_a_constant_has_no_gradient() -> None:
    y, pullback = on_a_tape(lambda x: x * steps.stop_gradient(x))(X)
    np.testing.assert_array_equal(y, X * X)
    np.testing.assert_array_equal(pullback(np.ones_like(X))[0], X)


def test_numbers_and_arrays_beside_a_value_take_its_type() -> None:
    x = X.astype(np.float32)
    for function in (
        lambda x: x * np.sqrt(np.float64(3)), lambda x: Y + x, lambda x: x / np.array(2.0),
        lambda x: x * np.arange(5), lambda x: steps.concatenate([Y, x]), lambda x: x + True,
    ):  # fmt: skip
        assert on_a_tape(function)(x)[0].dtype == np.float32


def test_overflow_is_infinite_without_a_warning() -> None:
    y, pullback = on_a_tape(lambda x: steps.exp(x) / 0.0)(np.array([1000.0]))
    assert np.isinf(y[0])
    with np.errstate(all="raise"):
        pullback(np.ones(1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: x + np.ones(4), r"^add cannot take arrays of shapes \(3, 5\) and \(4,\): "),
        (lambda x: x @ x, r"^matmul cannot take arrays of shapes \(3, 5\) and \(3, 5\): "),
        (lambda x: x.reshape(4, 4), r"^reshape cannot take shape \(3, 5\): .*\(4,4\)"),
        (lambda x: x.sum(axis=2), r"^sum cannot take shape \(3, 5\): axis 2 is out of bounds"),
        (lambda x: steps.split(x, 2, axis=1), r"^split cannot take .* has no 2 equal parts"),
        (lambda x: steps.split(x, [2, 2], axis=1), "parts must add up to 5"),
        (lambda x: x ** float("nan"), "exponent must be finite"),
    ],
)
def test_wrong_shapes_are_reported_in_one_sentence(call: Callable[..., Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        on_a_tape(call)(X)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (np.tanh, r"numpy\.tanh does not take a value of a tape: write steps\.tanh"),
        (lambda x: np.concatenate([x, x]), r"numpy\.concatenate .* write steps\.concatenate"),
        (np.var, r"numpy\.var does not take a value of a tape: write it with the functions of"),
        (lambda x: np.amax(x), r"numpy\.amax .* write steps\.max"),
        (np.asarray, "a value of a tape is not an array: call layers"),
        (lambda x: np.add.reduce(x), r"numpy\.add\.reduce does not take"),
        (heedful.attention_scores, "missing|not an array"),
        (lambda x: heedful.attention(x, x, x), "a value of a tape is not an array"),
        (lambda x: 1 if x.sum() else 0, "neither true nor false"),
        (lambda x: steps.where(x, x, x), "condition must be booleans"),
        (lambda x: steps.attention(x, x, x, dropout_p=0.1), "dropout_p is no option of a step"),
        (lambda x: steps.attention(x, x, x, mask=x), "no gradient of mask: .*stop_gradient"),
        (lambda x: steps.attention(x, bias=x), "attention needs key: it was not given"),
        (lambda x: steps.exp(steps.split(x, 5, 1)), "cannot take a tuple of arrays: choose one"),
    ],
)
def test_what_would_lose_the_gradient_is_a_type_error(call: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        on_a_tape(call)(X)


def test_unknown_attributes_point_to_the_steps() -> None:
    with pytest.raises(AttributeError, match=r"has no 'astype': the functions of heedful\.layers"):
        on_a_tape(lambda x: x.astype(np.float32))(X)


def test_a_linear_layer_and_the_product_agree() -> None:
    layer = Linear(5, 2, dtype=np.float64, rng=0)

    class ByHand(Layer):
        def __init__(self) -> None:
            self.linear = layer

        def call(self, x: Any) -> Any:
            return x @ self.linear.weight.T + self.linear.bias

    dy = np.ones((3, 2))
    layer.zero_grad()
    expected, backward = layer.forward(X)
    dx, grads = backward(dy), {name: array.copy() for name, array in layer.grads.items()}
    layer.zero_grad()
    y, backward = ByHand().forward(X)
    np.testing.assert_allclose(y, expected, rtol=1e-13)
    np.testing.assert_allclose(backward(dy), dx, rtol=1e-13)
    for name, array in layer.grads.items():
        np.testing.assert_allclose(array, grads[name], rtol=1e-13)
