"""Caches of layers: what fails, by whatever, leaves them as they were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import heedful
from heedful import layers as L

X = np.random.default_rng(0).standard_normal((3, 5, 6)).astype(np.float32)
ROW = X[:, :1]
MASK = np.ones((2, 9), bool)  # fits no call


def content(caches: Any) -> list[Any]:
    if isinstance(caches, heedful.KVCache):
        filled = repr(caches) != "KVCache(empty)"
        rows = [caches.key.tolist(), caches.value.tolist()] if filled else []
        return [caches.lengths.tolist(), *rows]
    return [content(one) for one in caches]


def language_model() -> L.LanguageModel:
    return L.LanguageModel(11, 6, 2, 3, rate=0.0, rng=0)


def decoder() -> L.Decoder:
    return L.Decoder(3, 6, 2, 13, 0.0, rng=0)


def fails(*_: Any, **__: Any) -> Any:
    raise KeyboardInterrupt


@pytest.mark.parametrize("filled", [False, True])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask": MASK}, "mask"),
        ({"bias": MASK * 1.0}, "bias"),
        ({"q_lengths": [1, 9, 1]}, "q_lengths"),
        ({"window": (-1, 0)}, "window"),
        ({"kv_lengths": [1, 9, 1]}, "lengths"),
    ],
)
def test_a_wrong_option_of_a_layer(options: dict[str, Any], message: str, filled: bool) -> None:
    for layer in (L.MultiHeadAttention(6, 2, rng=0), L.EncoderLayer(6, 2, 13, 0.0, rng=0)):
        cache = heedful.KVCache()
        if filled:
            layer(X, cache=cache)
        before = content(cache)
        with pytest.raises((ValueError, TypeError), match=message):
            layer(ROW, cache=cache, **options)
        assert content(cache) == before


@pytest.mark.parametrize("filled", [False, True])
def test_a_model_that_fails_in_its_last_layer(
    monkeypatch: pytest.MonkeyPatch, filled: bool
) -> None:
    model = language_model()
    caches = model.new_caches()
    tokens = [[1, 2, 3], [4, 5, 6]]
    if filled:
        model(tokens, caches=caches)
    before = content(caches)
    with monkeypatch.context() as patch:
        for broken in (model.encoder.layers[-1].linear2, model.projection):
            patch.setattr(type(broken), "compute", interrupted(broken))
            with pytest.raises(KeyboardInterrupt):
                model(tokens, caches=caches)
            assert content(caches) == before
    # the next try is right
    whole = language_model()(np.concatenate([tokens, tokens], 1) if filled else tokens)
    np.testing.assert_allclose(model(tokens, caches=caches), whole[:, -3:], atol=1e-5)


def interrupted(broken: L.Layer) -> Callable[..., Any]:
    """compute of this layer's class, which fails for this layer."""
    compute = type(broken).compute

    def run(self: L.Layer, *arguments: Any, **options: Any) -> Any:
        return fails() if self is broken else compute(self, *arguments, **options)

    return run


@pytest.mark.parametrize("filled", [False, True])
def test_a_decoder_that_fails(monkeypatch: pytest.MonkeyPatch, filled: bool) -> None:
    model = decoder()
    caches, memory = model.new_caches(), X
    if filled:
        model(X, memory, caches=caches)
    before = content(caches)
    broken = model.layers[-1].linear2
    with monkeypatch.context() as patch:
        patch.setattr(type(broken), "compute", interrupted(broken))
        with pytest.raises(KeyboardInterrupt):
            model(ROW, memory, caches=caches)
    assert content(caches) == before
    with pytest.raises(ValueError, match="memory_mask"):
        model(ROW, memory, caches=caches, memory_mask=MASK)
    assert content(caches) == before


def test_items_must_be_those_of_the_cache() -> None:
    layer, cache = L.MultiHeadAttention(6, 2, rng=0), heedful.KVCache()
    layer(X, cache=cache)
    before = content(cache)
    for wrong in (ROW[:2], ROW[0], X[None]):
        with pytest.raises(ValueError, match=r"query must have shape \(3, L, 6\) with this cache"):
            layer(wrong, cache=cache)
    assert content(cache) == before
    with pytest.raises(ValueError, match=r"query must have shape \(B, L, 6\) with this cache"):
        layer(ROW[0], cache=heedful.KVCache())


