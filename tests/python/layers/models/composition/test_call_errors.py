"""Layers that have call: what is wrong with them, told with the layer's dotted name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from composed import Block

from heedful.layers import EncoderLayer, Layer, Linear, Sequential, Tape

X = np.random.default_rng(1).standard_normal((2, 3, 4))


class Wrong(Layer):
    """Calls a function of (self, x), which is wrong in some way."""

    def __init__(self, function: Any) -> None:
        self.function = function
        self.block = Sequential(Block(), EncoderLayer(4, 2, 8, dtype=np.float64))
        self.kept: Any = None

    def call(self, x: Any) -> Any:
        return self.function(self, x)


class NoGradient(Layer):
    def compute(self, mode: Any, x: Any, y: Any) -> Any:
        return x + y, lambda dy: dy


class WrongShape(Layer):
    def compute(self, mode: Any, x: Any) -> Any:
        return x, lambda dy: dy[:1]


@pytest.mark.parametrize(
    ("function", "kind", "message"),
    [
        (lambda self, x: self.block(x[..., :3]), ValueError, r"^block\.0\.norm: x must have 4 el"),
        (lambda self, x: self.block[0].inner(x[..., :3]), ValueError, r"^block\.0\.inner: x must"),
        (lambda self, x: self.block[0](x, wrong=1), TypeError, r"^block\.0: Block takes x, scale"),
        (lambda self, x: Linear(3, 3)(x), ValueError, "^Linear: x must have 3 elements"),
        (lambda self, x: self.block(x, mask=x[0, :, :3]), TypeError, "^block: .*gradient of mask"),
        (lambda self, x: np.ones(3), TypeError, "^Wrong must return what its layers and steps"),
        (lambda self, x: None, TypeError, "^Wrong must return .*: got None"),
        (lambda self, x: {"y": x}, TypeError, "^Wrong must return"),
        (lambda self, x: (x, (x, x)), TypeError, "^Wrong must return .*: got a tuple within a tu"),
        (lambda self, x: self.block.forward(x), RuntimeError, r"^within a tape, .* write layer\(x"),
    ],
)
def test_errors_name_the_layer(function: Any, kind: type[Exception], message: str) -> None:
    for run in (Wrong(function), Wrong(function).forward):
        with pytest.raises(kind, match=message):
            run(X)


def test_what_layers_return_as_gradients_is_checked() -> None:
    inner: Layer = WrongShape()

    def call(self: Any, x: Any) -> Any:
        self.inner = inner
        return self.inner(x)

    _, backward = Wrong(call).forward(X)
    with pytest.raises(ValueError, match=r"^inner: backward must return .* shape \(2, 3, 4\): got"):
        backward(np.ones_like(X))
    _, backward = Wrong(lambda self, x: NoGradient()(x, x)).forward(X)
    with pytest.raises(TypeError, match=r"^NoGradient: backward .* number 2 is missing: got 1"):
        backward(np.ones_like(X))


def test_values_of_another_computation_are_refused() -> None:
    def call(self: Any, x: Any) -> Any:
        if self.kept is None:
            self.kept = x
        return x + self.kept

    model = Wrong(call)
    model(X)
    with pytest.raises(
        ValueError, match="of this tape: got a value of a tape that was made for an"
    ):
        model(X)
    with pytest.raises(RuntimeError, match="has given its result: make another one"):
        model.kept + 1
    with pytest.raises(RuntimeError, match="has given its result"):
        Linear(4, 4)(model.kept)


def test_a_tape_is_used_once() -> None:
    from heedful.base._mode import INFERENCE

    with Tape(Layer(), INFERENCE) as tape:
        y = tape.input(X) + 1
    tape.result(y)
    with pytest.raises(RuntimeError, match="has given its result"):
        tape.result(y)
    with pytest.raises(RuntimeError, match="has given its result"), tape:
        pass


def test_a_layer_without_call_and_compute_says_so() -> None:
    with pytest.raises(TypeError, match=r"^Layer has no call and no compute: write one of them"):
        Layer()(X)


def test_a_call_that_fails_leaves_no_tape_behind() -> None:
    with pytest.raises(ZeroDivisionError):
        Wrong(lambda self, x: 1 / 0)(X)
    assert type(Linear(4, 2)(X)) is np.ndarray


def test_arguments_are_named_as_call_names_them() -> None:
    with pytest.raises(
        TypeError, match=r"^Block takes x, scale, lengths, return_weights: missing .* 'x'"
    ):
        Block()()
    with pytest.raises(
        TypeError, match=r"^Block takes x, scale, lengths, return_weights, rng: .*'wrong'"
    ):
        Block().forward(X, wrong=1)
    with pytest.raises(ValueError, match=r"^x must be rectangular"):
        Block()([[1.0], [1.0, 2.0]])
