"""watch: generation, training, threads, nesting, gradients of weights, and what it refuses."""

from __future__ import annotations

import threading
import weakref
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from heedful import KVCache, SinksAndWindow
from heedful import layers as L
from heedful.explain import watch
from heedful.integrations.sentences import SentenceEncoder

Array = NDArray[Any]
pytestmark = pytest.mark.once
F64: dict[str, Any] = {"dtype": np.float64, "rng": 3}
X = np.random.default_rng(1).standard_normal((2, 7, 12))
PROMPTS = [[1, 2, 3], [4, 5], [6]]


def language_model(**options: Any) -> L.LanguageModel:
    model = L.LanguageModel(20, 12, 2, 2, 16, 32, 0.0, **options, **F64)
    model.projection.weight = np.random.default_rng(0).standard_normal((20, 12))
    return model


@pytest.mark.parametrize("cache", [None, KVCache(kind="paged"), KVCache(dtype="float64")])
@pytest.mark.parametrize("positions", ["rotary", "alibi", "learned"])
def test_a_text_put_together_from_cached_steps_is_the_text_at_once(
    positions: str, cache: Any
) -> None:
    model = language_model(positions=positions)
    with watch(model) as seen:
        texts = model.generate(PROMPTS, max_length=5, stop=[7, 11], cache=cache)
    for item, text in enumerate(texts):
        _, (_, expected) = model([text], return_weights=True)
        found = seen.text("encoder.layers.1.self_attn", item)
        read = found.shape[1]
        assert read == len(text) - (len(text) == len(PROMPTS[item]) + 5)  # no step reads the last
        np.testing.assert_allclose(found, expected[0, :, :read, :read], atol=1e-12)


def test_a_prompt_that_ended_leaves_the_texts_of_the_others_alone() -> None:
    model = language_model()
    first = model.generate(PROMPTS, max_length=3)
    stop = int(first[0][len(PROMPTS[0])])  # the first prompt ends at once
    with watch(model, "encoder.layers.0") as seen:
        texts = model.generate(PROMPTS, max_length=6, stop=stop)
    assert len(texts[0]) == 3
    assert [call.items.tolist() for call in seen.calls][-1] != [0, 1, 2]
    for item in (0, 1, 2):
        _, (expected, _) = model([texts[item]], return_weights=True)
        found = seen.text("encoder.layers.0.self_attn", item)
        read = found.shape[1]
        np.testing.assert_allclose(found, expected[0, :, :read, :read], atol=1e-12)


def test_a_translation_shows_where_each_letter_was_read() -> None:
    model = L.Transformer(9, 12, 8, 2, 2, 16, 0.0, padding_idx=0, **F64)
    model.projection.weight = np.random.default_rng(2).standard_normal((12, 8))
    sources = [[1, 2, 3, 4], [5, 6]]
    with watch(model, "decoder") as seen:
        targets = model.generate(sources, start=1, max_length=5)
    for item, source in enumerate(sources):
        with watch(model, "decoder") as at_once:
            model([source], [[1, *targets[item][:-1]]])
        for name in at_once:
            np.testing.assert_allclose(seen.text(name, item), at_once[name][0], atol=1e-12)


def test_rows_of_a_generation_are_positions_in_the_text() -> None:
    model = language_model()
    with (
        watch(model, "*1.self_attn", rows=[2, 4]) as seen,
        watch(model, average_heads=True) as all_,
    ):
        text = model.generate([PROMPTS[0]], max_length=4)[0]
    _, (_, expected) = model([text], return_weights=True)
    assert [call.rows.tolist() for call in seen.calls] == [[[2]], [[4]]]
    name = "encoder.layers.1.self_attn"
    np.testing.assert_allclose(seen.text(name), expected[0][:, [2, 4], :5], atol=1e-12)
    means = all_.text(name)
    np.testing.assert_allclose(means, expected[0].mean(0)[None, : means.shape[1], :6], atol=1e-12)


def test_a_segment_recurrent_model_is_watched_while_it_generates() -> None:
    model = L.SegmentRecurrentLM(20, 12, 3, 2, 16, 8, **F64)
    with watch(model) as seen:
        model.generate([[1, 2, 3], [4, 5]], max_length=3)
    assert all(np.allclose(weights.sum(-1), 1) for weights in seen.weights)
    assert [call.items.tolist() for call in seen.of("layers.0.self_attn")][:3] == [[0], [1], [0, 1]]


