"""The types that calls are declared to return are those that they return.

mypy reads this file: each `assert_type` states what a type checker finds. When the tests run, the
same line compares the value itself with the type.
"""

from __future__ import annotations

from types import UnionType
from typing import TYPE_CHECKING, Any, get_args, get_origin

import numpy as np
import pytest
from numpy.typing import NDArray

import heedful
from heedful import functional, layers, models, pruning, training

if TYPE_CHECKING:
    from typing_extensions import assert_type
else:

    def assert_type(value: object, kind: Any) -> object:
        assert conforms(value, kind), f"{type(value).__name__} is not {kind}"
        return value


pytestmark = pytest.mark.once

Array = NDArray[Any]
X = np.ones((2, 3, 4), np.float32)
ROWS = np.ones((2, 3), np.float32)
PACKED = np.ones((5, 1, 4), np.float32)
STARTS = [0, 2, 5]


def conforms(value: object, kind: Any) -> bool:
    """Whether a value is of a type as the assertions below write it."""
    origin, inner = get_origin(kind) or kind, get_args(kind)
    if kind is Any:
        return True
    if origin is UnionType:
        return any(conforms(value, one) for one in inner)
    if not isinstance(value, origin):
        return False
    if isinstance(value, tuple) and inner:
        return len(value) == len(inner) and all(map(conforms, value, inner))
    if isinstance(value, list):
        return all(conforms(item, inner[0]) for item in value)
    return True


def test_a_value_is_compared_with_the_type() -> None:
    """The comparison itself: a wrong declaration must be found."""
    assert conforms((X, X), tuple[Array, Array])
    assert not conforms((X, X), Array)
    assert not conforms((X, [X]), tuple[Array, Array])
    assert not conforms((X, X, X), tuple[Array, Array])
    assert conforms(None, Array | None)


def test_attention() -> None:
    assert_type(heedful.attention(X, X, X), Array)
    assert_type(heedful.attention(X, X, X, causal=True, window=(1, 0)), Array)
    assert_type(heedful.attention(X, X, X, return_lse=True), tuple[Array, Array])
    assert_type(heedful.attention(X, X, X, return_weights=True), tuple[Array, Array])
    both = heedful.attention(X, X, X, return_lse=True, return_weights=True)
    assert_type(both, tuple[Array, Array, Array])
    assert_type(heedful.attention(X, X, X, return_lse=bool(len(X))), Any)
    assert_type(heedful.attention_scores(X, X), Array)
    assert_type(heedful.attention_weights(X, X, causal=True), Array)


def test_attention_with_gradients() -> None:
    out, pullback = heedful.attention_vjp(X, X, X)
    assert_type(out, Array)
    gradients = pullback(X)
    assert_type(gradients, heedful.Gradients)
    assert_type(gradients.query, Array)
    assert_type(gradients.bias, Array | None)
    (out, lse), pullback = heedful.attention_vjp(X, X, X, return_lse=True)
    assert_type(lse, Array)
    results, _ = heedful.attention_vjp(X, X, X, return_lse=True, return_weights=True)
    assert_type(results, tuple[Array, Array, Array])
    assert_type(heedful.attention_backward(X, X, X, X, out, lse, causal=False), heedful.Gradients)


def test_other_functions_of_attention() -> None:
    assert_type(heedful.attention_varlen(PACKED, PACKED, PACKED, STARTS, STARTS), Array)
    found = heedful.attention_varlen(PACKED, PACKED, PACKED, STARTS, STARTS, return_lse=True)
    assert_type(found, tuple[Array, Array])
    packed, _ = heedful.attention_varlen_vjp(PACKED, PACKED, PACKED, STARTS, STARTS, causal=True)
    assert_type(packed, Array)
    assert_type(heedful.additive_attention(X, X, X, X[0, 0]), Array)
    additive = heedful.additive_attention(X, X, X, X[0, 0], return_weights=True)
    assert_type(additive, tuple[Array, Array])
    result, pull = heedful.additive_attention_vjp(X, X, X, X[0, 0], causal=True, return_lse=True)
    assert_type(result, tuple[Array, Array])
    assert_type(pull(X), heedful.AdditiveGradients)
    assert_type(heedful.multi_head_attention(X, X, X, 2, causal=True), Array)
    heads = heedful.multi_head_attention(X, X, X, 2, return_weights=True)
    assert_type(heads, tuple[Array, Array])
    assert_type(heedful.attention_pool(X, X[0, 0]), Array)
    assert_type(heedful.attention_pool(X, X[0, 0], return_weights=True), tuple[Array, Array])
    pooled, _ = heedful.attention_pool_vjp(X, X[0, 0], return_weights=True)
    assert_type(pooled, tuple[Array, Array])
    assert_type(heedful.merge_attention([X, X], [ROWS, ROWS]), tuple[Array, Array])
    assert_type(heedful.rotary_embedding(X), Array)
    penalty, _ = functional.attention_penalty(X, X, "entropy")
    assert_type(penalty, float)


