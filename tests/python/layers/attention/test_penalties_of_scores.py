"""Penalties of additive and relative attention, and gradients with them and with noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from penalty_reference import value as penalty_of
from scored_layers import MEMORY, X, additive_attention, relative_attention, scores_of

from heedful.testing import gradcheck

Array = NDArray[Any]

KINDS = ["l2", "entropy", "negative_entropy", "scores_l1", "scores_l2", "z"]


@pytest.mark.parametrize(
    "options", [{"gumbel_temperature": 0.7}, {"key_dropout": 0.3}, {"head_dropout": 0.5},
                {"penalties": {"entropy": [0.3, 0.1], "scores_l2": 0.2, "z": 0.1}}],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("kind", [relative_attention, additive_attention])
def test_gradients_are_those_of_differences(kind: Any, options: dict[str, Any]) -> None:
    if kind is additive_attention:
        if "head_dropout" in options:
            return
        options = {**options, "penalties": {"entropy": 0.3, "scores_l2": 0.2, "z": 0.1}}
    layer = kind(**options)
    names = list(layer.parameters())

    def run(x: Array, memory: Array, *arrays: Array) -> tuple[Any, Callable[..., Any]]:
        for name, array in zip(names, arrays, strict=True):
            layer.parameters()[name][...] = array
        y, backward = layer.forward(x, memory, rng=7)
        penalty = np.array(getattr(layer, "attention_penalty", 0.0) if layer.penalties else 0.0)

        def pullback(dy: Array, dpenalty: Array) -> list[Array]:
            layer.zero_grad()
            gradients = backward(dy / dpenalty)  # a penalty's own factor is 1
            every = [*gradients, *(layer.grads[name] for name in names)]
            return [gradient * dpenalty for gradient in every]

        return (y, penalty), pullback

    arrays = [array.copy() for array in layer.parameters().values()]
    gradcheck(run, X, MEMORY, *arrays, samples=40)


@pytest.mark.parametrize("kind", KINDS)
def test_penalties_are_those_of_the_scores_that_are_computed(kind: str) -> None:
    for layer, weights in (
        (additive_attention(penalties={kind: 0.3}), 1),
        (relative_attention(penalties={kind: 0.3}), 2),
    ):
        y, _ = layer.forward(X, MEMORY)
        layer.penalties, scores = None, scores_of(layer)
        np.testing.assert_array_equal(y, layer(X, MEMORY))
        nothing = np.zeros((3, weights, 9, 1)), np.zeros((3, weights, scores.shape[-1], 1))
        visible = np.isfinite(scores)
        layer.penalties = {kind: 0.3}
        layer.forward(X, MEMORY)
        expected = penalty_of(kind, *nothing, bias=np.where(visible, scores, 0), mask=visible)
        assert layer.attention_penalty == pytest.approx(0.3 * expected, rel=1e-10)
