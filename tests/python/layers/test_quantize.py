"""Models whose dense products are int8, and back."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import int8_reference
import numpy as np
import pytest
from closeness import assert_same_bits
from layer_cases import CASES, LayerCase

import heedful
from heedful import layers as L
from heedful.layers import Layer, Linear, MultiHeadAttention, Sequential


def drawn(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def int8_weights(model: Layer) -> dict[str, np.ndarray[Any, Any]]:
    return {name: array for name, array in model.parameters().items() if array.dtype == np.int8}


# --- what is computed


@pytest.mark.parametrize("activation", [None, "gelu", "relu"])
@pytest.mark.parametrize("rows", [1, 5, 40])
def test_a_linear_layer_is_the_product_of_the_oracle(rows: int, activation: str | None) -> None:
    layer, x = Linear(131, 37, activation=activation, rng=0), drawn(rows, 131)
    value, scale = int8_reference.weight_as_int8(layer.weight)
    before = int8_reference.product(x, value, scale).astype(np.float64) + layer.bias
    expected = L.Activation(activation)(before) if activation else before
    layer.quantize()
    np.testing.assert_array_equal(layer.weight, value)
    assert_same_bits(layer.parameters()["weight_scale"], scale)
    np.testing.assert_allclose(layer(x), expected, atol=1e-6)
    assert layer(x).dtype == np.float32


def test_leading_axes_strides_and_types_are_as_before() -> None:
    layer = Linear(12, 7, rng=0).quantize()
    x = drawn(3, 5, 12)
    expected = layer(x)
    assert expected.shape == (3, 5, 7)
    for other in (np.asfortranarray(x), x.astype(np.float64), x.tolist(), x[::-1][::-1]):
        assert_same_bits(layer(other), expected)
    assert_same_bits(layer(x[0, 0]), expected[0, 0])
    residual = drawn(3, 5, 7, seed=1)
    mode = L.Mode(False, None)
    assert_same_bits(layer.compute(mode, x, residual)[0], expected + residual)


def test_attention_projects_by_int8() -> None:
    x, memory = drawn(2, 9, 24), drawn(2, 11, 24, seed=1)
    for options, inputs in (
        ({}, (x,)), ({"num_kv_heads": 2}, (x, memory)),
        ({"kdim": 5, "bias": False}, (x, memory[..., :5], memory)),
    ):  # fmt: skip
        layer = MultiHeadAttention(24, 4, rng=0, **options)
        by_floats = copy.deepcopy(layer.quantize()).dequantize()
        assert len(int8_weights(layer)) == (2 if "kdim" not in options else 4)
        exact, found = by_floats(*inputs), layer(*inputs)
        error = abs(found - exact).max() / abs(exact).max()
        assert 0 < error < 0.03


def test_a_cache_is_filled_as_before() -> None:
    model = L.LanguageModel(17, 24, 4, 2, rate=0.0, rng=0).quantize()
    tokens = np.random.default_rng(0).integers(0, 17, (2, 12))
    at_once, caches = model(tokens), model.new_caches()
    step_by_step = [model(tokens[:, i : i + 1], caches=caches) for i in range(12)]
    np.testing.assert_allclose(np.concatenate(step_by_step, 1), at_once, atol=0.05)
    model.generate([[1, 2, 3]], max_length=9)


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_do_not_change_a_bit(threads: int) -> None:
    model = L.Encoder(2, 96, 4, 301, activation="gelu", rng=0).quantize()
    x = drawn(3, 50, 96)
    with heedful.num_threads(1):
        alone = model(x)
    with heedful.num_threads(threads):
        assert_same_bits(model(x), alone)


def test_an_item_has_the_same_bits_alone_and_in_a_batch() -> None:
    """Also where one has few rows and the other many, unlike in float32."""
    model = L.Encoder(1, 96, 4, 301, rng=0).quantize()
    x = drawn(5, 4, 96)
    assert_same_bits(model(x[:1]), model(x)[:1])


# --- which parameters


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_layer_becomes_int8_or_says_that_it_cannot(case: LayerCase) -> None:
    model, rng = case.make(dtype=np.float32, rng=0), np.random.default_rng(0)
    inputs = case.inputs(rng)
    exact = model(*inputs, **case.options)  # builds it, too
    dense = [layer for _, layer in model.named_layers() if layer.int8_names()]
    if not dense:
        with pytest.raises(ValueError, match=f"^{type(model).__name__} has no dense product"):
            model.quantize()
        return
    before = model.state_dict()
    assert model.quantize() is model
    expected = {name for name, layer in model.named_layers() if isinstance(layer, Linear)}
    found = {name.rpartition(".")[0] for name in int8_weights(model)}
    assert expected <= found | {name for name, _ in tied(model)}
    first = exact[0] if isinstance(exact, tuple) else exact
    again = model(*inputs, **case.options)
    again = again[0] if isinstance(again, tuple) else again
    assert abs(again - first).max() < 0.2 * max(1, abs(first).max())
    with pytest.raises(RuntimeError, match="is int8 and cannot be trained: call dequantize first"):
        model.forward(*inputs, rng=0, **case.options)
    assert model.dequantize() is model
    after = model.state_dict()
    assert list(after) == list(before)
    for name, array in after.items():
        assert array.dtype == np.float32
        largest = np.abs(before[name]).max(initial=0)
        np.testing.assert_allclose(array, before[name], atol=largest / 253, rtol=0)
    y, backward = model.forward(*inputs, rng=0, **case.options)
    backward(*(np.ones_like(one) for one in (y if isinstance(y, tuple) else (y,))))


def tied(model: Layer) -> list[tuple[str, Any]]:
    """Names of layers whose weight has an earlier name."""
    first = set(model.parameters())
    return [
        (name, layer) for name, layer in model.named_layers()
        if any(f"{name}.{own}" not in first for own, _ in layer.parameters_here())
    ]  # fmt: skip


def test_scales_follow_their_weight_and_biases_stay() -> None:
    layer = Linear(6, 4, rng=0).quantize()
    assert list(layer.parameters()) == ["weight", "weight_scale", "bias"]
    assert [array.dtype for array in layer.parameters().values()] == [
        np.int8,
        np.float32,
        np.float32,
    ]
    assert layer.weight_scale is layer.parameters()["weight_scale"]
    assert layer.parameter("weight_scale").value is layer.weight_scale
    layer.weight_scale *= 2
    layer.weight_scale = np.ones(4)
    np.testing.assert_array_equal(layer.parameters()["weight_scale"], 1)
    assert layer.parameter_count == 4 * 6 + 4 + 4


def test_quantising_twice_changes_nothing_more() -> None:
    model = Sequential(Linear(6, 4, rng=0), Linear(4, 3, rng=1))
    model[0].quantize()
    first = model[0].state_dict()
    model.quantize()
    state = model.state_dict()
    model.quantize()
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, state[name])
    np.testing.assert_array_equal(state["0.weight"], first["weight"])
    assert len(int8_weights(model)) == 2
    assert Linear(3, 2, rng=0).dequantize().weight.dtype == np.float32


def test_layers_that_share_a_weight_go_on_sharing() -> None:
    model = Sequential(Linear(5, 5, rng=0), Linear(5, 5, rng=1))
    model[1].weight = model[0].weight
    model.quantize()
    assert list(int8_weights(model)) == ["0.weight"]
    assert model[0].weight is model[1].weight
    model.dequantize()
    assert model[0].weight is model[1].weight


def test_a_tied_embedding_stays_and_is_tied_again() -> None:
    model = L.LanguageModel(17, 12, 2, 1, rng=0)
    embedding = model.embedding.weight.copy()
    model.quantize()
    assert model.embedding.weight.dtype == np.float32
    assert model.projection.weight.dtype == np.int8
    for one in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        one.dequantize()
        assert one.projection.weight is one.embedding.weight
        np.testing.assert_array_equal(one.embedding.weight, embedding)


def test_what_was_frozen_is_frozen_again() -> None:
    model = Sequential(Linear(5, 5, rng=0), Linear(5, 5, rng=1))
    model.freeze("0.*")
    model.quantize()
    assert not model[1].parameter("weight").trainable
    model.dequantize()
    trainable = [name for name, own in model.named_parameters() if own.trainable]
    assert trainable == ["1.weight", "1.bias"]
    model.quantize().unfreeze()
    assert not any(
        own.trainable for _, own in model.named_parameters() if own.value.dtype == np.int8
    )
    model.dequantize()
    assert all(own.trainable for _, own in model.named_parameters())


def test_copies_and_pickles_compute_the_same() -> None:
    layer, x = Linear(12, 7, rng=0).quantize(), drawn(3, 12)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert other.weight is not layer.weight
        assert_same_bits(other(x), layer(x))


class Own(Linear):
    """A computation of one's own, which reads the weight as floats."""

    def compute(self, mode: Any, x: Any, residual: Any = None) -> Any:
        return x @ self.weight.T, lambda dy: dy @ self.weight


