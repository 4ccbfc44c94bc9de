"""Parameters that two layers share: how they are tied, saved and loaded."""

from __future__ import annotations

import copy
import gc
import pickle
from typing import Any

import numpy as np
import pytest

from heedful.layers import (
    Embedding,
    LanguageModel,
    Layer,
    Linear,
    Parameter,
    Sequential,
    Transformer,
)


def tied() -> Sequential:
    embedding, projection = Embedding(7, 3, rng=0), Linear(3, 7, bias=False)
    projection.weight = embedding.weight
    return Sequential(embedding, projection)


def test_a_weight_that_is_assigned_to_another_layer_is_shared_as_in_torch() -> None:
    layers = tied()
    assert layers[1].weight is layers[0].weight
    assert list(layers.parameters()) == ["0.weight"]
    y, backward = layers.forward([[1, 2]])
    backward(np.ones_like(y))
    assert list(layers.grads) == ["0.weight"]
    layers[0].weight += 1
    np.testing.assert_array_equal(layers[1].weight, layers[0].weight)


def test_a_copy_of_a_weight_is_not_shared() -> None:
    one, other = Linear(3, 7), Linear(3, 7)
    other.weight = one.weight.copy()
    other.bias[...] = one.bias
    one.weight += 1
    one.bias += 1
    assert len(Sequential(one, other).parameters()) == 4
    assert not (one.weight == other.weight).any()
    assert not (one.bias == other.bias).any()


def test_a_bias_may_be_shared_with_a_layer_that_has_none() -> None:
    one, other = Linear(3, 7), Linear(5, 7, bias=False)
    other.bias = one.bias
    np.testing.assert_array_equal(other(np.zeros(5)), one.bias)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_what_was_copied_can_be_tied_too(copied: Any) -> None:
    layers = copied(tied())
    assert layers[1].weight is layers[0].weight
    third = Linear(3, 7, bias=False)
    third.weight = layers[0].weight
    assert third.weight is layers[0].weight


@pytest.mark.slow
def test_an_array_whose_layer_is_gone_is_copied() -> None:
    weight = Linear(3, 7).weight
    gc.collect()
    layer = Linear(3, 7)
    layer.weight = weight
    assert layer.weight is not weight
    np.testing.assert_array_equal(layer.weight, weight)


def test_one_name_of_a_shared_weight_is_enough() -> None:
    """As Hugging Face's files have it."""
    source = LanguageModel(11, 8, 2, 1, rng=1)
    for lacking in ("embedding.weight", "projection.weight"):
        state = source.state_dict()
        del state[lacking]
        model = LanguageModel(11, 8, 2, 1, rng=0)
        assert model.load_state_dict(state) == ([], [])
        np.testing.assert_array_equal(model([[1, 2]]), source([[1, 2]]))
    del state["embedding.weight"]
    with pytest.raises(ValueError, match=r"missing embedding\.weight, projection\.weight"):
        model.load_state_dict(state)


@pytest.mark.parametrize("strict", [True, False])
def test_two_arrays_for_one_parameter_are_refused(strict: bool) -> None:
    layers = tied()
    before, state = layers.state_dict(), layers.state_dict()
    state["1.weight"] += 1
    with pytest.raises(ValueError, match=r"0\.weight and 1\.weight are one parameter in the model"):
        layers.load_state_dict(state, strict)
    np.testing.assert_array_equal(layers[0].weight, before["0.weight"])


@pytest.mark.parametrize("state", [None, [1, 2], "weights"])
def test_a_state_is_a_mapping(state: Any) -> None:
    with pytest.raises(TypeError, match="state must be a mapping of names to arrays"):
        tied().load_state_dict(state)


def test_a_state_may_be_made_of_the_parameters_themselves() -> None:
    layers = Sequential(Linear(3, 2, bias=False), Linear(3, 2, bias=False))
    first, second = (layer.weight.copy() for layer in layers)
    layers.load_state_dict({"0.weight": layers[1].weight, "1.weight": layers[0].weight})
    np.testing.assert_array_equal(layers[0].weight, second)
    np.testing.assert_array_equal(layers[1].weight, first)


class Nested(Layer):
    """Parameters and layers in every kind of container."""

    def __init__(self) -> None:
        self.gains = [Parameter(np.ones(3)), Parameter(np.ones(3))]
        self.by_name = {"shift": Parameter(np.zeros(3)), "inner": Linear(3, 3, dtype=np.float64)}
        self.blocks = [[Linear(3, 3, dtype=np.float64)], (Linear(3, 2, dtype=np.float64),)]
        self.words = {"a": 1}
        self.loop: list[Any] = []
        self.loop.append(self.loop)

    def compute(self, mode: Any, x: Any) -> Any:
        y = x * self.gains[0].value + self.parameter("by_name.shift").value

        def backward(dy: Any) -> Any:
            self.add_gradient("gains.0", (dy * x).sum(0))
            self.add_gradient("by_name.shift", dy.sum(0))
            return dy * self.gains[0].value

        return y, backward