@pytest.mark.parametrize("copied", ["copy", "deepcopy"])
def test_a_prefix_is_read_once_for_several_continuations(copied: str) -> None:
    import copy

    model = language_model()
    prefix = model.new_caches()
    model([[1, 2, 3]], caches=prefix)
    for ending in ([4, 5], [6, 7], [8, 9]):
        caches = [getattr(copy, copied)(cache) for cache in prefix]
        found = [model([[token]], caches=caches)[0, 0] for token in ending]
        expected = model([[1, 2, 3, *ending]])[0, 3:]
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_layer_of_float64_fills_a_cache_of_float64() -> None:
    layer, cache = L.MultiHeadAttention(6, 2, dtype="float64", rng=0), heedful.KVCache()
    layer(X, cache=cache)
    assert cache.key.dtype == np.float64
    whole = layer(np.concatenate([X, ROW], 1), causal=True)
    np.testing.assert_allclose(layer(ROW, cache=cache, causal=True), whole[:, 5:], atol=1e-12)


def test_memory_of_segments_is_checked() -> None:
    model = L.SegmentRecurrentLM(11, 6, 2, 2, memory_length=4, rng=0)
    _, memory = model([[1, 2, 3]], return_memory=True)
    kept = [one.copy() for one in memory]
    logits, after = model([[4, 5, 6]], memory=memory, return_memory=True)
    for one, before in zip(memory, kept, strict=True):
        np.testing.assert_array_equal(one, before)
    assert [one.dtype for one in after] == [np.float32, np.float32]
    # inputs of another type are converted to the layer's type from here on
    wide = [one.astype(float).tolist() for one in memory]
    logits_of_lists, after = model([[4, 5, 6]], memory=wide, return_memory=True)
    np.testing.assert_array_equal(logits, logits_of_lists)
    assert [one.dtype for one in after] == [np.float32, np.float32]
    masked = np.ma.masked_array(memory[1], mask=True)
    for wrong, kind, message in (
        ([memory[0], masked], TypeError, r"memory\[1\] must be a plain array"),
        ([memory[0], memory[1][0]], ValueError, r"memory must have shape \(1, M, 6\)"),
        ([memory[0], memory[1].astype(complex)], TypeError, r"memory\[1\] must hold real numbers"),
        ([memory[0]], ValueError, "memory must have one for each of 2 layers"),
    ):
        with pytest.raises(kind, match=message):
            model([[4, 5, 6]], memory=wrong, return_memory=True)


@pytest.mark.parametrize("kind", ["LanguageModel", "Transformer"])
def test_all_caches_of_a_model_are_reordered_or_none(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    from heedful.layers.models._language_model import LanguageSteps
    from heedful.layers.models._transformer import TransformerSteps

    prompts = [np.array([1, 2]), np.array([3, 4])]
    steps: Any = LanguageSteps(language_model())
    if kind == "Transformer":
        model = L.Transformer(11, 11, 6, 2, 2, 13, 0.0, rng=0)
        steps = TransformerSteps(model, np.array([[1, 2, 3], [4, 5, 6]]), np.array([3, 2]), 9)
    steps.start(prompts)
    before, reorder, calls = content(steps.caches), heedful.KVCache.reorder, []

    def fails_at_last(self: heedful.KVCache, items: Any) -> None:
        calls.append(self)
        if len(calls) == 3:
            raise MemoryError
        reorder(self, items)

    with monkeypatch.context() as patch:
        patch.setattr(heedful.KVCache, "reorder", fails_at_last)
        with pytest.raises(MemoryError):
            steps.reorder(np.array([1]))
    assert content(steps.caches) == before
    assert steps.step(np.array([5, 6])).shape == (2, 11)
    steps.reorder(np.array([1]))
    assert steps.step(np.array([5])).shape == (1, 11)
