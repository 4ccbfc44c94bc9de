"""Gumbel noise makes softmax's weights the frequencies of choices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import heedful
import reference

Array = NDArray[Any]


def draw(rng: np.random.Generator, shape: tuple[int, int, int, int], dtype: Any) -> list[Array]:
    items, heads, queries, keys = shape
    shapes = (items, heads, queries, 8), (items, heads, keys, 8), (items, heads, keys, 3)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


ROWS = (50, 8, 500)  # of queries with the same scores
SCORES = np.log([0.3, 0.2, 0.1, 0.1, 0.08, 0.07, 0.05, 0.04, 0.03, 0.02, 0.01])
CRITICAL = 29.588  # of χ² with ten degrees of freedom, exceeded once in a thousand times


def chosen(seed: int, temperature: float = 1e-6) -> Array:
    """How often each key is chosen."""
    query, key = np.zeros((*ROWS, 1), np.float32), np.zeros((*ROWS[:2], len(SCORES), 1), np.float32)
    weights = heedful.attention_weights(
        query, key, bias=SCORES, gumbel_temperature=temperature, rng=seed
    )
    assert weights.max(-1).mean() > 0.9999
    return np.bincount(weights.argmax(-1).ravel(), minlength=len(SCORES))


def chi_square(counts: Array, probabilities: Array) -> float:
    expected = counts.sum() * probabilities
    return float(((counts - expected) ** 2 / expected).sum())


@pytest.mark.parametrize("seed", [1, 2, 2**63 + 5])
def test_keys_are_chosen_as_often_as_softmax_weighs_them(seed: int) -> None:
    """200,000 choices. A frequency that is off by 2 % of itself, up and down in turns, adds 80 to a
    χ² of 10 on average, so that it is detected with a probability of 99.9 %: see the next test."""
    assert chi_square(chosen(seed), np.exp(SCORES)) < CRITICAL


@pytest.mark.parametrize("seed", [1, 2, 2**63 + 5])
@pytest.mark.parametrize("sign", [-1, 1])
def test_frequencies_off_by_two_percent_would_be_detected(seed: int, sign: int) -> None:
    shares = np.exp(SCORES) * (1 + 0.02 * sign * (-1.0) ** np.arange(len(SCORES)))
    assert chi_square(chosen(seed), shares / shares.sum()) > CRITICAL


def test_choices_by_top_k_are_without_replacement() -> None:
    """Kool et al. 2019: the second of two keys is drawn from the others."""
    query, key = np.zeros((*ROWS, 1), np.float32), np.zeros((*ROWS[:2], len(SCORES), 1), np.float32)
    weights = heedful.attention_weights(
        query, key, bias=SCORES, gumbel_temperature=1.0, rng=5, top_k=2
    )
    pairs = np.sort(np.argsort(-weights, axis=-1)[..., :2], -1).reshape(-1, 2)
    counts = np.zeros((len(SCORES),) * 2)
    np.add.at(counts, tuple(pairs.T), 1)
    p = np.exp(SCORES)
    exact = p[:, None] * p / (1 - p[:, None])
    above = np.triu_indices(len(p), 1)
    found = chi_square(counts[above], (exact + exact.T)[above])
    assert found < 91.9  # χ² with 54 degrees of freedom exceeds it once in a thousand times


@pytest.mark.parametrize("name", ["prefill", "decode"])
def test_as_the_temperature_falls_weights_become_one_hot(
    name: str, rng: np.random.Generator, wide_dtype: np.dtype[Any]
) -> None:
    query, key, value = draw(rng, (1, 2, 53 if name == "prefill" else 1, 1031), wide_dtype)
    exact = reference.steps(query, key, value, gumbel_temperature=1.0, rng=3)
    best = exact.logits.argmax(-1)
    for temperature in (1e-3, 1e-9, 1e-39, 1e-300):
        out, weights = heedful.attention(
            query, key, value, gumbel_temperature=temperature, rng=3, return_weights=True
        )
        np.testing.assert_array_equal(weights.argmax(-1), best)
        assert (weights.max(-1) > 0.999).mean() > (0.9 if temperature > 1e-9 else 0.9999)
    np.testing.assert_array_equal(
        out, np.take_along_axis(value, best[..., None].repeat(3, -1), axis=-2)
    )


def test_a_sink_has_no_noise_and_is_divided(rng: np.random.Generator) -> None:
    query, key, value = draw(rng, (1, 2, 33, 97), np.float64)
    options = {"gumbel_temperature": 0.5, "rng": 3}
    sink = np.array([1.5, -0.5])
    (out, lse), pullback = heedful.attention_vjp(
        query, key, value, sink=sink, return_lse=True, **options
    )
    without = heedful.attention(query, key, value, return_lse=True, **options)
    share = 1 / (1 + np.exp(2 * sink[:, None] - without[1]))
    np.testing.assert_allclose(out, without[0] * share[..., None], rtol=1e-12)
    np.testing.assert_allclose(lse, np.logaddexp(without[1], 2 * sink[:, None]), rtol=1e-12)
    dout = rng.standard_normal(out.shape)
    step = 1e-6
    slopes = [
        ((heedful.attention(query, key, value, sink=sink + step * unit, **options)
          - heedful.attention(query, key, value, sink=sink - step * unit, **options))
         * dout).sum() / (2 * step)
        for unit in np.eye(2)
    ]  # fmt: skip
    np.testing.assert_allclose(pullback(dout).sink, slopes, rtol=1e-6, atol=1e-9)