def test_parameters_in_lists_and_dicts_are_found() -> None:
    layer = Nested()
    names = ["gains.0", "gains.1", "by_name.shift", "by_name.inner.weight", "by_name.inner.bias",
             "blocks.0.0.weight", "blocks.0.0.bias", "blocks.1.0.weight",
             "blocks.1.0.bias"]  # fmt: skip
    assert sorted(layer.state_dict()) == sorted(names)
    assert layer.parameter_count == 9 + 12 + 12 + 8
    x = np.full((5, 3), 2.0)
    y, backward = layer.forward(x)
    backward(np.ones_like(y))
    np.testing.assert_array_equal(layer.grads["gains.0"], [10, 10, 10])
    np.testing.assert_array_equal(layer.grads["by_name.shift"], [5, 5, 5])
    layer.compile("sgd", "mean_squared_error")
    layer.fit(x, np.zeros((5, 3)), verbose=False, rng=0)
    assert (layer.gains[0].value != 1).all()
    assert "gains.0 (3,)" in layer._repr_html_()
    with pytest.raises(KeyError, match=r"Nested has no parameter 'gain': it has \['gains\.0'"):
        layer.parameter("gain")


class Forgetful(Layer):
    def __init__(self, result: Any) -> None:
        self.result = result

    def compute(self, mode: Any, x: Any) -> Any:
        return self.result


@pytest.mark.parametrize("result", [np.ones((2, 3)), None, (1, 2), (1, 2, 3)])
def test_a_compute_without_a_backward_function_is_an_error(result: Any) -> None:
    layer = Forgetful(result)
    for call in (layer, layer.forward, Sequential(layer), Sequential(Linear(3, 3), layer).forward):
        with pytest.raises(TypeError, match=r"Forgetful\.compute must return \(y, backward\): got"):
            call(np.ones((2, 3)))


@pytest.mark.parametrize(
    "wrong", [(), (None,), ("dy",), (np.ones((4, 7), complex),), (np.ones((7, 4)),),
              (np.ones((4, 7)), np.ones((4, 7))), ([[1.0], [1.0, 2.0]],)],
)  # fmt: skip
def test_a_gradient_that_is_refused_does_not_use_the_closure_up(wrong: tuple[Any, ...]) -> None:
    layer = Linear(3, 7)
    _, backward = layer.forward(np.ones((4, 3)))
    for _ in range(2):
        with pytest.raises((TypeError, ValueError), match="dy"):
            backward(*wrong)
    assert backward(np.ones((4, 7))).shape == (4, 3)


def test_a_tied_padding_vector_learns_from_the_projection_as_in_torch() -> None:
    model = Transformer(9, 11, 6, 2, 1, 8, padding_idx=0, tied=True, rng=0)
    apart = Transformer(9, 11, 6, 2, 1, 8, padding_idx=0, rng=0)
    tokens = [[1, 2, 0], [3, 4, 5]], [[1, 0], [2, 3]]
    for one in (model, apart):
        logits, backward = one.forward(*tokens, rng=0)
        backward(np.ones_like(logits))
    assert not model.grads["source_embedding.weight"][0].any()
    assert not apart.grads["source_embedding.weight"][0].any()
    assert not apart.grads["target_embedding.weight"][0].any()
    assert model.grads["target_embedding.weight"][0].any()


def test_torch_trains_a_tied_padding_vector_too() -> None:
    torch = pytest.importorskip("torch")
    embedding = torch.nn.Embedding(7, 3, padding_idx=0)
    projection = torch.nn.Linear(3, 7, bias=False)
    projection.weight = embedding.weight
    projection(embedding(torch.tensor([[0, 2]]))).sum().backward()
    layers = Sequential(Embedding(7, 3, padding_idx=0, rng=0), Linear(3, 7, bias=False))
    layers[1].weight = layers[0].weight
    layers[0].weight = embedding.weight.detach().numpy()
    y, backward = layers.forward([[0, 2]])
    backward(np.ones_like(y))
    np.testing.assert_allclose(
        layers.grads["0.weight"], embedding.weight.grad.numpy(), rtol=1e-5, atol=1e-6
    )
    assert layers.grads["0.weight"][0].any()
