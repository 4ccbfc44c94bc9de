"""GRU, LSTM and Conv1d with weights of int8 and bfloat16, beside plain NumPy."""

from __future__ import annotations

import copy
import tracemalloc
from typing import Any, Literal

import int8_reference
import numpy as np
import pytest
from closeness import assert_same_bits
from recurrent_reference import recurrent

import heedful
from heedful import layers as L
from heedful.layers import Layer


def drawn(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def rounded(weight: np.ndarray[Any, Any], kind: str) -> np.ndarray[Any, Any]:
    """What the weight is after quantisation, in float32."""
    if kind == "bfloat16":
        bits = np.ascontiguousarray(weight).view(np.uint32).astype(np.uint64)
        bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
        return bits.astype(np.uint32).view(np.float32)
    value, scale = int8_reference.weight_as_int8(weight.reshape(len(weight), -1))
    return (value * scale[:, None]).astype(np.float32).reshape(weight.shape)


CONVOLUTIONS: dict[str, dict[str, Any]] = {
    "plain": {}, "stride": {"stride": 2, "padding": 1}, "groups": {"groups": 3},
    "dilated": {"dilation": 2, "padding": "causal", "bias": False},
}  # fmt: skip


@pytest.mark.parametrize("options", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
@pytest.mark.parametrize("length", [4, 57])
def test_a_convolution_is_the_product_of_its_windows(length: int, options: dict[str, Any]) -> None:
    layer, x = L.Conv1d(6, 9, 4, rng=0, **options), drawn(2, length + 6, 6, seed=1)
    weight, bias = layer.weight.copy(), 0 if layer.bias is None else layer.bias
    shape = layer(x).shape
    layer.quantize()
    assert "int8" in repr(layer)
    groups, dilation = options.get("groups", 1), options.get("dilation", 1)
    stride, padding = options.get("stride", 1), options.get("padding", 0)
    before = 3 * dilation if padding == "causal" else padding
    padded = np.pad(x, ((0, 0), (before, 0 if padding == "causal" else padding), (0, 0)))
    expected = np.empty(shape)
    for t in range(shape[1]):
        window = padded[:, t * stride :][:, : 3 * dilation + 1 : dilation]
        for group in range(groups):
            inputs = slice(group * 6 // groups, (group + 1) * 6 // groups)
            outputs = slice(group * 9 // groups, (group + 1) * 9 // groups)
            rows = window[:, :, inputs].swapaxes(1, 2).reshape(2, -1)
            value, scale = int8_reference.weight_as_int8(weight[outputs].reshape(9 // groups, -1))
            expected[:, t, outputs] = int8_reference.product(rows, value, scale)
    np.testing.assert_allclose(layer(x), expected + bias, rtol=0, atol=2e-6)


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True, "bias": False}])
def test_a_recurrent_layer_rounds_its_weights_and_the_rows_of_its_inputs(
    kind: str, options: dict[str, Any]
) -> None:
    layer, x = getattr(L, kind)(31, 12, rng=0, **options), drawn(3, 7, 31)
    exact = layer(x)
    held = {name: array.copy() for name, array in layer.parameters().items()}
    layer.quantize()
    assert {name for name, array in layer.parameters().items() if array.dtype == np.int8} == {
        name for name in held if name.startswith("weight")
    }
    assert "int8" in repr(layer)
    found = layer(x)
    assert 0 < np.abs(found - exact).max() < 0.05
    if options:  # the inputs of the second layer are not known here
        return
    value, scale = int8_reference.weight_as_int8(held["weight_ih_l0"])
    gates = int8_reference.product(x.reshape(-1, 31), value, scale).reshape(3, 7, -1)
    # the oracle with an identity for the inputs' weight, which are the products then
    of_gates = {**held, "weight_ih_l0": np.eye(gates.shape[-1]),
                "weight_hh_l0": rounded(held["weight_hh_l0"], "int8")}  # fmt: skip
    first = [np.zeros((3, 1, 12))] * (1 + (kind == "LSTM"))
    expected, _ = recurrent(kind, of_gates, gates.astype(np.float64), first, [7] * 3, 1, 1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


# positions, sequences: few rows, which read the weight as it is; more rows; more steps
FEW = [(1, 1), (1, 5), (2, 8), (1, 9), (5, 3), (12, 2)]


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
@pytest.mark.parametrize("form", ["int8", "bfloat16"])
@pytest.mark.parametrize(("length", "batch"), FEW)
def test_states_are_multiplied_by_the_narrow_weight(
    kind: str, form: Literal["int8", "bfloat16"], length: int, batch: int
) -> None:
    layer, x = getattr(L, kind)(7, 13, rng=0), drawn(batch, length, 7)
    # no product of the inputs, which int8 would round
    layer.weight_ih_l0 = np.zeros_like(layer.weight_ih_l0)
    held = {name: array.copy() for name, array in layer.parameters().items()}
    held["weight_hh_l0"] = rounded(held["weight_hh_l0"], form)
    first = [drawn(batch, 1, 13, seed=3 + i) for i in range(1 + (kind == "LSTM"))]
    layer.quantize(form)
    found = layer(x, *first)
    expected, _ = recurrent(kind, held, x.astype(np.float64), first, [length] * batch, 1, 1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)
    for threads in (2, 3):
        with heedful.num_threads(threads):
            assert_same_bits(layer(x, *first), found)


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
@pytest.mark.parametrize("form", ["int8", "bfloat16"])
@pytest.mark.parametrize("batch", [1, 8])
def test_one_position_does_not_widen_the_weights(
    kind: str, form: Literal["int8", "bfloat16"], batch: int
) -> None:
    layer, x = getattr(L, kind)(4, 192, rng=0), drawn(batch, 1, 4)
    wide = layer.weight_hh_l0.nbytes
    layer.quantize(form)
    layer(x)
    tracemalloc.start()
    try:
        layer(x)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < wide / 4


MODELS: dict[str, Any] = {
    "gru": lambda: L.GRU(24, 17, num_layers=2, bidirectional=True, rng=0),
    "lstm": lambda: L.LSTM(24, 17, rng=0),
    "conv": lambda: L.Conv1d(24, 16, 3, groups=2, rng=0),
}


@pytest.mark.parametrize("name", MODELS)
def test_bfloat16_computes_what_rounded_weights_do(name: str) -> None:
    layer, x = MODELS[name](), drawn(3, 9, 24)
    other = MODELS[name]()
    for key, array in other.parameters().items():
        if key.startswith("weight"):
            array[...] = rounded(array, "bfloat16")
    layer.quantize("bfloat16")
    assert "bfloat16" in repr(layer)
    assert_same_bits(layer(x), other(x))


@pytest.mark.parametrize("name", MODELS)
def test_back_in_float32_the_weights_are_those_times_their_scales(name: str) -> None:
    layer, x = MODELS[name](), drawn(3, 9, 24)
    expected = {
        key: rounded(array, "int8") if key.startswith("weight") else array.copy()
        for key, array in layer.parameters().items()
    }
    state = copy.deepcopy(layer).quantize().state_dict()
    layer.quantize()
    with pytest.raises(RuntimeError, match="is int8 and cannot be trained: call dequantize first"):
        layer.forward(x)
    again = MODELS[name]().quantize()
    again.load_state_dict(state)
    assert_same_bits(again(x), layer(x))
    with heedful.num_threads(3):
        assert_same_bits(again(x), layer(x))
    layer.dequantize()
    for key, array in layer.parameters().items():
        np.testing.assert_array_equal(array, expected[key])
    _, backward = layer.forward(x)
    assert backward is not None


@pytest.mark.parametrize("name", MODELS)
def test_a_subclass_with_a_computation_of_its_own_keeps_float32(name: str) -> None:
    layer = MODELS[name]()

    class Own(type(layer)):  # type: ignore[misc]
        def compute(self, *given: Any, **options: Any) -> Any:
            return super().compute(*given, **options)

    own: Layer = Own(6, 6, 3, rng=0)
    with pytest.raises(ValueError, match="Own has no dense product"):
        own.quantize()


def test_rows_of_convolutions_must_not_be_too_long() -> None:
    layer = L.Conv1d(1 << 14, 2, 5, rng=0)
    with pytest.raises(ValueError, match=r"weight must have at most 65,536 elements in a row"):
        layer.quantize()
    assert layer.weight.dtype == np.float32


def test_what_is_not_finite_is_confined_to_its_windows() -> None:
    layer, x = L.Conv1d(6, 4, 3, rng=0).quantize(), drawn(1, 20, 6)
    clean = layer(x)
    x[0, 10, 2] = np.nan
    found = layer(x)
    assert np.isnan(found[0, 8:11]).all()
    assert_same_bits(np.delete(found, [8, 9, 10], 1), np.delete(clean, [8, 9, 10], 1))
