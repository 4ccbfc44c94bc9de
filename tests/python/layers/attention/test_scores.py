"""scale, softcap, sink and ALiBi of layers: against plain NumPy, and with caches."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import heedful
from heedful import layers
from heedful.layers import LanguageModel, MultiHeadAttention, Transformer

B, L, M, E, H = 2, 5, 7, 12, 3
DEPTH = E // H


def by_hand(
    layer: MultiHeadAttention, query: Any, key: Any, *, scale: float, softcap: float | None,
    slopes: Any, offset: int, causal: bool,
) -> tuple[Any, Any]:  # fmt: skip
    """The equation of the class, head by head, in float64."""
    weights = np.split(layer.in_proj_weight, 3)
    biases = np.split(layer.in_proj_bias, 3)
    q, k, v = (
        x @ weight.T + bias
        for x, weight, bias in zip((query, key, key), weights, biases, strict=True)
    )
    heads, all_weights = [], []
    for head in range(H):
        own = slice(head * DEPTH, (head + 1) * DEPTH)
        score = scale * np.einsum("bid,bjd->bij", q[..., own], k[..., own])
        if softcap is not None:
            score = softcap * np.tanh(score / softcap)
        distance = np.arange(q.shape[1])[:, None] + offset - np.arange(k.shape[1])
        score = score - slopes[head] * abs(distance)
        if causal:
            score = np.where(distance >= 0, score, -np.inf)
        probabilities = np.exp(score)
        sink = 0.0 if layer.sink is None else np.exp(layer.sink[head])
        probabilities /= probabilities.sum(-1, keepdims=True) + sink
        heads.append(probabilities @ v[..., own])
        all_weights.append(probabilities)
    y = np.concatenate(heads, -1) @ layer.out_proj.weight.T + layer.out_proj.bias
    return y, np.stack(all_weights, 1)


SLOPES = [2**-4.0, 2**-8.0, 2**-2.0]  # of 2 heads, then the first of 4
OPTIONS = [
    *itertools.product(
        [None, 1.0, 0.0, -0.3, E**-0.5], [None, 0.7], [False, True], [False, True, [0.3, 0.0, -0.1]]
    )
]


@pytest.mark.parametrize(("scale", "softcap", "sink", "alibi"), OPTIONS)
def test_scores_are_those_of_the_equation(
    scale: float | None, softcap: float | None, sink: bool, alibi: Any, rng: np.random.Generator
) -> None:
    layer = MultiHeadAttention(
        E, H, scale=scale, softcap=softcap, sink=sink, alibi=alibi, dtype=np.float64, rng=0
    )
    for parameter in layer.parameters().values():
        parameter += 0.3 * rng.standard_normal(parameter.shape)
    slopes = SLOPES if alibi is True else alibi or [0.0] * H
    query, key = rng.standard_normal((B, L, E)), rng.standard_normal((B, M, E))
    for given, offset, causal in (((query,), 0, True), ((query, key), 2, False)):
        expected, expected_weights = by_hand(
            layer, query, given[-1], scale=DEPTH**-0.5 if scale is None else scale,
            softcap=softcap, slopes=slopes, offset=offset, causal=causal,
        )  # fmt: skip
        y, weights = layer(*given, causal=causal, align="lower_right", return_weights=True)
        np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(weights, expected_weights, rtol=1e-10, atol=1e-12)
        trained, _ = layer.forward(*given, causal=causal, align="lower_right")
        np.testing.assert_allclose(trained, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("heads", "exponents"),
    [
        (1, [8]), (2, [4, 8]), (4, [2, 4, 6, 8]), (8, range(1, 9)), (16, np.arange(1, 17) / 2),
        (3, [4, 8, 2]), (5, [2, 4, 6, 8, 1]), (6, [2, 4, 6, 8, 1, 3]),
        (12, [1, 2, 3, 4, 5, 6, 7, 8, 0.5, 1.5, 2.5, 3.5]),
    ],
)  # fmt: skip
def test_slopes_are_those_of_the_paper(heads: int, exponents: Any) -> None:
    """As get_slopes of the authors' repository (ofirpress/attention_with_linear_biases)."""
    layer = MultiHeadAttention(heads * 2, heads, alibi=True)
    np.testing.assert_allclose(
        layer.scores.alibi_slopes, 2.0 ** -np.asarray(exponents, float), rtol=1e-15
    )


