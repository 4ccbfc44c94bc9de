"""Pruned layers with a bias of all the heads that they had: positions that layers share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heedful.layers import Encoder, MultiHeadAttention, RelativePositionBias, Seq2SeqLM, SharedBias
from heedful.pruning import prune_heads, unpruned_state_dict

F64: dict[str, Any] = {"dtype": np.float64, "rng": 0}


@pytest.mark.parametrize("shape", [(4, 5, 5), (3, 4, 5, 5), (3, 4, 1, 5)])
def test_heads_that_are_left_have_their_bias(
    shape: tuple[int, ...], rng: np.random.Generator
) -> None:
    layer, x = MultiHeadAttention(8, 4, **F64), rng.standard_normal((3, 5, 8))
    given, dy = rng.standard_normal(shape), rng.standard_normal((3, 5, 8))
    pruned = prune_heads(layer, {"": [1, 2]})
    layer.load_state_dict(unpruned_state_dict(pruned))
    found, expected = SharedBias(given), SharedBias(given)
    y, backward = pruned.forward(x, bias=found)
    wanted, back = layer.forward(x, bias=expected)
    np.testing.assert_allclose(y, wanted, rtol=0, atol=1e-13)
    np.testing.assert_allclose(pruned(x, bias=given), wanted, rtol=0, atol=1e-13)
    np.testing.assert_allclose(backward(dy), back(dy), rtol=0, atol=1e-13)
    assert found.gradient is not None
    assert expected.gradient is not None
    # heads whose output is multiplied by 0 have no gradient either
    np.testing.assert_allclose(found.gradient, expected.gradient, rtol=0, atol=1e-13)
    with pytest.raises(ValueError, match="bias must broadcast"):
        pruned(x, bias=np.zeros((3, 5, 5)))


def test_layers_that_share_a_bias_may_have_lost_different_heads(rng: np.random.Generator) -> None:
    encoder, positions = Encoder(2, 8, 4, 16, 0.0, **F64), RelativePositionBias(4, 8, 5, **F64)
    x, dy = rng.standard_normal((2, 3, 5, 8))
    pruned = prune_heads(encoder, {"layers.0.self_attn": [0], "layers.1.self_attn": [1, 3]})
    encoder.load_state_dict(unpruned_state_dict(pruned))
    gradients = []
    for model in (pruned, encoder):
        positions.zero_grad()
        value, back_positions = positions.forward(5, 5)
        bias = SharedBias(value)
        y, backward = model.forward(x, bias=bias)
        gradients.append([y, backward(dy)])
        back_positions(bias.gradient)
        gradients[-1].append(positions.grads["weight"].copy())
    for one, other in zip(*gradients, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-13)


def test_a_pruned_encoder_decoder_writes(rng: np.random.Generator) -> None:
    model = Seq2SeqLM(13, 12, 3, 2, 16, num_buckets=8, max_distance=6, **F64)
    tokens, target = rng.integers(0, 13, (3, 6)), rng.integers(0, 13, (3, 4))
    heads = {"encoder.layers.0.self_attn": [2], "decoder.layers.1.self_attn": [0],
             "decoder.layers.0.multihead_attn": [1]}  # fmt: skip
    pruned = prune_heads(model, heads)
    model.load_state_dict(unpruned_state_dict(pruned))
    np.testing.assert_allclose(pruned(tokens, target), model(tokens, target), rtol=0, atol=1e-13)
    found = [row.tolist() for row in pruned.generate(tokens, max_length=5)]
    assert found == [row.tolist() for row in model.generate(tokens, max_length=5)]
