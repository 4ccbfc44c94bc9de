"""Gradients given by position and by name, of y and of weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from layer_cases import CASES, LayerCase

from heedful import layers as L
from heedful.testing import gradcheck

X = np.random.default_rng(0).standard_normal((2, 5, 6))
WITH_WEIGHTS: dict[str, Callable[[], Any]] = {
    "multi_head": lambda: L.MultiHeadAttention(6, 2, sink=True, dtype="float64", rng=0),
    "additive": lambda: L.AdditiveAttention(6, 3, dtype="float64", rng=0),
    "pooling": lambda: L.AttentionPooling(6, dtype="float64", rng=0),
    "pooling_deep": lambda: L.AttentionPooling(6, 4, 3, dtype="float64", rng=0),
    "features": lambda: L.FeatureAttention(6, dtype="float64", rng=0),
    "residual": lambda: L.Residual(L.MultiHeadAttention(6, 2, dtype="float64", rng=0)),
    "sequential": lambda: L.Sequential(L.MultiHeadAttention(6, 2, dtype="float64", rng=0)),
}


def total(layer: Any, found: Any) -> list[Any]:
    gradients = [*(found if isinstance(found, tuple) else (found,)), *layer.grads.values()]
    return [gradient.copy() for gradient in gradients]


@pytest.mark.parametrize("name", WITH_WEIGHTS)
def test_dweights_by_name_is_dweights_by_position(name: str, rng: np.random.Generator) -> None:
    results = []
    for call in (
        lambda backward, dy, dw: backward(dy, dw),
        lambda backward, dy, dw: backward(dy, dweights=dw),
        lambda backward, dy, dw: backward(dy=dy, dweights=dw),
        lambda backward, dy, dw: backward(dweights=dw, dy=dy),
    ):
        layer = WITH_WEIGHTS[name]()
        (y, weights), backward = layer.forward(X, return_weights=True)
        results.append(total(layer, call(backward, np.sin(y), np.cos(weights))))
    layer = WITH_WEIGHTS[name]()
    (y, weights), backward = layer.forward(X, return_weights=True)
    without = total(layer, backward(dy=np.sin(y), dweights=None))
    for other in results[1:]:
        for one, same in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(one, same)
    assert any(not np.allclose(a, b) for a, b in zip(results[0], without, strict=True))


@pytest.mark.parametrize("name", WITH_WEIGHTS)
def test_gradients_of_weights_match_finite_differences(name: str, rng: np.random.Generator) -> None:
    layer = WITH_WEIGHTS[name]()
    for parameter in layer.parameters().values():
        parameter += 0.1 * rng.standard_normal(parameter.shape)

    def function(x: Any) -> Any:
        (y, weights), backward = layer.forward(x, return_weights=True)
        return (y, weights), lambda dy, dweights: [backward(dy, dweights=dweights)]

    assert gradcheck(function, X, rtol=1e-6, atol=1e-8, rng=1)


@pytest.mark.parametrize("name", WITH_WEIGHTS)
def test_errors_are_reported_and_can_be_corrected(name: str) -> None:
    layer = WITH_WEIGHTS[name]()
    (y, weights), backward = layer.forward(X, return_weights=True)
    with pytest.raises(ValueError, match="dweights must have shape"):
        backward(y, dweights=weights[..., :1])
    with pytest.raises(TypeError, match=r"must be given dy, dweights: got an unexp.* 'dlse'"):
        backward(y, dlse=weights)
    with pytest.raises(TypeError, match="must be given dy, dweights: missing a required"):
        backward(dweights=weights)
    with pytest.raises(TypeError, match="must be given dy, dweights: multiple values"):
        backward(y, dy=y)
    backward(y, dweights=weights)
    with pytest.raises(RuntimeError, match="called before"):
        backward(y, dweights=weights)
    y, backward = layer.forward(X)
    with pytest.raises(TypeError, match="backward must be given dy"):
        backward(y, dweights=weights)
    backward(dy=y)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_dy_has_this_name_in_every_layer(case: LayerCase, rng: np.random.Generator) -> None:
    layer, inputs = case.make(np.float64, 0), case.inputs(rng)
    y, backward = layer.forward(*inputs, **case.options, rng=0)
    expected = backward(y)
    y, backward = layer.forward(*inputs, **case.options, rng=0)
    with pytest.raises(TypeError, match=r"^backward must be given dy.*'dx'"):
        backward(y, dx=y)
    found = backward(dy=y)
    pairs = zip(expected, found, strict=True) if isinstance(found, tuple) else [(expected, found)]
    for one, other in pairs:
        if one is not None:
            np.testing.assert_array_equal(one, other)


def test_gradients_of_a_layer_of_one_s_own_have_its_names() -> None:
    class Two(L.Layer):
        def compute(self, mode: Any, x: Any) -> Any:
            return (x, 2 * x), lambda dleft, dright: dleft + 2 * dright

    y, backward = Two().forward(X)
    np.testing.assert_array_equal(backward(y[0], dright=y[1]), 5 * X)


def test_a_closure_that_was_called_raises_whatever_its_arguments() -> None:
    y, backward = L.ReLU().forward(X)
    backward(dy=y)
    for call in (lambda: backward(y), lambda: backward(dy=y), lambda: backward(y, y)):
        with pytest.raises(RuntimeError, match="called before"):
            call()


def test_gradients_of_what_has_none_are_refused_and_the_closure_is_kept() -> None:
    model = L.SegmentRecurrentLM(9, 6, 2, 1, rng=0)
    (logits, memory), backward = model.forward([[1, 2]], return_memory=True)
    with pytest.raises(TypeError, match="backward must be given dy: too many positional"):
        backward(logits, memory)
    backward(logits)


def test_several_patterns_freeze() -> None:
    model = L.Sequential(L.Linear(2, 3), L.Linear(3, 2), L.Dense(2))

    def learning() -> list[str]:
        made = [name for name, own in model.named_parameters() if own.trainable]
        return made + [f"2.{name}" for name, learns in model[2].awaited.items() if learns]

    model.freeze("0.*", "2.linear.b*", "1.weight")
    assert learning() == ["1.bias", "2.linear.weight"]
    model.unfreeze("1.*", "2.*")
    assert learning() == ["1.weight", "1.bias", "2.linear.weight", "2.linear.bias"]
    for change in (model.freeze, model.unfreeze):
        with pytest.raises(ValueError, match=r"names must match a parameter: got 'x\.\*'"):
            change("0.*", "x.*")
        with pytest.raises(TypeError, match="names must be patterns such as"):
            change(["0.*"])
    assert "0.weight" not in learning()
    model.freeze()
    assert learning() == []
    model.unfreeze()
    assert len(learning()) == 6
