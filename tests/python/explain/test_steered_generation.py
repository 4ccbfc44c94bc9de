"""steer of models that generate: positions are those of the whole text, with any cache."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from heedful import KVCache
from heedful import layers as L
from heedful.explain import steer, watch

Array = NDArray[Any]
pytestmark = pytest.mark.once
F64: dict[str, Any] = {"dtype": np.float64, "rng": 3}
DRAW = np.random.default_rng(1)
PROMPTS = [[1, 2, 3], [4, 5], [6]]


def language_model() -> L.LanguageModel:
    model = L.LanguageModel(20, 12, 2, 2, 16, 32, 0.0, **F64)
    model.projection.weight = np.random.default_rng(0).standard_normal((20, 12))
    return model


@pytest.mark.parametrize("kind", [None, "paged"])
@pytest.mark.parametrize("shape", [(9,), (9, 9), (1, 2, 9, 9), (3, 1, 1, 9), (3, 2, 9, 9)])
def test_a_bias_of_a_generation_is_over_positions_of_the_whole_text(
    shape: tuple[int, ...], kind: str | None
) -> None:
    """Weights of the last layer are those of one call without a cache, with its text's bias."""
    model, bias = language_model(), DRAW.standard_normal(shape)
    for layer in model.encoder.layers:
        layer.self_attn.out_proj.weight *= 30  # so that the first layer matters to the second
    cache = None if kind is None else KVCache(kind="paged")
    with steer(model, bias=bias), watch(model) as seen:
        texts = model.generate(PROMPTS, max_length=8, cache=cache, stop=[3, 8, 15])
    assert len({len(text) for text in texts}) > 1
    for item, text in enumerate(texts):
        found = seen.text("encoder.layers.1.self_attn", item)
        own = bias[item : item + 1] if bias.ndim == 4 and len(bias) == 3 else bias
        rows = (len(text) if bias.ndim > 1 and bias.shape[-2] > 1 else 1,)
        placed = np.zeros((*own.shape[:-2], *rows, len(text)) if bias.ndim > 1 else len(text))
        if bias.ndim > 1:
            placed[..., : own.shape[-2], :9] = own[..., : len(text), : len(text)]
        else:
            placed[:9] = own[: len(text)]
        with steer(model, bias=placed), watch(model) as at_once:
            model([text])
        read = found.shape[1]
        expected = at_once["encoder.layers.1.self_attn"][0, :, :read, :read]
        np.testing.assert_allclose(found, expected, atol=1e-12)
        _, (_, without) = model([text], return_weights=True)
        assert read < 2 or np.abs(without[0, :, :read, :read] - found).max() > 0.05


def test_a_bias_of_a_translation_is_of_positions_in_target_and_source() -> None:
    model = L.Transformer(9, 12, 8, 2, 2, 16, 0.0, padding_idx=0, **F64)
    model.projection.weight = np.random.default_rng(2).standard_normal((12, 8))
    where, sources = "decoder.*.multihead_attn", [[1, 2, 3, 4], [5, 6, 7]]
    diagonal = np.full((9, 4), -20.0)
    diagonal[np.arange(9), np.arange(9) % 4] = 0
    with steer(model, bias=diagonal, where=where), watch(model, where) as seen:
        targets = model.generate(sources, start=1, max_length=7, num_beams=2)
        targets = model.generate(sources, start=1, max_length=7)
    weights = seen.text("decoder.layers.1.multihead_attn")
    assert (weights.argmax(-1) == np.arange(weights.shape[1]) % 4).all()
    with steer(model, bias=diagonal[: len(targets[0])], where=where):
        logits = model([sources[0]], [[1, *targets[0][:-1]]])
    np.testing.assert_array_equal(logits[0].argmax(-1), targets[0])


def test_a_mask_of_a_generation_hides_and_past_its_end_nothing() -> None:
    model, mask = language_model(), np.array([True, False, True])
    with steer(model, mask=mask), watch(model) as seen:
        model.generate([PROMPTS[0]], max_length=5)
    weights = seen.text("encoder.layers.0.self_attn")
    assert (weights[..., 1] == 0).all()
    assert (np.tril(weights)[:, :, [0, 2, 3, 4]][:, -1] > 0).all()


def test_items_of_a_bias_follow_their_prompts_in_a_beam_search() -> None:
    model, bias = language_model(), np.zeros((3, 1, 1, 3))
    bias[1, ..., 0] = 5.0
    with steer(model, bias=bias):
        together = model.generate(PROMPTS, max_length=5, num_beams=3, stop=[3, 8])
    for item, prompt in enumerate(PROMPTS):
        with steer(model, bias=bias[item : item + 1]):
            (alone,) = model.generate([prompt], max_length=5, num_beams=3, stop=[3, 8])
        np.testing.assert_array_equal(together[item], alone)
