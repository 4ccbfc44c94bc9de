"""watch and return_weights: the weights of every layer of every model, against NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import model_weights as plain
import numpy as np
import pytest
from numpy.typing import NDArray

import heedful
from heedful import layers as L
from heedful.explain import watch
from heedful.pruning import PrunedEncoder, prune_heads

Array = NDArray[Any]
F64: dict[str, Any] = {"dtype": np.float64, "rng": 3}
TOKENS = np.array([[3, 1, 4, 1, 5], [9, 2, 6, 0, 0]])
LENGTHS = [5, 3]
TARGETS = np.array([[2, 7, 1], [8, 2, 8]])
X = np.random.default_rng(1).standard_normal((2, 7, 12))


def sharpened(model: Any) -> Any:
    """With weights far from uniform, and no parameter at its initial 0."""
    draw = np.random.default_rng(5)
    for name, parameter in model.named_parameters():
        value = parameter.value
        if name.endswith("span"):
            value[...] = draw.uniform(0.1, 0.9, value.shape)
        elif name.endswith(("sink", "bias", "alpha_logits", "logit_scale")):
            value += 0.3 * draw.standard_normal(value.shape)
        elif "proj" in name or "query" in name or "key" in name:
            value *= 3
    return model


def encoded(**options: Any) -> Callable[[], tuple[Any, Any, list[Array]]]:
    """An encoder with an option of attention, its input, and its weights by NumPy."""
    made = {name: options[name] for name in options if name not in ("rotary", "span")}
    own = dict(options)
    own.pop("sink", None)
    if own.get("normalizer") == "entmax":
        del own["normalizer"]
    if "num_kv_heads" in own:
        own["kv_heads"] = own.pop("num_kv_heads")
    if "alibi" in own:
        own["alibi_slopes"] = own.pop("alibi")
    if "adaptive_span" in own:
        own["span"], own["ramp"] = own.pop("adaptive_span"), own.pop("span_ramp")
    own.pop("logit_scale", None)
    if "rotary" in options:
        made["rotary"] = True

    def case() -> tuple[Any, Any, list[Array]]:
        heads = 2 if "rotary" in options else 4
        model = sharpened(L.Encoder(2, 12, heads, 16, 0.0, **made, **F64))
        found: list[Array] = []
        plain.encoder(model.state_dict(), 2, heads, X, found, **own)
        return model, ((X,), {}), found

    return case


def bert(**options: Any) -> Callable[[], tuple[Any, Any, list[Array]]]:
    def case() -> tuple[Any, Any, list[Array]]:
        model = L.BertEncoder(10, 12, 3, 2, 16, max_length=9, rate=0.0, **options, **F64)
        state = sharpened(model).state_dict()
        own = {name: options[name] for name in options if name != "sink"}
        return (
            model, ((TOKENS,), {"lengths": LENGTHS}),
            plain.bert(state, 2, 3, TOKENS, LENGTHS, **own),
        )  # fmt: skip

    return case


def language_model(**options: Any) -> Callable[[], tuple[Any, Any, list[Array]]]:
    def case() -> tuple[Any, Any, list[Array]]:
        model = sharpened(L.LanguageModel(10, 12, 2, 2, 16, 9, 0.0, **options, **F64))
        own = {
            "learned": {}, "sinusoidal": {"added": "sinusoidal"},
            "rotary": {"added": "none", "rotary": True},
            "alibi": {"added": "none", "alibi_slopes": [2**-4, 2**-8]},
        }[options.get("positions", "learned")]  # fmt: skip
        if "window" in options:
            own["window"] = (options["window"], 0)
        if options.get("mixer") == "linear":
            own["linear_scores"] = True
        return model, ((TOKENS,), {}), plain.language_model(model.state_dict(), 2, 2, TOKENS, **own)

    return case


def transformer() -> tuple[Any, Any, list[Array]]:
    model = sharpened(L.Transformer(10, 11, 12, 3, 2, 16, 0.0, **F64))
    found = plain.transformer(model.state_dict(), 2, 3, TOKENS, TARGETS, LENGTHS)
    return model, ((TOKENS, TARGETS), {"source_lengths": LENGTHS}), found


def segment_recurrent() -> tuple[Any, Any, list[Array]]:
    model = sharpened(L.SegmentRecurrentLM(10, 12, 3, 2, 16, 9, 0.0, **F64))
    _, memory = model(TOKENS, return_memory=True)
    found = plain.segment_recurrent(model.state_dict(), 2, 3, [TOKENS, TARGETS])
    return model, ((TARGETS,), {"memory": memory}), found


def autoencoder() -> tuple[Any, Any, list[Array]]:
    model = L.Autoencoder(12, 5, 8, 2, 2, 16, num_queries=3, max_length=9, **F64)
    found = plain.autoencoder(sharpened(model).state_dict(), 2, 2, X, [7, 4])
    return model, ((X,), {"lengths": [7, 4]}), found


def pooled(**options: Any) -> Callable[[], tuple[Any, Any, list[Array]]]:
    def case() -> tuple[Any, Any, list[Array]]:
        model = L.Sequential(sharpened(L.AttentionPooling(12, **options, **F64)), L.Flatten())
        found: list[Array] = []
        plain.pooling(plain.inside(model.state_dict(), "0"), X, found, kv_lengths=[7, 2])
        return model, ((X,), {"lengths": [7, 2]}), found

    return case


def additive() -> tuple[Any, Any, list[Array]]:
    layer = sharpened(L.AdditiveAttention(12, 5, bias=True, sink=True, alibi=0.3, **F64))
    found = plain.additive(
        layer.state_dict(), X, causal=True, align=1, kv_lengths=[7, 5], q_lengths=[6, 7],
        alibi_slopes=[0.3],
    )  # fmt: skip
    options = {"causal": True, "align": 1, "kv_lengths": [7, 5], "q_lengths": [6, 7]}
    return L.Sequential(layer, L.Linear(12, 2, **F64)), ((X,), options), found


def features() -> tuple[Any, Any, list[Array]]:
    model = L.Sequential(L.FeatureAttention(12, **F64), L.Linear(12, 1, **F64))
    return model, ((X[0],), {}), plain.feature(plain.inside(model.state_dict(), "0"), X[0])


def pruned_heads() -> tuple[Any, Any, list[Array]]:
    model = sharpened(L.Encoder(1, 12, 4, 16, 0.0, **F64))
    found: list[Array] = []
    plain.encoder(model.state_dict(), 1, 4, X, found)
    model = prune_heads(model, {"layers.0.self_attn": [1]})
    return model, ((X,), {}), [found[0][:, [0, 2, 3]]]


class Own(L.Layer):
    """A user's model."""

    def __init__(self) -> None:
        self.blocks = {"a": L.Encoder(1, 12, 4, 16, 0.0, **F64), "b": [L.Linear(12, 3, **F64)]}

    def compute(self, mode: L.Mode, x: Any) -> Any:
        y, back = self.blocks["a"].compute(mode, x)
        z, back_last = self.blocks["b"][0].compute(mode, y)
        return z, lambda dz: back(back_last(dz))


