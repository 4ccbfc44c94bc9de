"""quantize("bfloat16"): weights in half the memory, and the results of the rounded ones."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

from heedful import layers


def rounded(array: Any) -> Any:
    """The nearest number of 8 significant bits, ties to even, by exact arithmetic."""
    mantissa, exponent = np.frexp(array.astype(np.float64))
    return np.ldexp(np.rint(mantissa * 256) / 256, exponent).astype(np.float32)


def model(**options: Any) -> layers.CausalLM:
    return layers.CausalLM(31, 24, 6, 2, 33, num_kv_heads=2, bias=True, rng=0, **options)


def test_weights_are_rounded_to_the_nearest() -> None:
    layer = layers.Linear(97, 131, rng=0)
    layer.weight[0, :6] = [1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8, 3e38, 0.0, -0.0]
    wanted = rounded(layer.weight)
    layer.quantize("bfloat16")
    np.testing.assert_array_equal(layer.weight, wanted)
    layer.dequantize()
    layer.weight[0, 0], layer.weight[0, 1] = np.nan, np.inf
    layer.weight[0, 2:3].view(np.uint32)[0] = 0x7F800001  # a NaN whose upper half is infinity's
    layer.quantize("bfloat16")
    assert np.isnan(layer.weight[0, [0, 2]]).all()
    assert np.isposinf(layer.weight[0, 1])


@pytest.mark.parametrize("rows", [1, 3, 8, 9, 50])
@pytest.mark.parametrize("sizes", [(5, 7), (8, 16), (97, 131), (300, 4001)])
def test_results_have_the_bits_of_the_rounded_weights(
    rows: int, sizes: tuple[int, int], rng: np.random.Generator
) -> None:
    layer = layers.Linear(*sizes, activation="gelu", rng=0)
    other = layers.Linear(*sizes, activation="gelu", rng=0)
    other.weight = rounded(layer.weight)
    layer.quantize("bfloat16")
    x = rng.standard_normal((rows, sizes[0])).astype(np.float32)
    residual = rng.standard_normal((rows, sizes[1])).astype(np.float32)
    np.testing.assert_array_equal(layer(x, residual), other(x, residual))


@pytest.mark.parametrize("tied", [True, False])
def test_a_model_computes_and_generates_as_with_the_rounded_weights(tied: bool) -> None:
    narrow, wide = model(tied=tied), model(tied=tied)
    for name, array in wide.parameters().items():
        if array.ndim > 1 and "norm" not in name:
            array[...] = rounded(array)
    narrow.quantize("bfloat16")
    tokens = np.random.default_rng(0).integers(0, 31, (2, 11))
    np.testing.assert_array_equal(narrow(tokens), wide(tokens))
    own, other = (one.generate(list(tokens), max_length=5) for one in (narrow, wide))
    assert [row.tolist() for row in own] == [row.tolist() for row in other]


def test_states_pickles_and_copies_keep_it() -> None:
    narrow = model(tied=True).quantize("bfloat16")
    tokens = [[1, 2, 3]]
    expected = narrow(tokens)
    assert {array.dtype for array in narrow.state_dict().values()} == {np.dtype(np.float32)}
    for again in (pickle.loads(pickle.dumps(narrow)), copy.deepcopy(narrow)):
        np.testing.assert_array_equal(again(tokens), expected)
        assert "bfloat16" in repr(again)
    wide = model(tied=True)
    wide.load_state_dict(narrow.state_dict())
    np.testing.assert_array_equal(wide(tokens), expected)
    other = model(tied=True).quantize("bfloat16")
    other.load_state_dict(narrow.state_dict())
    np.testing.assert_array_equal(other(tokens), expected)
    narrow.dequantize()
    assert narrow.projection.weight is narrow.embedding.weight
    np.testing.assert_array_equal(narrow(tokens), expected)
    narrow.forward(tokens)[1](np.ones((1, 3, 31)))


@pytest.mark.parametrize("tied", [True, False])
def test_dequantized_weights_train_and_are_tied_as_before(tied: bool) -> None:
    narrow = model(tied=tied)
    narrow.freeze("layers.0.*")
    trainable = {name: own.trainable for name, own in narrow.named_parameters()}
    narrow.quantize("bfloat16").quantize("int8").dequantize()
    assert {name: own.trainable for name, own in narrow.named_parameters()} == trainable
    assert (narrow.projection.weight is narrow.embedding.weight) is tied


def test_it_takes_half_the_memory() -> None:
    narrow = model().quantize("bfloat16")
    own = narrow.layers[0].feed_forward.linear1.parameter("weight")
    assert own.bits.nbytes * 2 == own.value.nbytes  # type: ignore[attr-defined]


def test_int8_may_follow_and_what_cannot_be_is_refused() -> None:
    narrow = model().quantize("bfloat16")
    with pytest.raises(RuntimeError, match="weight is bfloat16 and cannot be trained"):
        narrow.forward([[1, 2]])
    assert narrow.quantize().layers[0].feed_forward.linear1.weight.dtype == np.int8
    assert narrow.quantize("bfloat16").layers[0].feed_forward.linear1.weight.dtype == np.int8
    with pytest.raises(ValueError, match="kind must be 'int8' or 'bfloat16': got 'int4'"):
        narrow.quantize("int4")
    with pytest.raises(TypeError, match="weight must be float32 to become bfloat16: got float64"):
        layers.Linear(3, 4, dtype=np.float64).quantize("bfloat16")
    with pytest.raises(ValueError, match="LayerNorm has no dense product"):
        layers.LayerNorm(3).quantize("bfloat16")