def test_heads_may_be_unscaled_or_scaled_by_the_width_of_the_model(
    rng: np.random.Generator,
) -> None:
    """Two listings: softmax(QKᵀ) V in every head, and with 1 / √d_model in place of 1 / √d_k."""
    x = rng.standard_normal((B, L, E))
    for scale in (1.0, 1 / np.sqrt(E)):
        layer = MultiHeadAttention(E, H, scale=scale, dtype=np.float64, rng=0)
        q, k, v = (
            (x @ weight.T).reshape(B, L, H, DEPTH).swapaxes(1, 2)
            for weight in np.split(layer.in_proj_weight, 3)
        )
        scores = q @ k.swapaxes(-1, -2) * scale
        probabilities = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
        heads = (probabilities @ v).swapaxes(1, 2).reshape(B, L, E)
        np.testing.assert_allclose(layer(x), heads @ layer.out_proj.weight.T, rtol=1e-12)


def test_a_sink_is_a_parameter_that_is_saved_frozen_and_learned(rng: np.random.Generator) -> None:
    layer = MultiHeadAttention(E, H, sink=True, rng=0)
    assert layer.sink.tolist() == [0.0] * H
    assert "sink" in layer.state_dict()
    layer.load_state_dict({**layer.state_dict(), "sink": [1.0, 2.0, 3.0]})
    assert layer.sink.tolist() == [1.0, 2.0, 3.0]
    x = rng.standard_normal((B, L, E))
    y, backward = layer.forward(x)
    backward(y)
    assert (layer.grads["sink"] != 0).all()
    layer.freeze("sink")
    y, backward = layer.forward(x)
    backward(y)
    assert "sink" not in layer.grads
    assert repr(layer).startswith("MultiHeadAttention(12, 3, sink=True")
    assert "sink" not in MultiHeadAttention(E, H).parameters()


