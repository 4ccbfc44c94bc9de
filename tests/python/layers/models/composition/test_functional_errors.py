"""Functional models: what is wrong with them, told in one sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heedful.layers import Embedding, Input, Layer, Linear, Model, Sequential

X = np.random.default_rng(2).standard_normal((2, 3, 4))
LINEAR = Linear(4, 4, rng=0)


def test_inputs_are_checked() -> None:
    tokens, x = Input((5,), dtype=int, name="tokens"), Input((None, 4), dtype=np.float32, name="x")
    built = Model((tokens, x), Embedding(3, 4, rng=0)(tokens) + x.mean(axis=1, keepdims=True))
    good = np.zeros((2, 5), int), X
    assert built(*good).dtype == np.float32
    assert built(good[0].tolist(), X.astype(int)).dtype == np.float32
    for wrong, kind, message in (
        ((good[0][:, :4], X), ValueError, r"^tokens must have shape \(batch, 5\): got \(2, 4\)"),
        ((good[0], X[0]), ValueError, r"^x must have shape \(batch, any, 4\): got \(3, 4\)"),
        ((good[0] * 1.0, X), TypeError, r"^tokens must be of int64: got float64: write x\.astype"),
        ((good[0] > 0, X), TypeError, "^tokens must be of int64: got bool"),
        ((good[0],), TypeError, "^Model takes tokens, x: missing a required argument: 'x'"),
        ((*good, X), TypeError, "^Model takes tokens, x: too many positional arguments"),
    ):
        with pytest.raises(kind, match=message):
            built(*wrong)
    with pytest.raises(TypeError, match=r"^Model takes tokens, x: .* 'wrong'"):
        built(*good, wrong=1)


def test_wrong_shapes_name_the_layer_or_the_step() -> None:
    x = Input((None, 4))
    with pytest.raises(ValueError, match=r"^linear_1: x must have 5 elements"):
        Model(x, Linear(5, 2)(Linear(4, 4)(x)))(X)
    with pytest.raises(ValueError, match=r"^add_1: add cannot take arrays of shapes"):
        Model(x, (x + 1) + np.ones((9, 4)))(X)
    inner = Model(x, Sequential(Linear(4, 4), Linear(5, 2))(x))
    with pytest.raises(ValueError, match=r"^model\.sequential: x must have 5 elements"):
        Model(x, inner(x))(X)


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda x, y: Model(x, x + y), ValueError, r"^inputs must have all .*: 'y' is missing"),
        (lambda x, y: Model((x, y), x + 1), ValueError, "^inputs must be used .*: 'y' is not"),
        (lambda x, y: Model((x, x), x + 1), ValueError, "^inputs must be different: got one twice"),
        (lambda x, y: Model(x, X), TypeError, "^outputs must be symbolic: .* got an array"),
        (lambda x, y: Model(X, x), TypeError, "^inputs must be symbolic: .* got an array"),
        (lambda x, y: Model(x, []), ValueError, "^outputs must be at least one"),
        (lambda x, y: Model(x), TypeError, "^outputs must be symbolic: .* got None"),
        (lambda x, y: Model({"a b": x}, x + 1), ValueError, "^inputs must be named by Python id"),
        (
            lambda x, y: np.tanh(x),
            TypeError,
            r"numpy\.tanh does not take a symbolic value: .*steps",
        ),
        (lambda x, y: np.stack([x, y]), TypeError, r"numpy\.stack does not .* write steps\.stack"),
        (lambda x, y: np.asarray(x), TypeError, "a symbolic value is not an array"),
        (lambda x, y: bool(x), TypeError, "neither true nor false"),
        (lambda x, y: list(x + y), TypeError, r"not known before .* write y\[0\], y\[1\]"),
        (lambda x, y: (x + y).shape, AttributeError, "shape of a symbolic value is not known"),
        (lambda x, y: x.astype(int), AttributeError, "has no 'astype'"),
        (lambda x, y: Linear(4, 4).forward(x), TypeError, "a symbolic value is not an array"),
        (lambda x, y: x * LINEAR.weight, TypeError, "a parameter must be read where it is u"),
        (lambda x, y: Input("4"), TypeError, "^shape must be a tuple of integers"),
        (lambda x, y: Input((0,)), ValueError, "^shape must be at least 1"),
        (lambda x, y: Input(dtype=complex), TypeError, "^dtype must be integers, booleans or flo"),
        (lambda x, y: Input(dtype="wrong"), TypeError, "^dtype must be a NumPy type"),
        (lambda x, y: Input(name="a b"), ValueError, "^name must be a Python identifier"),
    ],
)
def test_bad_input_is_told_in_one_sentence(make: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        make(Input((4,), name="x"), Input((4,), name="y"))


def test_values_of_a_tape_and_symbols_do_not_mix() -> None:
    symbol = Input((4,))

    class Mixes(Layer):
        def call(self, x: Any) -> Any:
            return x + symbol

    with pytest.raises(ValueError, match="values must be of this tape: got a symbolic value"):
        Mixes()(X)
