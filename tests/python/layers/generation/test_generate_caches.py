"""Generation with caches of every kind: the same tokens as without, or refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import heedful
from heedful import HeavyHitters, KVCache, QuestPages, SinksAndWindow
from heedful.layers import LanguageModel, MultiHeadAttention, Transformer, generate

PROMPTS = [[1, 2, 3, 4, 5, 6, 7], [3], [9, 8, 7]]
KINDS: dict[str, KVCache] = {
    "contiguous": KVCache(),
    "paged": KVCache(kind="paged", page_size=4),
    "float64": KVCache(dtype=np.float64),
    "sinks": KVCache(policy=SinksAndWindow(2, 100)),
    "heavy": KVCache(policy=HeavyHitters(50, 50)),
    "quest": KVCache(policy=QuestPages(20), page_size=4),
}
each_kind = pytest.mark.parametrize("kind", KINDS)


def language_model(**options: Any) -> LanguageModel:
    model = LanguageModel(23, 16, 4, 2, rate=0.0, num_kv_heads=2, rng=0, **options)
    for parameter in model.parameters().values():  # larger differences between the scores
        parameter *= 3
    return model


@each_kind
@pytest.mark.parametrize("positions", ["learned", "rotary", "sinusoidal"])
@pytest.mark.parametrize("num_beams", [1, 3])
def test_a_language_model_generates_what_it_does_without(
    kind: str, positions: str, num_beams: int
) -> None:
    model = language_model(positions=positions)
    expected = model.generate(PROMPTS, max_length=12, num_beams=num_beams, stop=4)
    found = generate(model, PROMPTS, max_length=12, num_beams=num_beams, stop=4, cache=KINDS[kind])
    assert [one.tolist() for one in found] == [one.tolist() for one in expected]
    assert not len(KINDS[kind].lengths)  # an example, which is not filled


@pytest.mark.parametrize("kind", ["contiguous", "paged", "sinks"])
@pytest.mark.parametrize(
    "options", [{"positions": "alibi"}, {"positions": "rotary", "window": 5}],
    ids=["alibi", "window"],
)  # fmt: skip
def test_alibi_and_windows_of_a_model(kind: str, options: dict[str, Any]) -> None:
    if kind == "sinks" and "window" in options:
        pytest.skip("sinks are seen beyond the window of the model")
    model = language_model(**options)
    expected = model.generate(PROMPTS, max_length=12)
    found = model.generate(PROMPTS, max_length=12, cache=KINDS[kind])
    assert [one.tolist() for one in found] == [one.tolist() for one in expected]


@each_kind
@pytest.mark.parametrize("num_beams", [1, 3])
def test_a_transformer_generates_what_it_does_without(kind: str, num_beams: int) -> None:
    model = Transformer(17, 19, 16, 4, 2, 32, 0.0, rng=0)
    options: dict[str, Any] = {"start": 1, "max_length": 12, "num_beams": num_beams}
    expected = model.generate(PROMPTS, **options)
    found = model.generate(PROMPTS, cache=KINDS[kind], **options)
    assert [one.tolist() for one in found] == [one.tolist() for one in expected]


def test_beams_share_the_pages_of_their_prompt() -> None:
    model = language_model(positions="rotary")
    steps: Any = model.generation_steps(KVCache(kind="paged", page_size=4))
    steps.start([np.arange(20) % 23] * 2)
    size = steps.caches[0].nbytes
    steps.reorder(np.array([0, 0, 0, 1, 1, 1]))
    assert steps.caches[0].nbytes == size
    assert steps.caches[0].page_table[:3, :5].tolist() == [[0, 1, 2, 3, 4]] * 3


@pytest.mark.parametrize("kind", ["contiguous", "paged", "sinks", "heavy", "quest", "int8"])
@pytest.mark.parametrize("rotary", [False, True])
def test_a_layer_reads_a_cache_of_any_kind(kind: str, rotary: bool) -> None:
    layer = MultiHeadAttention(16, 4, num_kv_heads=2, causal=True, rotary=rotary, rng=0)
    x = np.random.default_rng(0).standard_normal((3, 30, 16)).astype(np.float32)
    cache = KVCache(dtype="int8", kind="paged") if kind == "int8" else KINDS[kind].like()
    parts = [layer(x[:, a:b], cache=cache) for a, b in ((0, 9), (9, 10), (10, 11), (11, 30))]
    tolerance = 0.02 if kind == "int8" else 1e-5
    np.testing.assert_allclose(np.concatenate(parts, axis=1), layer(x), atol=tolerance)


def test_sinks_and_window_are_at_the_positions_of_the_cache() -> None:
    """What a text sees far from its beginning is what a short one sees."""
    layer = MultiHeadAttention(16, 4, causal=True, rotary=True, rng=0)
    x = np.random.default_rng(0).standard_normal((1, 60, 16)).astype(np.float32)
    cache = KVCache(policy=SinksAndWindow(sinks=3, window=10), page_size=4)
    parts = [layer(x[:, a:b], cache=cache) for a, b in ((0, 20), (20, 59), (59, 60))]
    long = np.concatenate(parts, axis=1)
    for place in range(60):
        seen = [j for j in range(place + 1) if j < 3 or j > place - 10]
        short = layer(x[:, seen])
        np.testing.assert_allclose(long[:, place], short[:, -1], atol=1e-5)


@pytest.mark.parametrize("cache", ["paged", KVCache], ids=["a word", "a class"])
def test_what_is_no_cache_is_refused(cache: Any) -> None:
    model = language_model()
    transformer = Transformer(17, 19, 16, 4, 2, 32, 0.0, rng=0)
    for call in (
        lambda: model.generate(PROMPTS, cache=cache),
        lambda: generate(model, PROMPTS, cache=cache),
        lambda: transformer.generate(PROMPTS, start=1, cache=cache),
    ):
        with pytest.raises(TypeError, match="cache must be a KVCache: got"):
            call()


def test_a_filled_cache_and_own_steps_are_refused() -> None:
    model, cache = language_model(), KVCache()
    cache.append(np.ones((1, 2, 1, 4)), np.ones((1, 2, 1, 4)))
    with pytest.raises(ValueError, match="cache must be empty, each layer gets one like it"):
        model.generate(PROMPTS, cache=cache)
    with pytest.raises(ValueError, match="cache needs a model that makes its own steps"):
        generate(model.generation_steps(), PROMPTS, cache=heedful.KVCache())


def test_a_cache_of_other_items_heads_or_depth_is_refused_and_unchanged() -> None:
    layer = MultiHeadAttention(16, 4, causal=True, rng=0)
    for kind in ("contiguous", "paged"):
        for shape in ((2, 4, 1, 4), (3, 2, 1, 4), (3, 4, 1, 5)):
            cache = KVCache(kind=kind)
            cache.append(np.ones(shape), np.ones(shape))
            with pytest.raises(ValueError, match=r"query must have shape|key must have shape"):
                layer(np.ones((3, 1, 16)), cache=cache)
            assert cache.lengths.tolist() == [1] * shape[0]
