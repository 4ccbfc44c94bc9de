"""Learned biases of distances beside plain NumPy and transformers, and their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from seq2seq_reference import bucket, position_bias

import heedful
from heedful.layers import Encoder, Layer, MultiHeadAttention, Parameter, RelativePositionBias
from heedful.testing import gradcheck

Array = NDArray[Any]
F64: dict[str, Any] = {"dtype": np.float64, "rng": 0}
# buckets, max_distance
SETTINGS = [(32, 128), (32, 20), (8, 9), (10, 64), (4, 3), (128, 512), (6, 100), (20, 320)]
SIDES = [True, False]


@pytest.mark.parametrize("bidirectional", SIDES)
@pytest.mark.parametrize(("buckets", "max_distance"), SETTINGS)
def test_buckets_are_those_of_the_paper(
    buckets: int, max_distance: int, bidirectional: bool
) -> None:
    layer = RelativePositionBias(1, buckets, max_distance, bidirectional=bidirectional)
    distances = np.arange(-700, 701)
    expected = [bucket(int(x), buckets, max_distance, bidirectional) for x in distances]
    np.testing.assert_array_equal(layer.buckets(distances), expected)


@pytest.mark.parametrize(("buckets", "max_distance"), [(9, 128), (10, 160), (55, 147)])
def test_a_distance_where_a_bucket_starts_exactly_is_in_it(buckets: int, max_distance: int) -> None:
    """By powers of integers, without the rounding of logarithms."""
    layer = RelativePositionBias(1, buckets, max_distance, bidirectional=False)
    own = buckets // 2
    shared = buckets - own
    for distance in range(own, max_distance):
        reached = [
            k for k in range(shared)
            if distance**shared * own**k >= max_distance**k * own**shared
        ]  # fmt: skip
        assert layer.buckets(-distance) == own + reached[-1]


@pytest.mark.peer
@pytest.mark.parametrize("bidirectional", SIDES)
@pytest.mark.parametrize(("buckets", "max_distance"), SETTINGS)
def test_buckets_are_those_of_transformers(
    buckets: int, max_distance: int, bidirectional: bool
) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from transformers.models.t5.modeling_t5 import T5Attention

    layer = RelativePositionBias(1, buckets, max_distance, bidirectional=bidirectional)
    distances = np.arange(-3000, 3001)
    expected = T5Attention._relative_position_bucket(
        torch.tensor(distances), bidirectional, buckets, max_distance
    )
    np.testing.assert_array_equal(layer.buckets(distances), expected.numpy())


@pytest.mark.parametrize("first", [0, 3, 40])
@pytest.mark.parametrize(("rows", "keys"), [(5, 5), (1, 43), (7, 3), (0, 3), (3, 0), (0, 0)])
@pytest.mark.parametrize("bidirectional", SIDES)
def test_a_bias_is_the_weight_of_its_bucket(
    rows: int, keys: int, first: int, bidirectional: bool
) -> None:
    layer = RelativePositionBias(3, 8, 9, bidirectional=bidirectional, **F64)
    bias = layer(rows, keys, first=first)
    expected = position_bias(
        layer.weight, rows, keys, first, max_distance=9, bidirectional=bidirectional
    )
    np.testing.assert_array_equal(bias, expected)
    of_items = layer(rows, keys, first=[first, 2])
    assert of_items.shape == (2, 3, rows, keys)
    np.testing.assert_array_equal(of_items[0], expected)


def test_a_bias_takes_memory_of_its_diagonals_alone() -> None:
    bias = RelativePositionBias(3, rng=0)(500, 700)
    assert not bias.flags.writeable
    assert bias.nbytes == 3 * 500 * 700 * 4
    for diagonal in (-499, 0, 3, 699):  # one number each
        places = np.diagonal(bias[0], diagonal)
        assert places.strides == (0,)


def test_sums_of_very_many_gradients_are_accurate() -> None:
    layer = RelativePositionBias(2, 8, 9, rng=0)
    _, backward = layer.forward(1200, 1300)
    dbias = np.full((2, 1200, 1300), 0.1, np.float32)
    backward(dbias)
    buckets = layer.buckets(np.arange(1300) - np.arange(1200)[:, None])
    counts = np.bincount(buckets.ravel(), minlength=8)
    expected = np.repeat(counts[:, None] * float(np.float32(0.1)), 2, 1)
    np.testing.assert_allclose(layer.grads["weight"], expected, rtol=1e-6)


class Learned(Layer):
    """Two attentions and an encoder with one bias, whose backward pass is derived."""

    def __init__(self) -> None:
        self.positions = RelativePositionBias(2, 6, 5, **F64)
        self.attention = MultiHeadAttention(6, 2, num_kv_heads=1, **F64)
        self.encoder = Encoder(2, 6, 2, 7, 0.0, **F64)

    def call(self, x: Any) -> Any:
        bias = self.positions(x.shape[1], x.shape[1])
        return self.encoder(self.attention(x, bias=bias) + x, bias=bias, causal=True)


class Written(Learned):
    """The same with a backward pass that is written."""

    call = None  # type: ignore[assignment]

    def compute(self, mode: Any, x: Any) -> Any:
        value, back_positions = self.positions.compute(mode, x.shape[1], x.shape[1])
        bias = heedful.layers.SharedBias(value)
        y, back_attention = self.attention.compute(mode, x, bias=bias)
        y, back_encoder = self.encoder.compute(mode, y + x, bias=bias, causal=True)

        def backward(dy: Any) -> Any:
            dy = back_encoder(dy)
            dx = back_attention(dy) + dy
            back_positions(bias.gradient)
            return dx

        return y, backward


def of_parameters(layer: Layer, names: list[str]) -> Any:
    """The layer as a function of its input and of these parameters, for gradcheck."""

    def function(x: Array, *given: Array) -> tuple[Array, Any]:
        for name, array in zip(names, given, strict=True):
            layer.parameters()[name][...] = array
        y, backward = layer.forward(x)

        def pullback(dy: Array) -> list[Array]:
            layer.zero_grad()
            return [backward(dy), *(layer.grads[name].copy() for name in names)]

        return y, pullback

    return function


@pytest.mark.parametrize("kind", [Learned, Written])
def test_the_gradient_of_a_shared_bias_is_that_of_finite_differences(
    kind: type[Learned], rng: np.random.Generator
) -> None:
    layer = kind()
    layer.positions.weight[...] = rng.standard_normal((6, 2))
    names = ["positions.weight", "attention.in_proj_weight"]
    given = [layer.parameters()[name].copy() for name in names]
    function = of_parameters(layer, names)
    assert gradcheck(function, rng.standard_normal((3, 9, 6)), *given, rtol=1e-6, atol=1e-9)


def test_a_derived_backward_pass_is_the_written_one(rng: np.random.Generator) -> None:
    x, dy = rng.standard_normal((2, 3, 9, 6))
    found = []
    for layer in (Learned(), Written()):
        y, backward = layer.forward(x)
        found.append([y, backward(dy), *layer.grads.values()])
    assert len(found[0]) == len(found[1]) > 10
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-13)


class Table(Layer):
    """A bias that is looked up in a table of one's own, as in Swin."""

    def __init__(self) -> None:
        self.table = Parameter(np.linspace(-1, 1, 22).reshape(11, 2))
        self.attention = MultiHeadAttention(6, 2, **F64)

    def call(self, x: Any) -> Any:
        places = np.arange(6) - np.arange(6)[:, None] + 5
        return self.attention(x, bias=heedful.layers.steps.transpose(self.table[places], (2, 0, 1)))


