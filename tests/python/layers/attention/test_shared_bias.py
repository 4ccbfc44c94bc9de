"""SharedBias: the gradient of a bias beside finite differences, PyTorch, and what is combined."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from heedful.explain import steer
from heedful.layers import Encoder, EncoderLayer, LinearAttention, MultiHeadAttention, SharedBias
from heedful.testing import gradcheck

Array = NDArray[Any]
F64: dict[str, Any] = {"dtype": np.float64, "rng": 0}
SHAPES = [(5, 7), (2, 5, 7), (3, 1, 5, 7), (1, 2, 1, 7), (3, 2, 5, 1), (7,)]
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "masked": {"mask": np.tri(5, 7, 3, dtype=bool)},
    "added": {"mask": np.linspace(-1, 1, 70).reshape(1, 2, 5, 7)},
    "lengths": {"kv_lengths": [7, 2, 0]},
    "weights": {"return_weights": True},
}
LAYERS: dict[str, dict[str, Any]] = {
    "plain": {}, "capped": {"softcap": 1.3, "sink": True, "scale": 1.0},
    "top_k": {"top_k": 3}, "sparse": {"normalizer": "entmax15"},
    "penalised": {"penalties": {"entropy": 0.3}}, "grouped": {"num_kv_heads": 1, "qk_norm": "rms"},
}  # fmt: skip


def function_of(layer: Any, *inputs: Array, **options: Any) -> Any:
    """Of a bias alone, for gradcheck."""

    def function(given: Array) -> tuple[Any, Any]:
        bias = SharedBias(given)
        y, backward = layer.forward(*inputs, bias=bias, rng=3, **options)
        if options.get("return_weights"):
            y = y[0]
        penalty = layer.attention_penalty

        def pullback(dy: Array, dpenalty: Any = 1.0) -> list[Any]:
            bias.gradient = None
            backward(dy)
            return [bias.gradient]

        return (y + penalty / y.size if penalty else y), pullback

    return function


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_gradients_of_every_shape_are_those_of_finite_differences(
    shape: tuple[int, ...], options: dict[str, Any], rng: np.random.Generator
) -> None:
    layer = MultiHeadAttention(6, 2, **F64)
    inputs = rng.standard_normal((3, 5, 6)), rng.standard_normal((3, 7, 6))
    function = function_of(layer, *inputs, **options)
    assert gradcheck(function, rng.standard_normal(shape), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("settings", [one for name, one in LAYERS.items() if name != "penalised"],
                         ids=[name for name in LAYERS if name != "penalised"])  # fmt: skip
def test_gradients_with_every_kind_of_score(
    settings: dict[str, Any], rng: np.random.Generator
) -> None:
    layer = MultiHeadAttention(6, 2, **settings, **F64)
    inputs = rng.standard_normal((3, 5, 6)), rng.standard_normal((3, 7, 6))
    function = function_of(layer, *inputs)
    assert gradcheck(function, rng.standard_normal((2, 5, 7)), rtol=1e-6, atol=1e-9)


def test_the_gradient_of_penalties_is_in_it(rng: np.random.Generator) -> None:
    layer = MultiHeadAttention(6, 2, penalties={"entropy": 0.3}, **F64)
    x, given = rng.standard_normal((3, 5, 6)), rng.standard_normal((2, 5, 5))
    bias = SharedBias(given)
    y, backward = layer.forward(x, bias=bias)
    backward(0 * y)
    step, found = 1e-6, bias.gradient
    assert found is not None
    for place in ((0, 1, 2), (1, 4, 0)):
        moved = []
        for sign in (1, -1):
            other = given.copy()
            other[place] += sign * step
            layer.forward(x, bias=other)
            moved.append(layer.attention_penalty)
        np.testing.assert_allclose(found[place], (moved[0] - moved[1]) / (2 * step), rtol=1e-6)


@pytest.mark.parametrize("kind", ["layer", "encoder"])
def test_layers_add_their_gradients_up(kind: str, rng: np.random.Generator) -> None:
    layer = (EncoderLayer(6, 2, 7, 0.0, **F64) if kind == "layer"
             else Encoder(3, 6, 2, 7, 0.0, norm_first=True, **F64))  # fmt: skip
    function = function_of(layer, rng.standard_normal((3, 5, 6)), causal=True)
    assert gradcheck(function, rng.standard_normal((2, 5, 5)), rtol=1e-6, atol=1e-9)


def test_a_bias_with_a_gradient_computes_what_its_array_does(rng: np.random.Generator) -> None:
    layer = MultiHeadAttention(6, 2, rng=0)
    x, given = rng.standard_normal((3, 5, 6)), rng.standard_normal((2, 5, 5)).astype(np.float32)
    bias = SharedBias(given)
    np.testing.assert_array_equal(layer(x, bias=bias), layer(x, bias=given))
    y, backward = layer.forward(x, bias=bias)
    np.testing.assert_array_equal(y, layer.forward(x, bias=given)[0])
    assert bias.gradient is None
    assert repr(bias) == "SharedBias(float32 (2, 5, 5), no gradient)"
    backward(y)
    assert bias.gradient is not None
    assert (bias.gradient.shape, bias.gradient.dtype) == (given.shape, given.dtype)
    assert repr(bias) == "SharedBias(float32 (2, 5, 5), with its gradient)"


def test_a_steered_layer_has_the_gradient_of_its_own_bias(rng: np.random.Generator) -> None:
    layer = MultiHeadAttention(6, 2, **F64)
    x, added = rng.standard_normal((3, 5, 6)), rng.standard_normal((3, 1, 5, 5))
    given = rng.standard_normal((2, 5, 5))
    own, sum_of_both = SharedBias(given), SharedBias(given + added)
    with steer(layer, bias=added):
        y, backward = layer.forward(x, bias=own)
    backward(y)
    expected, backward = layer.forward(x, bias=sum_of_both)
    np.testing.assert_allclose(y, expected, rtol=1e-12)
    backward(y)
    assert own.gradient is not None
    assert sum_of_both.gradient is not None
    np.testing.assert_allclose(own.gradient, sum_of_both.gradient.sum(0), rtol=1e-10, atol=1e-13)


@pytest.mark.peer
def test_the_gradient_is_that_of_pytorch(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    layer = MultiHeadAttention(6, 2, bias=False, **F64)
    x, dy = rng.standard_normal((2, 3, 5, 6))
    given = torch.tensor(rng.standard_normal((2, 5, 5)), requires_grad=True)
    heads = torch.tensor(x @ layer.in_proj_weight.T).reshape(3, 5, 3, 2, 3).permute(2, 0, 3, 1, 4)
    out = torch.nn.functional.scaled_dot_product_attention(*heads, attn_mask=given)
    y = out.transpose(1, 2).reshape(3, 5, 6) @ torch.tensor(layer.out_proj.weight).T
    y.backward(torch.tensor(dy))
    bias = SharedBias(given.detach().numpy())
    found, backward = layer.forward(x, bias=bias)
    backward(dy)
    np.testing.assert_allclose(found, y.detach().numpy(), rtol=0, atol=1e-12)
    assert bias.gradient is not None
    np.testing.assert_allclose(bias.gradient, given.grad.numpy(), rtol=0, atol=1e-12)


def test_gradients_that_are_added_stay_as_they_are() -> None:
    bias, first = SharedBias(np.zeros((2, 3, 3))), np.ones((2, 3, 3))
    bias.add(first)
    bias.add(2 * first)
    np.testing.assert_array_equal(bias.gradient, 3 * np.ones((2, 3, 3)))
    np.testing.assert_array_equal(first, np.ones((2, 3, 3)))


def test_what_has_no_gradient_is_refused() -> None:
    with pytest.raises(TypeError, match="value must be floating: got an array"):
        SharedBias(np.eye(3, dtype=int))
    with pytest.raises(ValueError, match="bias must be None"):
        LinearAttention(6, 2)(np.ones((3, 5, 6)), bias=SharedBias(np.eye(5)))
    with pytest.raises(ValueError, match="bias"):
        MultiHeadAttention(6, 2)(np.ones((3, 5, 6)), bias=SharedBias(np.eye(4)))


@pytest.mark.parametrize(
    "options", [{}, {"gumbel_temperature": 1.0, "hard": True}, {"penalties": {"l2": 0.1}}]
)
def test_of_a_constant_bias_no_gradient_is_formed(options: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    layer = MultiHeadAttention(8, 2, dtype=np.float64, rng=0, **options)
    x, bias = rng.standard_normal((1, 300, 8)), rng.standard_normal((2, 300, 300))

    def gradient(given: Any) -> tuple[np.ndarray, dict[str, np.ndarray], int]:
        layer.zero_grad()
        y, backward = layer.forward(x, bias=given, rng=5)
        tracemalloc.start()
        try:
            dx = backward(np.ones_like(y))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        return dx, {name: array.copy() for name, array in layer.grads.items()}, peak

    shared = SharedBias(bias)
    expected, of_parameters, most = gradient(shared)
    found, others, least = gradient(bias)
    assert shared.gradient is not None
    assert most - least > 1.9 * bias.nbytes  # that of the call, and the sum in shared
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)
    for name, array in of_parameters.items():
        np.testing.assert_allclose(others[name], array, rtol=1e-11, atol=1e-12, err_msg=name)
