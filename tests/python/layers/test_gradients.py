"""Every gradient of every layer, of inputs and of parameters, against finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from layer_cases import CASES, LayerCase

from heedful import layers
from heedful.testing import gradcheck

SEED = 7


def outputs(result: Any) -> Any:
    return result[0] if isinstance(result, tuple) else result


def test_every_layer_is_in_the_table(rng: np.random.Generator) -> None:
    def kinds(layer: layers.Layer) -> set[type]:
        return {type(layer)}.union(*(kinds(inner) for _, inner in layer.layers_inside()))

    tested = set().union(*(kinds(case.make(np.float32, 0)) for case in CASES))
    public = {kind for name in layers.__all__ if isinstance(kind := getattr(layers, name), type)
              and issubclass(kind, layers.Layer)}  # fmt: skip
    assert public - {layers.Layer} <= tested, "see CASES in tests/layer_cases.py"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_gradients_match_finite_differences(case: LayerCase, rng: np.random.Generator) -> None:
    layer, inputs = case.make(np.float64, 0), case.inputs(rng)
    layer(*inputs, **case.options)  # what takes its width from the first call has it now
    for parameter in layer.parameters().values():  # biases and norms begin at 0 and 1
        parameter += 0.1 * rng.standard_normal(parameter.shape)
    floating = [array for array in inputs if array.dtype == np.float64]
    parameters = layer.parameters()
    held = list(parameters.values())

    def function(*arrays: np.ndarray[Any, Any]) -> tuple[Any, Any]:
        given, learned = arrays[: len(floating)], arrays[len(floating) :]
        for parameter, array in zip(held, learned, strict=True):
            parameter[...] = array
        y, backward = layer.forward(*(given or inputs), rng=SEED, **case.options)
        penalty = layer.attention_penalty

        def gradients(backward: Any, dy: Any) -> list[Any]:
            layer.zero_grad()
            found = backward(dy)
            of_inputs = list(found) if isinstance(found, tuple) else [found] * len(floating)
            return [*of_inputs, *(layer.grads[name].copy() for name in parameters)]

        def pullback(dy: Any, dpenalty: Any = 1.0) -> list[Any]:
            found = gradients(backward, dy)
            if dpenalty == 1:
                return found
            # a layer adds the gradients of its penalty as it is
            _, again = layer.forward(*(given or inputs), rng=SEED, **case.options)
            alone = gradients(again, 0 * dy)
            return [one + (dpenalty - 1) * more for one, more in zip(found, alone, strict=True)]

        return (y, penalty) if penalty else y, pullback

    given = [*floating, *(array.copy() for array in held)]
    assert gradcheck(function, *given, samples=20, rtol=2e-5, atol=2e-7, rng=1)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_inference_is_training_without_dropout(case: LayerCase, rng: np.random.Generator) -> None:
    layer, inputs = case.make(np.float64, 0), case.inputs(rng)
    expected = layer(*inputs, **case.options)
    if case.drops:
        different = layer.forward(*inputs, rng=1, **case.options)[0]
        assert not np.allclose(different, expected)
        again = layer.forward(*inputs, rng=1, **case.options)[0]
        np.testing.assert_array_equal(again, different)
    else:
        y, _ = layer.forward(*inputs, **case.options)
        np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_float32_is_close_to_float64(case: LayerCase, rng: np.random.Generator) -> None:
    exact, layer = case.make(np.float64, 0), case.make(np.float32, 0)
    inputs = case.inputs(rng)
    expected = exact(*inputs, **case.options)
    layer(*inputs, **case.options)
    layer.load_state_dict(exact.state_dict())
    y = layer(*inputs, **case.options)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_gradients_of_two_passes_add_up(case: LayerCase, rng: np.random.Generator) -> None:
    layer, inputs = case.make(np.float64, 0), case.inputs(rng)
    y, backward = layer.forward(*inputs, rng=SEED, **case.options)
    other, other_backward = layer.forward(*inputs, rng=SEED, **case.options)
    dy = rng.standard_normal(y.shape)
    backward(dy)
    once = {name: gradient.copy() for name, gradient in layer.grads.items()}
    other_backward(dy)
    np.testing.assert_array_equal(y, other)
    for name, gradient in layer.grads.items():
        np.testing.assert_allclose(gradient, 2 * once[name], rtol=1e-12, atol=1e-14)