SCORES: dict[str, Any] = {"scale": 0.8, "softcap": 2.0, "sink": True, "num_kv_heads": 1}


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rotary", "alibi"])
def test_a_language_model_s_caches_change_nothing(positions: str, rng: np.random.Generator) -> None:
    model = LanguageModel(
        19, E, H, 2, positions=positions, dtype=np.float64, rng=0, window=4, **SCORES
    )
    for parameter in model.parameters().values():
        parameter += 0.2 * rng.standard_normal(parameter.shape)
    tokens = rng.integers(0, 19, (B, 9))
    whole, caches = model(tokens), model.new_caches()
    parts = [model(tokens[:, :4], lengths=[4, 4], caches=caches)]
    parts += [model(tokens[:, i : i + 1], caches=caches) for i in range(4, 9)]
    np.testing.assert_allclose(np.concatenate(parts, 1), whole, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("positions", ["sinusoidal", "rotary", "alibi"])
def test_a_transformer_s_caches_change_nothing(positions: str, rng: np.random.Generator) -> None:
    model = Transformer(13, 13, E, H, 2, 16, positions=positions, dtype=np.float64, rng=0, **SCORES)
    for parameter in model.parameters().values():
        parameter += 0.2 * rng.standard_normal(parameter.shape)
    source, target = rng.integers(0, 13, (B, M)), rng.integers(0, 13, (B, L))
    lengths, caches = [M, 3], model.decoder.new_caches()
    memory = model.encode(source, lengths)
    parts = [model.decode(target[:, i : i + 1], memory, caches, lengths) for i in range(L)]
    whole = model(source, target, source_lengths=lengths)
    np.testing.assert_allclose(np.concatenate(parts, 1), whole, rtol=1e-9, atol=1e-10)


def test_a_cache_of_one_layer_changes_nothing(rng: np.random.Generator) -> None:
    """Items of different lengths, each with distances of its own."""
    layer = MultiHeadAttention(
        E, H, causal=True, alibi=True, sink=True, softcap=1.0, scale=1.0, dtype=np.float64, rng=0
    )
    x, cache = rng.standard_normal((B, 6, E)), heedful.KVCache()
    layer(x[:, :4], kv_lengths=[4, 2], cache=cache)
    step = layer(np.stack([x[0, 4:5], x[1, 2:3]]), cache=cache)
    np.testing.assert_allclose(step[0], layer(x[:1, :5])[0, 4:], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(step[1], layer(x[1:, :3])[0, 2:], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alibi": [1.0, 2.0]}, "alibi must be True, False or 3 slopes, one for each head"),
        ({"alibi": [1.0, np.nan, 0.0]}, "alibi must be finite: got NaN or infinity"),
        ({"alibi": None}, "alibi must be True, False or slopes: got None"),
        ({"scale": np.inf}, "scale must be finite: got inf"),
        ({"softcap": 0.0}, "softcap must be finite and above 0: got 0.0"),
        ({"sink": 1}, "sink must be True or False: got 1"),
    ],
)
def test_what_cannot_be_is_refused(options: Any, message: str) -> None:
    for make in (
        lambda: MultiHeadAttention(E, H, **options),
        lambda: layers.Encoder(1, E, H, **options),
        lambda: layers.EncoderDecoder(E, H, 1, 1, **options),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            make()


def test_additive_scores_have_distances_and_a_sink(rng: np.random.Generator) -> None:
    query, key = rng.standard_normal((B, L, 6)), rng.standard_normal((B, M, 6))
    for alibi, slope in ((False, 0.0), (True, 2**-8.0), (0.3, 0.3)):
        layer = layers.AdditiveAttention(6, 4, sink=True, alibi=alibi, dtype=np.float64, rng=0)
        layer.sink = [0.7]
        q, k = query @ layer.query_proj.weight.T, key @ layer.key_proj.weight.T
        score = np.tanh(q[:, :, None] + k[:, None]) @ layer.weight
        score = score - slope * abs(np.arange(L)[:, None] + M - L - np.arange(M))
        probabilities = np.exp(score) / (np.exp(0.7) + np.exp(score).sum(-1, keepdims=True))
        y, weights = layer(query, key, align="lower_right", return_weights=True)
        np.testing.assert_allclose(weights, probabilities, rtol=1e-12)
        np.testing.assert_allclose(y, probabilities @ key, rtol=1e-12)


def test_the_scale_of_pooling_is_that_of_its_scores(rng: np.random.Generator) -> None:
    x = rng.standard_normal((B, L, 6))
    for hidden, scale, factor in (
        (None, None, 6**-0.5),
        (None, 2.0, 2.0),
        (5, None, 1.0),
        (5, 0.3, 0.3),
    ):
        layer = layers.AttentionPooling(6, hidden, scale=scale, dtype=np.float64, rng=0)
        seen = x if hidden is None else np.tanh(x @ layer.linear.weight.T + layer.linear.bias)
        probabilities = np.exp(factor * seen @ layer.query[0])
        probabilities /= probabilities.sum(-1, keepdims=True)
        np.testing.assert_allclose(layer(x), np.einsum("bl,ble->be", probabilities, x), rtol=1e-12)


def test_distances_between_lengths_that_differ_need_align() -> None:
    layer = MultiHeadAttention(E, H, alibi=True)
    with pytest.raises(ValueError, match="differ in length and alibi is used"):
        layer(np.ones((B, L, E)), np.ones((B, M, E)))