def test_a_layer_that_computes_by_itself_is_left_alone() -> None:
    model, x = Sequential(Own(6, 5, rng=0), Linear(5, 4, rng=1)), drawn(3, 6)
    inner = model[0](x)
    model.quantize()
    assert list(int8_weights(model)) == ["1.weight"]
    assert_same_bits(model[0](x), inner)
    with pytest.raises(ValueError, match="Own has no dense product"):
        Own(6, 5).quantize()


# --- representation


def test_int8_and_its_bytes_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    model = Sequential(Linear(64, 32, rng=0), MultiHeadAttention(32, 4, rng=0), L.LayerNorm(32))
    model.summary()
    assert "bytes" not in capsys.readouterr().out
    model.quantize()
    assert "Linear(64, 32, int8)" in repr(model)
    assert "MultiHeadAttention(32, 4, int8" in repr(model)
    model.summary()
    printed = capsys.readouterr().out
    assert "weight (32, 64) int8, weight_scale (32,) frozen, bias (32,)" in printed
    assert " 2,112 in 2,304 bytes\n" in printed
    size = sum(array.nbytes for array in model.parameters().values())
    assert printed.rstrip().endswith(f"{model.parameter_count:,} in {size:,} bytes")
    assert "in 2,304 bytes" in model._repr_html_()
    model.dequantize()
    assert "int8" not in repr(model)