def test_weights_of_a_span_with_a_cache_are_those_at_once() -> None:
    model = language_model(adaptive_span=4, span_ramp=2.0)
    for layer in model.encoder.layers:
        layer.self_attn.span[...] = [0.2, 0.8]
    with watch(model) as seen:
        text = model.generate([PROMPTS[0], PROMPTS[1]], max_length=4)[1]
    _, (_, expected) = model([text], return_weights=True)
    found = seen.text("encoder.layers.1.self_attn", 1)
    np.testing.assert_allclose(found, expected[0, :, :5, :5], atol=1e-12)


def test_threads_see_their_own_calls_alone() -> None:
    model, found = L.Encoder(1, 12, 4, 16, **F64), {}
    barrier = threading.Barrier(3)

    def run(index: int) -> None:
        with watch(model) as seen:
            barrier.wait()
            for _ in range(index + 1):
                model(X + index)
            barrier.wait()
        found[index] = seen

    threads = [threading.Thread(target=run, args=(index,)) for index in (0, 1)]
    with watch(model) as outer:
        for thread in threads:
            thread.start()
        barrier.wait()
        barrier.wait()
        for thread in threads:
            thread.join()
    assert not outer.calls
    for index in (0, 1):
        _, expected = model(X + index, return_weights=True)
        assert len(found[index].calls) == index + 1
        np.testing.assert_array_equal(found[index].weights[0], expected[0])


def test_several_may_be_active_and_end_in_any_order() -> None:
    model = L.Encoder(2, 12, 4, 16, **F64)
    first, second = watch(model), watch(model, "layers.1")
    first.begin()
    second.begin()
    model(X)
    first.end()
    model(X)
    second.end()
    model(X)
    assert len(first.calls) == 2
    assert [call.name for call in second.calls] == ["layers.1.self_attn"] * 2
    with first, pytest.raises(RuntimeError, match="watch is active already: make another one"):
        first.begin()
    with watch(model) as third, pytest.raises(ValueError, match="x must have 12 elements"):
        model(X[..., 1:])
    model(X)
    assert not third.calls


def test_the_gradient_of_weights_is_that_of_the_loss() -> None:
    """Against central differences of a bias that moves one weight: dw = w (δ − w) db."""
    model = L.Encoder(1, 12, 4, 16, 0.0, num_kv_heads=2, **F64)
    ahead = np.random.default_rng(0).standard_normal(X.shape)
    with (
        watch(model, gradients=True) as seen,
        watch(model, rows=[3], heads=[2], gradients=True) as one,
    ):
        _, backward = model.forward(X)
    backward(ahead)
    call = seen.calls[0]
    assert call.gradient is not None
    weights, gradient = call.weights, call.gradient
    dscores = weights * (gradient - (weights * gradient).sum(-1, keepdims=True))
    step = 1e-6
    for item, head, query, key in [(0, 1, 2, 3), (1, 3, 6, 0)]:
        bias = np.zeros((2, 4, 7, 7))
        bias[item, head, query, key] = step
        up, down = ((model(X, bias=sign * bias) * ahead).sum() for sign in (1, -1))
        assert (up - down) / (2 * step) == pytest.approx(dscores[item, head, query, key], rel=1e-5)
    np.testing.assert_allclose(one.calls[0].gradient, gradient[:, 2:3, 3:4])


@pytest.mark.parametrize(
    "model",
    [L.AdditiveAttention(12, 5, **F64), L.AttentionPooling(12, num_queries=2, **F64),
     L.FeatureAttention(12, **F64), L.SegmentRecurrentLM(20, 12, 3, 1, 16, 8, 0.0, **F64)],
    ids=lambda model: type(model).__name__,
)  # fmt: skip
def test_gradients_of_other_layers_weights_have_their_shape(model: Any) -> None:
    tokens = isinstance(model, L.SegmentRecurrentLM)
    with watch(model, gradients=True) as seen:
        y, backward = model.forward(np.array([[1, 2, 3]]) if tokens else X)
    backward(np.ones_like(y))
    (call,) = seen.calls
    assert call.gradient is not None
    assert call.gradient.shape == call.weights.shape


def test_what_was_watched_is_let_go_of() -> None:
    model = L.Encoder(1, 12, 4, 16, **F64)
    with watch(model, gradients=True) as seen:
        _, backward = model.forward(X)
    kept = weakref.ref(seen)
    del seen, backward
    assert kept() is None


