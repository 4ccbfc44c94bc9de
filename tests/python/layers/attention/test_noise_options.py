"""Options of noise and penalties of additive and relative attention, and of a model of it."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from scored_layers import X, additive_attention, relative_attention

from heedful import layers as L
from heedful.explain import watch

DRAW = np.random.default_rng(6)


def segment_recurrent(**options: Any) -> L.SegmentRecurrentLM:
    return L.SegmentRecurrentLM(11, 8, 2, 2, 16, 4, 0.0, rng=0, **options)


def test_a_model_passes_its_options_on_and_its_penalty_is_the_sum() -> None:
    options: dict[str, Any] = {"key_dropout": 0.1, "head_dropout": 0.2, "gumbel_temperature": 0.5}
    model = segment_recurrent(**options, hard=True)
    for layer in model.layers:
        assert {name: getattr(layer.self_attn, name) for name in options} == options
        assert layer.self_attn.hard
    tokens = DRAW.integers(0, 11, (2, 7))
    logits, backward = model.forward(tokens, rng=1)
    backward(np.ones_like(logits))
    assert all(np.isfinite(gradient).all() for gradient in model.grads.values())
    model = segment_recurrent(penalties={"entropy": 0.3})
    model.forward(tokens)
    total = 0.0
    with watch(model) as seen:
        model(tokens)
    for weights in seen.weights:
        total += 0.3 * -(weights * np.log(np.where(weights > 0, weights, 1))).sum(-1).mean()
    assert model.attention_penalty == pytest.approx(total, rel=1e-5)
    with pytest.raises(TypeError, match=r"got an unexpected keyword argument 'top_k'"):
        segment_recurrent(top_k=3)


def test_they_are_shown_and_kept_by_a_pickle() -> None:
    noise = {"key_dropout": 0.25, "gumbel_temperature": 0.5, "hard": True}
    for layer in (additive_attention(**noise), relative_attention(**noise, head_dropout=0.125)):
        assert "gumbel_temperature=0.5, hard=True" in repr(layer)
        again = pickle.loads(pickle.dumps(layer))
        assert repr(again) == repr(layer)
    for penalised in (
        additive_attention(penalties={"l2": 0.5}),
        relative_attention(penalties={"l2": 0.5}),
    ):
        assert "penalties={'l2': 0.5}" in repr(penalised)
        assert pickle.loads(pickle.dumps(penalised)).penalties == {"l2": 0.5}
    old = relative_attention()
    for name in ("key_dropout", "head_dropout", "gumbel_temperature", "hard", "_penalties"):
        vars(old).pop(name, None)
    y, _ = old.forward(X, rng=1)
    np.testing.assert_array_equal(y, relative_attention()(X))


@pytest.mark.parametrize("make", [additive_attention, relative_attention])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hard": True}, "hard must be False without a gumbel_temperature: got True"),
        ({"key_dropout": 1.0}, "key_dropout must lie in "),
        ({"gumbel_temperature": 0.0}, "gumbel_temperature must be finite and above 0"),
        ({"penalties": {"l1": 1.0}}, "penalties must not be 'l1'"),
        ({"penalties": {"l2": [0.1, 0.2, 0.3]}}, r"penalties\['l2'\] must be a number or have"),
        ({"penalties": {"l2": 0.1}, "gumbel_temperature": 1.0, "hard": True},
         "penalties must be None with hard"),
    ],
)  # fmt: skip
def test_what_has_no_meaning_is_refused(make: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_a_sink_goes_with_neither_choices_nor_penalties() -> None:
    with pytest.raises(ValueError, match="hard must be False with sink=True"):
        additive_attention(sink=True, hard=True, gumbel_temperature=1.0)
    with pytest.raises(ValueError, match="penalties must be None with sink"):
        additive_attention(sink=True, penalties={"l2": 0.1})
