"""What holds for every layer: parameters, gradients, state, sharing, freezing, threads, repr."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from layer_cases import CASES, LayerCase

from heedful.layers import (
    Embedding,
    Encoder,
    LanguageModel,
    Layer,
    LayerNorm,
    Linear,
    MultiHeadAttention,
    Parameter,
    ReLU,
    Sequential,
)


class Scale(Layer):
    """What the documentation shows."""

    def __init__(self, size: int) -> None:
        self.gain = Parameter(np.ones(size, np.float32))

    def compute(self, mode: Any, x: Any) -> Any:
        y = x * self.gain

        def backward(dy: Any) -> Any:
            self.add_gradient("gain", (dy * x).sum(0))
            return dy * self.gain

        return y, backward


def model() -> Sequential:
    return Sequential(Linear(3, 4, rng=0), ReLU(), Linear(4, 2, rng=1))


def test_a_layer_of_one_s_own_works_as_the_others_do() -> None:
    layer = Sequential(Scale(3), Linear(3, 2, rng=0))
    assert list(layer.parameters()) == ["0.gain", "1.weight", "1.bias"]
    y, backward = layer.forward(np.full((5, 3), 2, np.float32))
    backward(np.ones_like(y))
    np.testing.assert_allclose(layer.grads["0.gain"], 10 * layer[1].weight.sum(0), rtol=1e-6)


def test_parameters_are_the_arrays_that_the_layer_uses() -> None:
    layer = Linear(2, 1, bias=False)
    layer.parameters()["weight"][...] = [[3, 4]]
    np.testing.assert_array_equal(layer(np.eye(2)), [[3], [4]])


def test_assigned_values_are_copied() -> None:
    layer, weight = Linear(2, 1, bias=False), np.array([[3.0, 4.0]])
    held = layer.weight
    layer.weight = weight
    layer.weight *= 2
    assert layer.weight is held
    np.testing.assert_array_equal(held, [[6, 8]])
    np.testing.assert_array_equal(weight, [[3, 4]])


def test_an_array_of_another_shape_is_refused() -> None:
    layer = Linear(2, 1)
    with pytest.raises(ValueError, match=r"weight must have shape \(1, 2\): got \(2, 1\)"):
        layer.weight = np.ones((2, 1))
    with pytest.raises(ValueError, match=r"weight must have shape \(1, 2\): got \(3, 2\)"):
        layer.weight = Embedding(3, 2).parameter("weight")


def test_backward_is_called_once() -> None:
    y, backward = model().forward(np.ones((5, 3)))
    backward(np.ones_like(y))
    with pytest.raises(RuntimeError, match="was called before"):
        backward(np.ones_like(y))


def test_closures_may_be_called_in_any_order(rng: np.random.Generator) -> None:
    layer, inputs = model(), rng.standard_normal((2, 5, 3))
    apart = []
    for x in inputs:
        y, backward = layer.forward(x)
        apart.append(backward(np.ones_like(y)))
    (y, first), (_, second) = (layer.forward(x) for x in inputs)
    later = second(np.ones_like(y)), first(np.ones_like(y))
    np.testing.assert_array_equal(later[::-1], apart)


def test_inference_keeps_nothing(rng: np.random.Generator) -> None:
    layer, before = Encoder(1, 6, 2, 8), None
    before = pickle.dumps(layer)
    layer(rng.standard_normal((2, 5, 6)))
    assert pickle.dumps(layer) == before


@pytest.mark.parametrize("layer", [Linear(6, 4, rng=0), LayerNorm(6), ReLU(), Encoder(1, 6, 2, 8)],
                         ids=lambda layer: type(layer).__name__)  # fmt: skip
def test_inputs_may_have_any_layout(layer: Layer, rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 5, 6)).astype(np.float32)
    wide = np.zeros((2, 10, 12), np.float32)
    wide[:, ::2, ::2] = x
    packed = np.zeros(x.shape[:2], [("before", "i1"), ("row", "f4", 6)])  # 25 bytes a row
    packed["row"] = x
    expected, dx = layer(x), None
    others = [wide[:, ::2, ::2], np.asfortranarray(x), np.flip(np.flip(x).copy()), packed["row"],
              x.astype(">f4"), x.astype(np.float64), x.tolist()]  # fmt: skip
    for other in others:
        np.testing.assert_array_equal(layer(other), expected)
        layer.zero_grad()
        y, backward = layer.forward(other, rng=0)
        found = backward(np.broadcast_to(np.float32(0.5), y.shape)), *layer.grads.values()
        if dx is None:
            dx = [array.copy() for array in found]
        for one, first in zip(found, dx, strict=True):
            np.testing.assert_array_equal(one, first)


def test_a_shared_parameter_is_one() -> None:
    embedding, projection = Embedding(7, 3, rng=0), Linear(3, 7, bias=False)
    projection.weight = embedding.parameter("weight")
    tied = Sequential(embedding, projection)
    assert list(tied.parameters()) == ["0.weight"]
    assert list(tied.state_dict()) == ["0.weight", "1.weight"]
    assert tied.parameter_count == 21
    y, backward = tied.forward([[1, 2]])
    backward(np.ones_like(y))
    assert list(tied.grads) == ["0.weight"]
    apart = Sequential(Embedding(7, 3), Linear(3, 7, bias=False))
    apart.load_state_dict(tied.state_dict())
    y, backward = apart.forward([[1, 2]])
    backward(np.ones_like(y))
    np.testing.assert_allclose(
        tied.grads["0.weight"], apart.grads["0.weight"] + apart.grads["1.weight"], rtol=1e-6
    )


def test_a_layer_that_is_used_twice_is_one() -> None:
    layer = Linear(3, 3, rng=0)
    twice = Sequential(layer, layer)
    assert list(twice.parameters()) == ["0.weight", "0.bias"]
    y, backward = twice.forward(np.ones((5, 3)))
    backward(np.ones_like(y))
    assert layer.grads["bias"].shape == (3,)


def test_what_is_frozen_gets_no_gradient() -> None:
    layer = model()
    layer.freeze("0.*")
    y, backward = layer.forward(np.ones((5, 3)))
    dx = backward(np.ones_like(y))
    assert dx.shape == (5, 3)
    assert list(layer.grads) == ["2.weight", "2.bias"]
    layer.unfreeze()
    y, backward = layer.forward(np.ones((5, 3)))
    backward(np.ones_like(y))
    assert len(layer.grads) == 4
    with pytest.raises(ValueError, match="names must match a parameter: got 'head"):
        layer.freeze("head.*")


def test_a_frozen_weight_leaves_the_bias_to_learn() -> None:
    for layer in (Linear(3, 2, rng=0), MultiHeadAttention(4, 2, rng=0)):
        layer.freeze("*weight")
        x = np.ones((2, 5, 3 if isinstance(layer, Linear) else 4), np.float32)
        y, backward = layer.forward(x)
        backward(np.ones_like(y))
        assert all(name.endswith("bias") for name in layer.grads)
        assert layer.grads


def test_zero_grad_clears() -> None:
    layer = model()
    for _ in range(2):
        layer.zero_grad()
        y, backward = layer.forward(np.ones((5, 3)))
        backward(np.ones_like(y))
        last = layer.grads["2.bias"].copy()
    np.testing.assert_array_equal(last, [5, 5])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("2.bias"), r"missing 2\.bias, unexpected nothing"),
        (lambda s: s.update(more=np.ones(3)), "missing nothing, unexpected more"),
        (lambda s: s.update({"2.bias": np.ones(3)}), r"2\.bias must have shape \(2,\): got \(3,\)"),
        (lambda s: s.update({"2.bias": np.array(["a", "b"])}), r"2\.bias must hold real numbers"),
    ],
    ids=["missing", "extra", "shape", "type"],
)
def test_a_state_that_does_not_fit_changes_nothing(change: Any, message: str) -> None:
    layer = model()
    before, state = layer.state_dict(), model().state_dict()
    for array in state.values():
        array += 1
    change(state)
    with pytest.raises((ValueError, TypeError), match=message):
        layer.load_state_dict(state)
    for name, array in layer.parameters().items():
        np.testing.assert_array_equal(array, before[name])


def test_a_state_may_fit_in_part_if_not_strict() -> None:
    layer = model()
    found = layer.load_state_dict({"2.bias": [5, 6], "more": 1}, strict=False)
    np.testing.assert_array_equal(layer[2].bias, [5, 6])
    assert found.unexpected == ["more"]
    assert found.missing == ["0.weight", "0.bias", "2.weight"]


def test_a_state_is_a_copy() -> None:
    layer = model()
    layer.state_dict()["2.bias"][...] = 9
    assert not (layer[2].bias == 9).any()


def test_layers_can_be_copied_and_pickled(rng: np.random.Generator) -> None:
    layer, x = LanguageModel(11, 8, 2, 1, rng=0), rng.integers(0, 11, (2, 5))
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        np.testing.assert_array_equal(other(x), layer(x))
        assert list(other.parameters()) == list(layer.parameters())  # the tie is kept
        other.embedding.weight[...] = 0
        assert layer.embedding.weight.any()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_threads_may_share_a_layer_for_inference(case: LayerCase, rng: np.random.Generator) -> None:
    layer, inputs = case.make(np.float32, 0), case.inputs(rng)
    expected = layer(*inputs, **case.options)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: layer(*inputs, **case.options), range(8)))
    for y in found:
        np.testing.assert_array_equal(y, expected)


def test_the_representation_shows_what_is_inside() -> None:
    assert repr(Encoder(2, 6, 2, 8, rate=0)).splitlines() == [
        "Encoder(",
        "  (layers.0-1): EncoderLayer(",
        "    (self_attn): MultiHeadAttention(6, 2",
        "      (out_proj): Linear(6, 6)",
        "    )",
        "    (linear1): Linear(6, 8, activation='relu')",
        "    (linear2): Linear(8, 6)",
        "    (norm1): LayerNorm(6)",
        "    (norm2): LayerNorm(6)",
        "    (dropout): Dropout(0)",
        "  )",
        ")",
    ]


def test_the_page_shows_counts_and_escapes_what_users_wrote() -> None:
    evil = "<script>alert(1)</script>"
    layer = type(evil, (Sequential,), {})(Linear(3, 4), Linear(4, 2))
    setattr(layer, evil, Linear(2, 2))
    layer.freeze("0.*")
    page = Sequential(layer)._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "weight (4, 3) frozen" in page
    assert ">26<" in page  # 16 + 10 elements


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(AttributeError, match="Linear has no attribute 'weights'"):
        _ = Linear(2, 2).weights
    with pytest.raises(KeyError, match="Linear has no parameter 'gain'"):
        Linear(2, 2).parameter("gain")
    with pytest.raises(TypeError, match="Layer has no call and no compute"):
        Layer()(1)