def own_model() -> tuple[Any, Any, list[Array]]:
    model, found = Own(), []
    plain.encoder(plain.inside(model.state_dict(), "blocks.a"), 1, 4, X, found)
    return model, ((X,), {}), found


MODELS: dict[str, Callable[[], tuple[Any, Any, list[Array]]]] = {
    "encoder": encoded(),
    "encoder, causal, grouped heads": encoded(causal=True, num_kv_heads=2),
    "encoder, rotary": encoded(rotary=True),
    "encoder, scale and softcap": encoded(scale=0.7, softcap=1.5),
    "encoder, ALiBi": encoded(alibi=[0.5, 0.1, 0.7, 0.2]),
    "encoder, top_k": encoded(top_k=3),
    "encoder, sink": encoded(sink=True),
    "encoder, sparsemax": encoded(normalizer="sparsemax"),
    "encoder, entmax15": encoded(normalizer="entmax15"),
    "encoder, entmax": encoded(normalizer="entmax"),
    "encoder, rms": encoded(qk_norm="rms", logit_scale=True),
    "encoder, l2": encoded(qk_norm="l2"),
    "encoder, adaptive span": encoded(adaptive_span=4, span_ramp=2.0),
    "encoder, adaptive span, top_k": encoded(adaptive_span=4, span_ramp=2.0, top_k=2, sink=True),
    "BertEncoder": bert(),
    "BertEncoder, softcap, rms, sink": bert(softcap=1.5, qk_norm="rms", sink=True),
    "LanguageModel": language_model(),
    "LanguageModel, rotary": language_model(positions="rotary"),
    "LanguageModel, ALiBi": language_model(positions="alibi"),
    "LanguageModel, window": language_model(positions="sinusoidal", window=2),
    "LanguageModel, linear": language_model(mixer="linear"),
    "Transformer": transformer,
    "SegmentRecurrentLM": segment_recurrent,
    "Autoencoder": autoencoder,
    "AttentionPooling": pooled(num_queries=2),
    "AttentionPooling, hidden": pooled(hidden=5),
    "AdditiveAttention": additive,
    "FeatureAttention": features,
    "pruned heads": pruned_heads,
    "a model of the user's": own_model,
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_the_weights_are_those_that_numpy_computes_from_the_state(name: str) -> None:
    model, (inputs, options), expected = MODELS[name]()
    y, weights = model(*inputs, **options, return_weights=True)
    np.testing.assert_array_equal(y, model(*inputs, **options))
    assert len(weights) == len(expected)
    for found, wanted in zip(weights, expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-10)
    (again, of_training), backward = model.forward(*inputs, **options, return_weights=True)
    for found, wanted in zip(of_training, expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-10)
    backward(np.ones_like(again))


@pytest.mark.parametrize("name", MODELS)
def test_rows_means_heads_and_an_item_are_parts_of_the_weights(name: str) -> None:
    model, (inputs, options), expected = MODELS[name]()
    rows = [-1, 0]
    seen, means = watch(model, rows=rows), watch(model, average_heads=True)
    one, last = watch(model, rows=[0], heads=[0]), watch(model, heads=-1)
    with seen, means, one, last:
        model(*inputs, **options)
    for index, wanted in enumerate(expected):
        for watched, part in (
            (seen, wanted[..., rows, :]), (means, wanted.mean(-3, keepdims=True)),
            (one, wanted[..., :1, :1, :]), (last, wanted[..., -1:, :, :]),
        ):  # fmt: skip
            np.testing.assert_allclose(watched.calls[index].weights, part, rtol=0, atol=1e-10)
    assert [call.heads for call in means.calls] == [()] * len(expected)
    assert seen.calls[0].rows.tolist() == [expected[0].shape[-2] - 1, 0]


def test_a_pruned_encoder_shows_the_tokens_that_each_layer_still_has() -> None:
    encoder = sharpened(L.Encoder(2, 12, 3, 16, **F64))
    first: list[Array] = []
    plain.encoder(encoder.state_dict(), 1, 3, X, first)
    (_, positions), weights = PrunedEncoder(encoder, [4, 4])(
        X, return_positions=True, return_weights=True
    )
    np.testing.assert_allclose(weights[0], first[0], rtol=0, atol=1e-10)
    assert weights[1].shape == (2, 3, 4, 4)
    np.testing.assert_allclose(weights[1].sum(-1), 1)
    assert positions.shape == (2, 4)


def test_masks_and_block_masks_of_a_call_are_in_the_weights(rng: np.random.Generator) -> None:
    layer = L.MultiHeadAttention(12, 4, **F64)
    mask = rng.random((2, 4, 7, 7)) < 0.6
    blocks = heedful.BlockMask.from_mask(rng.random((4, 7, 7)) < 0.5, block_size=2)
    for options in ({"mask": mask}, {"block_mask": blocks}, {"bias": rng.random((2, 1, 1, 7))}):
        _, expected = layer(X, **options, return_weights=True)
        with watch(layer, heads=[3, 1], rows=[2, 5]) as seen:
            layer(X, **options)
        np.testing.assert_allclose(seen[""], expected[:, [3, 1]][:, :, [2, 5]], atol=1e-12)


def test_layers_with_return_weights_of_their_own_keep_it(rng: np.random.Generator) -> None:
    layer = L.MultiHeadAttention(12, 4, dropout=0.5, **F64)
    y, weights = layer(X, return_weights=True)
    assert weights.shape == (2, 4, 7, 7)
    assert L.Residual(layer)(X, return_weights=True)[1].shape == (2, 4, 7, 7)
    (y, weights), backward = layer.forward(X, return_weights=True, rng=0)
    assert (weights == 0).any()  # those that are applied, after dropout
    assert backward(y, weights).shape == X.shape


def test_weights_in_training_are_without_dropout_and_noise() -> None:
    model = L.Encoder(1, 12, 4, 16, 0.5, key_dropout=0.5, gumbel_temperature=0.3, **F64)
    _, expected = model(X, return_weights=True)
    with watch(model) as seen:
        model.forward(X, rng=0)
    np.testing.assert_allclose(seen.weights, expected, atol=1e-12)
    assert seen.calls[0].training


def test_a_hard_layer_chooses_one_key_in_inference_and_shows_soft_weights_in_training() -> None:
    layer = L.MultiHeadAttention(12, 4, gumbel_temperature=1.0, hard=True, **F64)
    _, expected = layer(X, return_weights=True)
    with watch(layer) as seen:
        layer(X)
        layer.forward(X, rng=0)
    hard, soft = seen.weights
    np.testing.assert_array_equal(hard, expected)
    np.testing.assert_allclose(hard, soft == soft.max(-1, keepdims=True), atol=1e-12)


def test_return_weights_of_what_has_no_attention_is_an_argument_it_does_not_know() -> None:
    with pytest.raises(TypeError, match="Linear takes x, residual: got an unexpected keyword"):
        L.Linear(3, 3)(np.ones((2, 3)), return_weights=True)
    model = L.Encoder(1, 12, 4, 16, 0.0, **F64)
    with pytest.raises(TypeError, match="return_weights must be True or False: got 'yes'"):
        model(X, return_weights="yes")
    np.testing.assert_array_equal(model(X, return_weights=False), model(X))
