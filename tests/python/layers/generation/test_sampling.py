"""Tokens that are drawn without sorting the vocabulary, against sorting it in plain Python."""

from __future__ import annotations

import math

import numpy as np
import pytest

from heedful.layers.generation import _sampling
from heedful.layers.generation._ranking import highest
from heedful.layers.generation._sampling import Sampler

VOCABULARY = 20_011
LOGITS = {
    "peaked": lambda rng, shape: 5 * rng.standard_normal(shape),
    "flat": lambda rng, shape: 0.1 * rng.standard_normal(shape),
    "tied": lambda rng, shape: rng.integers(0, 4, shape),
    "few values": lambda rng, shape: rng.integers(0, 400, shape) / 20,
    "equal": lambda rng, shape: np.zeros(shape),
    "mostly impossible": lambda rng, shape: np.where(rng.random(shape) < 0.99, -np.inf, 1.0),
}


def ranked(row: np.ndarray) -> list[int]:
    """All indices by descending value, equal ones by index."""
    return sorted(range(len(row)), key=lambda token: (-row[token], token))


def draw(
    row: np.ndarray, temperature: float, top_k: int | None, top_p: float | None, uniform: float
) -> int:
    """The token where the probabilities of the ranked tokens that are left pass `uniform`."""
    order = ranked(row)[:top_k]
    weights = [math.exp((row[token] - row[order[0]]) / temperature) for token in order]
    total = math.fsum(weights)
    kept: list[float] = []
    for weight in weights:
        if top_p is not None and math.fsum(kept) >= top_p * total:
            break
        kept.append(weight)
    wanted, reached = uniform * math.fsum(kept), 0.0
    for token, weight in zip(order, kept, strict=False):
        reached += weight
        if reached > wanted:
            return token
    raise AssertionError("unreachable: the whole is above the wanted part of it")


@pytest.mark.parametrize("kind", LOGITS)
@pytest.mark.parametrize(
    ("top_k", "top_p"),
    [(None, None), (1, None), (50, None), (10**9, None), (50, 0.5), (None, 0.01), (None, 0.9)],
)
def test_draws_are_those_from_a_sorted_vocabulary(
    kind: str, top_k: int | None, top_p: float | None
) -> None:
    rng = np.random.default_rng(5)
    scores = LOGITS[kind](rng, (3, VOCABULARY)).astype(np.float32)
    if top_p is not None and top_k is None:
        scores = scores[:, :2003]  # the reference sums again for every token
    sampler = Sampler(0.7, top_k, top_p, np.random.default_rng(11))
    uniforms = np.random.default_rng(11)
    for _ in range(3):
        tokens = sampler(scores, np.arange(3))
        expected = [
            draw(row.astype(float), 0.7, top_k, top_p, uniform)
            for row, uniform in zip(scores, uniforms.random(3), strict=True)
        ]
        assert tokens.tolist() == expected


@pytest.mark.parametrize("few", [1, 2, 40, 10**9])
@pytest.mark.parametrize("top_p", [None, 0.3, 0.95])
def test_how_many_tokens_are_ranked_first_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, few: int, top_p: float | None
) -> None:
    scores = LOGITS["few values"](np.random.default_rng(6), (5, 1009)).astype(np.float32)
    expected = Sampler(1.3, None, top_p, np.random.default_rng(12))(scores, np.arange(5))
    monkeypatch.setattr(_sampling, "FEW", few)
    found = Sampler(1.3, None, top_p, np.random.default_rng(12))(scores, np.arange(5))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", LOGITS)
@pytest.mark.parametrize("count", [1, 2, 17, 96, 97, 200])
def test_the_highest_are_in_order_and_equal_ones_by_index(kind: str, count: int) -> None:
    values = LOGITS[kind](np.random.default_rng(7), (4, 97)).astype(float)
    expected = [ranked(row)[:count] for row in values]
    np.testing.assert_array_equal(highest(values, count), expected)