def test_caches_and_pages() -> None:
    cache = heedful.KVCache()
    assert_type(cache.append(X[:, None], X[:, None]), Array)
    assert_type(cache.attend(X[:, None]), Array)
    assert_type(cache.attend(X[:, None], return_weights=True), tuple[Array, Array])
    pages, table, lengths = X[:, None], [[0], [1]], [3, 2]
    assert_type(heedful.attention_paged(X[:, None], pages, pages, table, lengths), Array)
    found = heedful.attention_paged(X[:, None], pages, pages, table, lengths, return_lse=True)
    assert_type(found, tuple[Array, Array])


def test_layers_return_arrays_and_hold_arrays() -> None:
    layer = layers.Linear(4, 2, rng=0)
    assert_type(layer, layers.Linear)
    assert_type(layer(X), Array)
    assert_type(layer(X, residual=np.zeros((2, 3, 2))), Array)
    assert_type(layer.weight, Array)
    assert_type(layer.bias, Array | None)
    assert_type(layers.Linear(4, 2, False).bias, Array | None)
    layer.weight = np.zeros((2, 4))
    assert_type(layer.parameters(), dict[str, Array])
    y, backward = layer.forward(X, rng=0)
    assert_type(y, Array)
    backward(y)
    assert_type(layers.LayerNorm(4)(X), Array)
    assert_type(layers.LayerNorm(4).weight, Array)
    assert_type(layers.Embedding(3, 2)([[0, 1]]), Array)
    assert_type(layers.GELU()(X), Array)
    assert_type(layers.Dropout(0.5)(X), Array)
    assert_type(layers.FeedForward(4, 8)(X), Array)
    assert_type(layers.GlobalAveragePooling()(X), Array)


def test_layers_of_attention_return_weights_beside_the_result() -> None:
    layer = layers.MultiHeadAttention(4, 2, rng=0)
    assert_type(layer, layers.MultiHeadAttention)
    assert_type(layer(X, causal=True), Array)
    assert_type(layer(X, return_weights=True), tuple[Array, Array])
    (y, weights), backward = layer.forward(X, return_weights=True)
    assert_type(y, Array)
    assert_type(weights, Array)
    backward(y, None)
    assert_type(layer.in_proj_weight, Array)
    assert_type(layer.out_proj, layers.Linear)
    additive = layers.AdditiveAttention(4, rng=0)
    assert_type(additive(X, X), Array)
    assert_type(additive(X, X, return_weights=True), tuple[Array, Array])
    assert_type(layers.AttentionPooling(4)(X, return_weights=True), tuple[Array, Array])
    assert_type(layers.FeatureAttention(4)(X[0], return_weights=True), tuple[Array, Array])
    assert_type(layers.RelativeAttention(4, 2)(X, return_weights=True), tuple[Array, Array])
    assert_type(layers.LinearAttention(4, 2)(X), Array)


def test_models_return_a_list_of_weights() -> None:
    model = layers.Encoder(2, 4, 2, 8, rng=0)
    assert_type(model(X), Array)
    assert_type(model(X, return_weights=True), tuple[Array, list[Array]])
    assert_type(model(X, hidden_states=True), tuple[Array, list[Array]])
    (_, weights), _ = model.forward(X, return_weights=True)
    assert_type(weights, list[Array])
    assert_type(model(X, return_weights=True, hidden_states=True), Any)
    (_, states), _ = model.forward(X, hidden_states=True)
    assert_type(states, list[Array])
    assert_type(model.forward(X, hidden_states=bool(len(X)))[0], Any)
    assert_type(model.forward(X, return_weights=True, hidden_states=True)[0], Any)
    language = layers.LanguageModel(5, 4, 2, 8, 1, max_length=8, rng=0)
    assert_type(language([[1, 2]]), Array)
    assert_type(language([[1, 2]], return_weights=True), tuple[Array, list[Array]])
    assert_type(layers.EncoderLayer(4, 2, 8)(X, causal=True), Array)