def test_layers_are_chosen_by_patterns() -> None:
    model = L.EncoderDecoder(12, 4, 1, 2, 16, **F64)
    chosen = {
        "*": ["encoder.layers.0.self_attn", "decoder.layers.0.self_attn",
              "decoder.layers.0.multihead_attn", "decoder.layers.1.self_attn",
              "decoder.layers.1.multihead_attn"],
        "decoder.*.multihead_attn": ["decoder.layers.0.multihead_attn",
                                     "decoder.layers.1.multihead_attn"],
        "decoder.layers.1": ["decoder.layers.1.self_attn", "decoder.layers.1.multihead_attn"],
        "encoder.layers.0.self_attn": ["encoder.layers.0.self_attn"],
    }  # fmt: skip
    for pattern, names in chosen.items():
        with watch(model, pattern) as seen:
            model(X, X)
        assert list(seen) == names
    heads = {"encoder.*": 0, "decoder.layers.1.*": [1, 2]}
    with watch(model, ["encoder", "decoder.layers.1.*"], heads=heads) as seen:
        model(X, X)
    assert [weights.shape[1] for weights in seen.weights] == [1, 2, 2]


def test_what_does_not_exist_is_named_in_one_sentence() -> None:
    model = L.Encoder(1, 12, 4, 16, **F64)
    refused = [
        ({"layers": "decoder.*"}, ValueError, ("layers must match attention layers of the model, "
         "which are 'layers.0.self_attn': got 'decoder.*'")),
        ({"layers": 3}, TypeError, ("layers must be a pattern of dotted names, such as "
         "'encoder.*', or several: got 3")),
        ({"heads": 4}, ValueError, "heads must lie between 0 and 3 in 'layers.0.self_attn': got 4"),
        ({"heads": []}, ValueError, "heads must be at least one, or None for all: got none"),
        ({"heads": {"x": 1}}, ValueError, ("heads must be of layers among 'layers.0.self_attn': "
         "got 'x'")),
        ({"rows": []}, ValueError,
         "rows must be at least one position in one axis: got shape (0,)"),
        ({"average_heads": 2}, TypeError, "average_heads must be True or False: got 2"),
    ]  # fmt: skip
    for options, kind, message in refused:
        with pytest.raises(kind) as raised:
            watch(model, **options)
        assert str(raised.value) == message
    with pytest.raises(ValueError, match="model must have attention layers: Linear has none"):
        watch(L.Linear(3, 3))
    with pytest.raises(TypeError, match="model must be a layer, or have one as its `model`: got 3"):
        watch(3)
    with watch(model, rows=7), pytest.raises(IndexError) as wrong:
        model(X)
    assert str(wrong.value) == ("rows must lie between -7 and 6 in 'layers.0.self_attn': got 7")
    with watch(model) as seen, pytest.raises(KeyError, match="was not computed while it was"):
        seen["layers.0.self_attn"]
    with pytest.raises(KeyError, match="'other' is not watched: watched are"):
        seen["other"]


def test_a_cache_that_drops_keys_cannot_be_watched() -> None:
    model = language_model()
    cache = KVCache(policy=SinksAndWindow(1, 3))
    with watch(model), pytest.raises(ValueError, match="watch needs caches that keep all keys"):
        model.generate(PROMPTS, max_length=3, cache=cache)
    linear = language_model(mixer="linear")
    with watch(linear), pytest.raises(ValueError, match="watch needs keys, which the state of a"):
        linear.generate(PROMPTS, max_length=3)


def test_a_copy_and_an_equal_layer_are_not_watched() -> None:
    model, other = L.Encoder(1, 12, 4, 16, **F64), L.Encoder(1, 12, 4, 16, **F64)
    with watch(model) as seen:
        other(X)
    assert not seen.calls
    assert seen is not watch(model)


def test_a_sentence_encoder_is_watched_by_the_names_of_its_model() -> None:
    encoder = SentenceEncoder.__new__(SentenceEncoder)
    encoder.model = L.BertEncoder(10, 12, 3, 2, 16, max_length=9, **F64)
    with watch(encoder, "encoder.layers.1") as seen:
        encoder.model([[1, 2]])
    assert list(seen) == ["encoder.layers.1.self_attn"]
