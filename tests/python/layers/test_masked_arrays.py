"""Layers, losses and training reject masked arrays wherever they take an array."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from heedful import layers as L
from heedful import training as T

pytestmark = pytest.mark.once

X = np.ones((2, 5, 6), np.float32)
TOKENS = np.array([[1, 2, 3], [4, 5, 6]])
TARGET = np.array([0, 1, 1, 0])
LOGITS = np.zeros((4, 2))


def masked(given: Any) -> Any:
    array = np.ma.array(given)
    array[(0,) * array.ndim] = np.ma.masked
    return array


def language_model() -> L.LanguageModel:
    return L.LanguageModel(11, 6, 2, 1, rng=0)


def transformer() -> L.Transformer:
    return L.Transformer(11, 11, 6, 2, 1, 13, 0.0, rng=0)


def bert() -> L.BertEncoder:
    return L.BertEncoder(11, 6, 2, 1, 13, 9, rng=0)


def fitted(**changed: Any) -> Any:
    model = L.Sequential(L.Linear(3, 2, rng=0))
    model.compile("sgd", "sparse_categorical_crossentropy")
    given: dict[str, Any] = {"x": np.ones((4, 3)), "y": TARGET, "verbose": 0, "batch_size": 2}
    return model.fit(**(given | changed))


def predicted(x: Any) -> Any:
    return L.Sequential(L.Linear(3, 2, rng=0)).predict(x)


def evaluated(x: Any, y: Any) -> Any:
    model = L.Sequential(L.Linear(3, 2, rng=0))
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model.evaluate(x, y, verbose=0)


def loaded(weight: Any) -> Any:
    L.Linear(3, 2).load_state_dict({"weight": weight, "bias": np.ones(2)})


def assigned(weight: Any) -> None:
    L.Linear(3, 2).weight = weight


def weighted(weight: Any) -> Any:
    return T.BinaryCrossEntropy()(TARGET, LOGITS[:, 0], weight)


W = np.ones((2, 3))
B = np.ones((4, 3))
TAKEN: list[tuple[str, Any, Callable[[Any], Any]]] = [
    ("x", X, L.ReLU()),
    ("x", X, lambda a: L.Linear(6, 2)(a)),
    ("x", X, lambda a: L.LayerNorm(6)(a)),
    ("query", X, lambda a: L.MultiHeadAttention(6, 2)(a)),
    ("key", X, lambda a: L.MultiHeadAttention(6, 2)(X, a)),
    ("mask", np.ones((5, 5), bool), lambda a: L.MultiHeadAttention(6, 2)(X, mask=a)),
    ("bias", np.ones((5, 5)), lambda a: L.MultiHeadAttention(6, 2)(X, bias=a)),
    ("bias", np.ones((5, 5)),
     lambda a: L.MultiHeadAttention(6, 2)(X, mask=np.zeros((5, 5)), bias=a)),
    ("kv_lengths", [5, 3], lambda a: L.MultiHeadAttention(6, 2)(X, kv_lengths=a)),
    ("q_lengths", [5, 3], lambda a: L.EncoderLayer(6, 2)(X, q_lengths=a)),
    ("align", [0, 0], lambda a: L.MultiHeadAttention(6, 2)(X, causal=True, align=a)),
    ("mask", np.ones((2, 1, 1, 5), bool), lambda a: L.LinearAttention(6, 2)(X, mask=a)),
    ("kv_lengths", [5, 3], lambda a: L.SpatialGating(6, 5)(X, kv_lengths=a)),
    ("q_lengths", [5, 3], lambda a: L.FourierMixing(6)(X, q_lengths=a)),
    ("query", X, lambda a: L.TokenMixing(6, 5)(a)),
    ("lengths", [5, 3], lambda a: L.DecoderLayer(6, 2)(X, X, lengths=a)),
    ("memory_lengths", [5, 3], lambda a: L.DecoderLayer(6, 2)(X, X, memory_lengths=a)),
    ("mask", np.ones((2, 5), bool), lambda a: L.AttentionPooling(6)(X, mask=a)),
    ("lengths", [5, 3], lambda a: L.AttentionPooling(6)(X, lengths=a)),
    ("mask", np.ones((2, 5), bool), lambda a: L.GlobalAveragePooling()(X, mask=a)),
    ("mask", np.ones((2, 5, 5), bool), lambda a: L.AdditiveAttention(6)(X, mask=a)),
    ("first", [0, 2], lambda a: L.LearnedPositions(9, 6)(X, a)),
    ("positions", np.arange(5), lambda a: L.RotaryPositions()(X, a)),
    ("tokens", TOKENS, lambda a: L.Embedding(11, 6)(a)),
    ("tokens", TOKENS, lambda a: language_model()(a)),
    ("lengths", [3, 2], lambda a: language_model()(TOKENS, lengths=a)),
    ("lengths", [3, 2],
     lambda a: (lambda m: m(TOKENS, lengths=a, caches=m.new_caches()))(language_model())),
    ("prompts[0]", TOKENS[0], lambda a: language_model().generate([a], max_length=2)),
    ("source", TOKENS, lambda a: transformer()(a, TOKENS)),
    ("source_lengths", [3, 2], lambda a: transformer()(TOKENS, TOKENS, source_lengths=a)),
    ("tokens", TOKENS, lambda a: bert()(a)),
    ("segments", [0, 0, 1], lambda a: bert()(TOKENS, segments=a)),
    ("mask", TOKENS > 0, lambda a: bert()(TOKENS, mask=a)),
    ("value", W, L.Parameter),
    ("weight", W, assigned),
    ("weight", W, loaded),
    ("target", TARGET, lambda a: T.SparseCategoricalCrossEntropy()(a, LOGITS)),
    ("target", TARGET, lambda a: T.SparseCategoricalCrossEntropy(ignore_index=0).count(a)),
    ("target", np.eye(4)[:, :2] * 0 + 0.5, lambda a: T.CategoricalCrossEntropy()(a, LOGITS)),
    ("target", TARGET, lambda a: T.BinaryCrossEntropy()(a, LOGITS[:, 0])),
    ("target", TARGET, lambda a: T.MeanSquaredError()(a, LOGITS[:, 0])),
    ("prediction", LOGITS, lambda a: T.SparseCategoricalCrossEntropy()(TARGET, a)),
    ("sample_weight", np.ones(4), weighted),
    ("x", B, lambda a: fitted(x=a)),
    ("y", TARGET, lambda a: fitted(y=a)),
    ("sample_weight", np.ones(4), lambda a: fitted(sample_weight=a)),
    ("validation x", B, lambda a: fitted(validation_data=(a, TARGET))),
    ("validation y", TARGET, lambda a: fitted(validation_data=(B, a))),
    ("batch 1, x", B, lambda a: fitted(x=iter([(a, TARGET)]), y=None)),
    ("batch 1, y", TARGET, lambda a: fitted(x=iter([(B, a)]), y=None)),
    ("x", B, predicted),
    ("x", B, lambda a: evaluated(a, TARGET)),
    ("y", TARGET, lambda a: evaluated(B, a)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "good", "call"), TAKEN)
@pytest.mark.parametrize("form", [lambda a: a, list, tuple], ids=["array", "list", "tuple"])
def test_a_masked_array_is_refused_by_name(
    name: str, good: Any, call: Callable[[Any], Any], form: Callable[[Any], Any]
) -> None:
    bad = form(masked(good))
    shown = name.replace("[", r"\[").replace("]", r"\]")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        call(np.array(good))
        if form is tuple and name in ("x", "validation x", "batch 1, x"):
            return  # several inputs
        with pytest.raises(TypeError, match=rf"^{shown} must be a plain array: got a masked"):
            call(bad)


def test_gradients_that_a_layer_adds_itself() -> None:
    layer = L.Linear(3, 2, rng=0)
    with pytest.raises(TypeError, match=r"^gradient must be a plain array: got a masked array$"):
        layer.add_gradient("weight", masked(W))
    layer.add_gradient("weight", W.tolist())
    np.testing.assert_array_equal(layer.grads["weight"], W)