def test_a_bias_from_a_table_of_ones_own_has_its_gradient(rng: np.random.Generator) -> None:
    layer = Table()
    function = of_parameters(layer, ["table"])
    x = rng.standard_normal((3, 6, 6))
    assert gradcheck(function, x, layer.table.copy(), rtol=1e-6, atol=1e-9)


def test_a_model_in_functional_form_learns_a_bias(rng: np.random.Generator) -> None:
    x = heedful.layers.Input((None, 6))
    attention, positions = MultiHeadAttention(6, 2, **F64), Lengths()
    model = heedful.layers.Model(x, attention(x, bias=positions(x)))
    given, dy = rng.standard_normal((2, 3, 5, 6))
    y, backward = model.forward(given)
    dx = backward(dy)
    value, back = positions.forward(given)
    bias = heedful.layers.SharedBias(value)
    expected, back_attention = attention.forward(given, bias=bias)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(dx, back_attention(dy))
    found = model.grads["lengths.positions.weight"].copy()
    positions.zero_grad()
    back(bias.gradient)
    np.testing.assert_allclose(found, positions.grads["positions.weight"], rtol=1e-12)


class Lengths(Layer):
    """The bias of a sequence."""

    def __init__(self) -> None:
        self.positions = RelativePositionBias(2, 6, 5, **F64)

    def compute(self, mode: Any, x: Any) -> Any:
        bias, backward = self.positions.compute(mode, x.shape[1], x.shape[1])

        def with_input(dbias: Any) -> Any:
            backward(dbias)
            return np.zeros(x.shape)

        return bias, with_input


@pytest.mark.parametrize("wrong", [{"num_buckets": 7}, {"num_buckets": 2}, {"max_distance": 8}])
def test_buckets_that_cannot_be_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        RelativePositionBias(2, **wrong)
    with pytest.raises(ValueError, match=r"dy must have shape \(2, 3, 4\)"):
        RelativePositionBias(2).forward(3, 4)[1](np.ones((2, 3, 5)))