def test_encoders_return_their_pooled_vector_and_states() -> None:
    bert = layers.BertEncoder(5, 4, 2, 1, 8, max_length=8, pooler=True, rng=0)
    vision = models.VisionEncoder(4, 2, 1, 4, 2, 1, 8, pooler_size=4, rng=0)
    pixels, tokens = np.ones((2, 1, 4, 4)), [[1, 2]]
    assert_type(bert(tokens), Array)
    assert_type(bert(tokens, lengths=[2]), Array)
    assert_type(bert(tokens, pooled=True), tuple[Array, Array])
    assert_type(bert(tokens, hidden_states=True), tuple[Array, list[Array]])
    assert_type(bert(tokens, return_weights=True), tuple[Array, list[Array]])
    both = bert(tokens, pooled=True, hidden_states=True)
    assert_type(both, tuple[Array, Array, list[Array]])
    assert_type(bert(tokens, pooled=bool(tokens)), Any)
    assert_type(bert(tokens, pooled=True, return_weights=True), Any)
    assert_type(bert(tokens, hidden_states=True, return_weights=True), Any)
    assert_type(vision(pixels), Array)
    assert_type(vision(pixels, pooled=True), tuple[Array, Array])
    assert_type(vision(pixels, hidden_states=True), tuple[Array, list[Array]])
    assert_type(vision(pixels, return_weights=True), tuple[Array, list[Array]])
    assert_type(models.ImageClassification(vision, 3)(pixels), Array)


def test_models_return_their_memory_and_the_places_of_tokens() -> None:
    model = layers.SegmentRecurrentLM(5, 4, 2, 1, memory_length=2, rng=0)
    assert_type(model([[1, 2]]), Array)
    assert_type(model([[1, 2]], return_memory=True), tuple[Array, list[Array]])
    assert_type(model([[1, 2]], return_weights=True), tuple[Array, list[Array]])
    assert_type(model([[1, 2]], return_memory=True, return_weights=True), Any)
    encoder = layers.Encoder(2, 4, 2, 8, rng=0)
    merged = pruning.MergedEncoder(encoder, merge=1)
    assert_type(merged(X), Array)
    assert_type(merged(X, return_rows=True), tuple[Array, Array])
    assert_type(merged(X, return_weights=True), tuple[Array, list[Array]])
    assert_type(merged(X, return_rows=True, return_weights=True), Any)
    pruned = pruning.PrunedEncoder(encoder, keep=[2, 1])
    assert_type(pruned(X), Array)
    assert_type(pruned(X, return_positions=True), tuple[Array, Array])
    assert_type(pruned(X, return_weights=True), tuple[Array, list[Array]])
    assert_type(pruned(X, return_positions=True, return_weights=True), Any)


def test_recurrent_layers_return_their_states() -> None:
    assert_type(layers.GRU(4, 3)(X), Array)
    assert_type(layers.GRU(4, 3)(X, return_state=True), tuple[Array, Array])
    assert_type(layers.LSTM(4, 3)(X, return_state=True), tuple[Array, Array, Array])


class Doubled(layers.Layer):
    """A layer of a user, typed by its compute."""

    def compute(self, mode: layers.Mode, x: Any, times: float = 2.0) -> tuple[Array, Any]:
        y: Array = np.asarray(x) * times
        return y, lambda dy: dy * times


class Called(layers.Layer):
    """A layer of a user that has `call`, whose backward pass is derived."""

    def __init__(self) -> None:
        self.inner = layers.Linear(4, 2, rng=0)

    def call(self, x: Any) -> Any:
        return self.inner(x)


def test_layers_of_users_are_typed_by_what_they_write() -> None:
    assert_type(Doubled()(X, times=3.0), Array)
    assert_type(Called()(X), Any)
    assert_type(layers.Sequential(layers.Linear(4, 2))(X), Any)
    tokens = layers.Input((3, 4))
    layers.Model(tokens, layers.Linear(4, 2)(tokens))


def test_training() -> None:
    optimizer = training.Adam(lr=0.1)
    assert_type(optimizer, training.Adam)
    assert_type(optimizer.lr, float)
    loss, gradient = training.MeanSquaredError()(X, X)
    assert_type(loss, float)
    assert_type(gradient, Array)
    layer = layers.Linear(4, 1, rng=0)
    layer.compile(optimizer="adam", loss="mse")
    history = layer.fit(X[0], np.ones((3, 1)), verbose=False)
    assert_type(history, training.History)
    assert_type(history["loss"], list[float])
