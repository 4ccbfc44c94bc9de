"""The same bits for an item alone and in a batch: where it holds for layers.

Linear sums up to 8 rows, those of all items together, in another order than 9 and more.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heedful import layers
from heedful.layers import Linear

L = layers
FEW, MORE = (1, 2, 3, 4, 5, 7, 8), (9, 15, 64, 200, 1030)


def bits_of_first_rows(layer: Any, x: Any, counts: Any) -> list[bytes]:
    return [np.ascontiguousarray(layer(x[:count])[:1]).tobytes() for count in counts]


# the last two weights take more than the room for panels
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("inputs", "outputs"), [(3, 5), (17, 33), (100, 301), (388, 97), (1543, 2105), (7, 40003)]
)
def test_a_row_of_linear_has_the_same_bits_among_few_and_among_many(
    inputs: int, outputs: int, dtype: Any, rng: np.random.Generator
) -> None:
    layer = Linear(inputs, outputs, activation="gelu", dtype=dtype, rng=0)
    more = MORE if inputs * outputs < 10**6 else (9, 1030)
    x = rng.standard_normal((max(more), inputs)).astype(dtype)
    for counts in (FEW, more):
        assert len(set(bits_of_first_rows(layer, x, counts))) == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count", [2, 3, 5, 6, 7, 8, 9, 13])
def test_the_place_of_a_row_changes_nothing(
    count: int, dtype: Any, rng: np.random.Generator
) -> None:
    layer = Linear(101, 103, dtype=dtype, rng=0)
    y = layer(np.repeat(rng.standard_normal((1, 101)).astype(dtype), count, 0))
    np.testing.assert_array_equal(y, np.repeat(y[:1], count, 0))


@pytest.mark.parametrize(("inputs", "outputs"), [(33, 17), (97, 388), (2105, 1543)])
def test_a_gradient_of_linear_s_input_has_the_same_bits(
    inputs: int, outputs: int, rng: np.random.Generator
) -> None:
    layer = Linear(inputs, outputs, rng=0)
    x = np.zeros((1030, inputs), np.float32)
    dy = rng.standard_normal((1030, outputs)).astype(np.float32)
    found = [layer.forward(x[:count])[1](dy[:count])[:1] for count in (1, 2, 8, 9, 200, 1030)]
    for one in found[1:]:
        np.testing.assert_array_equal(one, found[0])


ITEMS, LENGTH, WIDTH = 7, 11, 24
# of the layers that have no dense product inside, any length; of the others LENGTH is more than 8
BY_ITEM: dict[str, Any] = {
    "layer_norm": L.LayerNorm(WIDTH), "rms_norm": L.RMSNorm(WIDTH), "softmax": L.Softmax(),
    "softmax_axis": L.Softmax(1), "gelu": L.GELU(), "tanh": L.Tanh(), "silu": L.SiLU(),
    "pooling": L.GlobalAveragePooling(), "sinusoidal": L.SinusoidalPositions(WIDTH),
    "learned": L.LearnedPositions(LENGTH, WIDTH, rng=0), "rotary": L.RotaryPositions(),
    "attention_pooling": L.AttentionPooling(WIDTH, rng=0),
    "attention_pooling_deep": L.AttentionPooling(WIDTH, 17, rng=0),
    "multi_head": L.MultiHeadAttention(WIDTH, 3, sink=True, alibi=True, rng=0),
    "linear_attention": L.LinearAttention(WIDTH, 3, causal=True, rng=0),
    "spatial_gating": L.SpatialGating(WIDTH, LENGTH, rng=0),
    "token_mixing": L.TokenMixing(WIDTH, LENGTH, rng=0),
    "fourier_mixing": L.FourierMixing(WIDTH),
    "additive": L.AdditiveAttention(WIDTH, 17, rng=0),
    "feed_forward": L.FeedForward(WIDTH, 67, activation="gelu", rng=0),
    "encoder": L.Encoder(2, WIDTH, 3, 67, norm_first=True, activation="gelu", rng=0),
    "features": L.FeatureAttention(WIDTH, rng=0),
}  # fmt: skip


@pytest.mark.parametrize("name", BY_ITEM)
def test_an_item_has_the_same_bits_alone_and_in_a_batch(
    name: str, rng: np.random.Generator
) -> None:
    layer = BY_ITEM[name]
    x = rng.standard_normal((ITEMS, LENGTH, WIDTH)).astype(np.float32)
    together = layer(x)
    for item in range(ITEMS):
        np.testing.assert_array_equal(layer(x[item : item + 1])[0], together[item])


def test_models_of_tokens_have_the_same_bits_alone_and_in_a_batch(
    rng: np.random.Generator,
) -> None:
    tokens = rng.integers(0, 31, (ITEMS, LENGTH))
    for model in (
        L.LanguageModel(31, WIDTH, 3, 2, rng=0), L.BertEncoder(31, WIDTH, 3, 2, 67, rng=0),
    ):  # fmt: skip
        together = model(tokens)
        for item in range(ITEMS):
            np.testing.assert_array_equal(model(tokens[item : item + 1])[0], together[item])
