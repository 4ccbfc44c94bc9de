"""The options of layers are in their signatures, and errors use the caller's argument names."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from layer_cases import CASES, LayerCase

from heedful import layers
from heedful.base._taps import attention_layers

L = layers
X = np.ones((2, 5, 6), np.float32)
KINDS = [
    kind for name in L.__all__
    if isinstance(kind := getattr(L, name), type) and issubclass(kind, L.Layer)
]  # fmt: skip
# these hand on what they are given to a layer of the user's
OPEN = {L.Layer, L.Sequential, L.Residual}
# a functional model takes the names of its inputs
WITH_OPTIONS = [kind for kind in KINDS if kind not in OPEN | {L.Model}]


@pytest.mark.parametrize("kind", WITH_OPTIONS)
def test_every_option_has_a_name(kind: type[L.Layer]) -> None:
    for function in (kind.__init__, kind.compute):
        for parameter in inspect.signature(function).parameters.values():
            assert parameter.kind is not inspect.Parameter.VAR_KEYWORD, function


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("option", ["wrong", "key", "return_weights", "residual", "mode"])
def test_an_unknown_option_is_reported_with_the_name_of_the_called_layer(
    case: LayerCase, option: str, rng: np.random.Generator
) -> None:
    layer, inputs = case.make(np.float32, 0), case.inputs(rng)
    if type(layer) in OPEN or option in list(inspect.signature(layer.compute).parameters)[1:]:
        pytest.skip("known here")
    if option == "return_weights" and attention_layers(layer):
        pytest.skip("answered for the attention inside")
    for call in (layer, layer.forward):
        with pytest.raises(TypeError, match=rf"^{type(layer).__name__} takes .*'{option}'"):
            call(*inputs, **{**case.options, option: True})


@pytest.mark.parametrize("kind", WITH_OPTIONS)
def test_an_unknown_argument_is_reported_with_the_name_of_the_new_layer(kind: Any) -> None:
    needed = [
        p for p in list(inspect.signature(kind.__init__).parameters.values())[1:]
        if p.default is p.empty and p.kind is not p.VAR_POSITIONAL
    ]  # fmt: skip
    values = {"activation": "relu", "rate": 0.1, "num_heads": 3}
    arguments = {p.name: values.get(p.name, 6) for p in needed}
    kind(**arguments)
    with pytest.raises(TypeError, match=rf"^{kind.__name__}\.__init__.*'wrong'"):
        kind(**arguments, wrong=1)


def test_weights_of_a_model_are_those_of_its_attention() -> None:
    for layer in (L.EncoderLayer(6, 2, 8), L.Encoder(1, 6, 2, 8)):
        with pytest.raises(TypeError, match="need_weights is not supported: write return_weights"):
            layer(X, need_weights=True)
        assert layer(X, return_weights=True)[1][0].shape == (2, 2, 5, 5)


MODELS: list[tuple[Callable[..., Any], dict[str, Any]]] = [
    (L.Linear, {"in_features": 6, "out_features": 2}),
    (L.Embedding, {"num_embeddings": 6, "d_model": 2}),
    (L.FeedForward, {"d_model": 6, "dff": 8}),
    (L.MultiHeadAttention, {"d_model": 6, "num_heads": 2}),
    (L.LinearAttention, {"d_model": 6, "num_heads": 2}),
    (L.SpatialGating, {"d_model": 6, "max_length": 5}),
    (L.TokenMixing, {"d_model": 6, "max_length": 5}),
    (L.FourierMixing, {"d_model": 6}),
    (L.AdditiveAttention, {"d_model": 6}),
    (L.AttentionPooling, {"d_model": 6}),
    (L.FeatureAttention, {"num_features": 6}),
    (L.EncoderLayer, {"d_model": 6, "num_heads": 2, "dff": 8}),
    (L.DecoderLayer, {"d_model": 6, "num_heads": 2, "dff": 8}),
    (L.Encoder, {"num_layers": 1, "d_model": 6, "num_heads": 2, "dff": 8}),
    (L.Decoder, {"num_layers": 1, "d_model": 6, "num_heads": 2, "dff": 8}),
    (L.EncoderDecoder, {"d_model": 6, "num_heads": 2, "num_encoder_layers": 1,
                        "num_decoder_layers": 1, "dff": 8}),
    (L.Transformer, {"source_vocabulary": 9, "target_vocabulary": 9, "d_model": 6, "num_heads": 2,
                     "num_layers": 1, "dff": 8}),
    (L.LanguageModel, {"vocabulary": 9, "d_model": 6, "num_heads": 2, "num_layers": 1}),
    (L.RelativeAttention, {"d_model": 6, "num_heads": 2}),
    (L.SegmentRecurrentLayer, {"d_model": 6, "num_heads": 2, "dff": 8, "rate": 0.1}),
    (L.SegmentRecurrentLM, {"vocabulary": 9, "d_model": 6, "num_heads": 2, "num_layers": 1}),
    (L.Autoencoder, {"num_features": 3, "code_size": 2, "d_model": 6, "num_heads": 2,
                     "num_layers": 1}),
    (L.Dense, {"units": 2}),
    (L.LearnedPositions, {"max_length": 5, "d_model": 6}),
]  # fmt: skip
ALLOWS_ZERO = {
    "rate", "dropout", "key_dropout", "head_dropout", "span_penalty", "score_penalty",
}  # fmt: skip
# of each argument something that it cannot be
WRONG = {"dtype": "float16", "rng": "a", "activation": "elu", "positions": "none"}


@pytest.mark.parametrize(
    ("make", "arguments"), MODELS, ids=lambda one: getattr(one, "__name__", "")
)
def test_a_wrong_argument_is_reported_by_its_name(
    make: Callable[..., Any], arguments: dict[str, Any]
) -> None:
    names = list(inspect.signature(make).parameters)
    make(**arguments)
    for name in names:
        for wrong in (WRONG.get(name, "a"), -1, 0):
            if wrong != "a" and (name in WRONG or name in ("scale", "padding_idx", "alibi")):
                continue
            if wrong == 0 and name in ALLOWS_ZERO:
                continue
            with pytest.raises((TypeError, ValueError)) as caught:
                make(**{**arguments, name: wrong})
            assert str(caught.value).startswith(f"{name} "), (name, wrong, str(caught.value))


# a call that works, and what is wrong for each of its options
CALLS: list[tuple[str, Callable[..., Any], dict[str, Any]]] = [
    ("EncoderLayer", lambda **o: L.EncoderLayer(6, 2, 8)(X, **o), {
        "mask": np.ones((4, 4), bool), "bias": np.ones((4, 4)), "causal": 2, "window": 3,
        "exclude_self": 2, "q_lengths": [1], "kv_lengths": [6, 1], "align": "up", "cache": []}),
    ("Encoder", lambda **o: L.Encoder(2, 6, 2, 8)(X, **o), {
        "mask": np.ones((4, 4), bool), "bias": np.ones((4, 4)), "causal": 2, "window": 3,
        "exclude_self": 2, "q_lengths": [1], "kv_lengths": [6, 1], "align": "up", "caches": []}),
    ("DecoderLayer", lambda **o: L.DecoderLayer(6, 2, 8)(X, X[:, :3], **o), {
        "mask": np.ones((4, 4), bool), "causal": 2, "lengths": [6, 1],
        "memory_mask": np.ones((5, 5), bool), "memory_lengths": [4, 1], "cache": ([], [])}),
    ("Decoder", lambda **o: L.Decoder(2, 6, 2, 8)(X, X[:, :3], **o), {
        "mask": np.ones((4, 4), bool), "causal": 2, "lengths": [6, 1],
        "memory_mask": np.ones((5, 5), bool), "memory_lengths": [4, 1], "caches": []}),
    ("EncoderDecoder", lambda **o: L.EncoderDecoder(6, 2, 1, 1, 8)(X[:, :3], X, **o), {
        "source_lengths": [4, 1], "target_lengths": [6, 1], "causal": 2}),
    ("MultiHeadAttention", lambda **o: L.MultiHeadAttention(6, 2)(X, X[:, :3], **o), {
        "value": X, "mask": np.ones((5, 5), bool), "bias": np.ones((4, 4)), "causal": 2,
        "window": 3, "exclude_self": 2, "q_lengths": [6, 1], "kv_lengths": [4, 1], "align": "up",
        "cache": [], "residual": X[:1], "return_weights": 2}),
    ("LinearAttention", lambda **o: L.LinearAttention(6, 2)(X, X[:, :3], **o), {
        "value": X, "mask": np.ones((5, 3), bool), "bias": np.ones((5, 3)), "causal": True,
        "window": 3, "exclude_self": 2, "q_lengths": [6, 1], "kv_lengths": [4, 1], "align": 0,
        "cache": [], "residual": X[:1], "return_weights": 2}),
    *[(kind.__name__, lambda kind=kind, o_=o_, **o: kind(6, **o_)(X, **o), {
        "key": X + 1, "value": X, "mask": np.ones((5, 5), bool), "bias": np.ones((5, 5)),
        "causal": 2, "window": 3, "exclude_self": 2, "q_lengths": [6, 1], "kv_lengths": [6, 1],
        "align": 0, "cache": [], "residual": X[:1], "return_weights": 2})
      for kind, o_ in ((L.SpatialGating, {"max_length": 5}), (L.TokenMixing, {"max_length": 5}),
                       (L.FourierMixing, {}))],
    ("AttentionPooling", lambda **o: L.AttentionPooling(6)(X, **o), {
        "mask": np.ones((2, 4), bool), "lengths": [6, 1], "return_weights": 2}),
    ("AdditiveAttention", lambda **o: L.AdditiveAttention(6)(X, X[:, :3], **o), {
        "value": X, "mask": np.ones((5, 5), bool), "causal": 2, "window": 3, "exclude_self": 2,
        "q_lengths": [6, 1], "kv_lengths": [4, 1], "align": "up", "return_weights": 2}),
    ("FeatureAttention", lambda **o: L.FeatureAttention(6)(X[0], **o), {"return_weights": 2}),
    ("RelativeAttention", lambda **o: L.RelativeAttention(6, 2)(X, X[:, :3], **o), {
        "memory_lengths": [4, 1], "residual": X[:1]}),
    ("SegmentRecurrentLM", lambda **o: L.SegmentRecurrentLM(9, 6, 2, 1)([[1, 2]], **o), {
        "memory": [X], "return_memory": 2}),
    ("LanguageModel", lambda **o: L.LanguageModel(9, 6, 2, 1)([[1, 2]], **o), {
        "lengths": [3], "caches": []}),
]  # fmt: skip


@pytest.mark.parametrize("case", CALLS, ids=lambda case: case[0])
def test_a_wrong_option_is_reported_by_its_name(case: Any) -> None:
    name, call, options = case
    call()
    taken = set(inspect.signature(getattr(L, name).compute).parameters)
    assert set(options) <= taken
    for option, wrong in options.items():
        with pytest.raises((TypeError, ValueError)) as caught:
            call(**{option: wrong})
        assert option in str(caught.value), (option, str(caught.value))
