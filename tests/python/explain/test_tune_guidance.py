"""tune_guidance: the best strengths of known problems, and a held-out check that noise fails."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from heedful import layers as L
from heedful.explain import guide, tune_guidance

pytestmark = pytest.mark.once
Array = NDArray[Any]
INPUTS = np.random.default_rng(1).standard_normal((40, 5, 6))
PARTS = [(guide(5, attract=1), guide(5, repel=3))] * 40


def pooling() -> L.AttentionPooling:
    model = L.AttentionPooling(6, dtype=np.float64, rng=0)
    model.query = np.zeros((1, 6))  # even weights without guidance
    return model


def near(weights: Array) -> Any:
    """How close results are to means of the positions with these weights."""

    def metric(results: list[Array], examples: Array) -> float:
        return -float(np.square(np.array(results) - weights @ INPUTS[examples]).sum(-1).mean())

    return metric


def test_strengths_are_those_that_made_the_target() -> None:
    weights = np.exp([0, 1.5, 0, -3, 0])
    found = tune_guidance(pooling(), INPUTS, PARTS, near(weights / weights.sum()))
    np.testing.assert_array_equal(found.strengths, [1.5, 3])
    np.testing.assert_array_equal(found.found, [1.5, 3])
    assert found.confirmed
    assert found.confidence == 1
    assert found.searched[1] == pytest.approx(0)
    assert found.held_out[1] == pytest.approx(0)
    assert found.held_out[0] < -0.01
    assert found.calls <= 3 * 2 * 10


def test_places_of_guidance_give_way_to_those_of_the_search() -> None:
    parts = [(one.at("elsewhere"), other.at("*", heads=[0])) for one, other in PARTS]
    target = near(np.array([0, 1.0, 0, 0, 0]))
    expected = tune_guidance(pooling(), INPUTS, PARTS, target)
    found = tune_guidance(pooling(), INPUTS, parts, target)
    np.testing.assert_array_equal(found.strengths, expected.strengths)
    assert found.strengths[0] > 0


def test_what_is_best_already_stays() -> None:
    found = tune_guidance(pooling(), INPUTS, PARTS, near(np.full(5, 0.2)))
    np.testing.assert_array_equal(found.strengths, [0, 0])
    assert not found.confirmed
    assert found.confidence == 0


def test_noise_is_fitted_and_not_confirmed() -> None:
    confirmed, fitted = 0, 0
    for seed in range(8):
        signs = np.random.default_rng(seed).choice([-1, 1], 40)

        def agrees(results: list[Array], examples: Array, signs: Array = signs) -> float:
            return float(np.mean(np.sign(np.array(results)[:, 0]) == signs[examples]))

        few = [parts[0] for parts in PARTS]
        found = tune_guidance(pooling(), INPUTS, few, agrees, rng=seed)
        fitted += found.searched[1] > found.searched[0]
        confirmed += found.confirmed
    assert fitted >= 4  # the search improves on what it sees
    assert confirmed <= 1


def test_the_examples_searched_and_held_out_are_all_and_different() -> None:
    seen: list[set[int]] = []

    def metric(results: list[Array], examples: Array) -> float:
        seen.append(set(examples.tolist()))
        return float(np.mean(results))

    tune_guidance(pooling(), INPUTS, PARTS, metric, held_out=0.25, strengths=[1])
    searched, aside = seen[0], set().union(*(part for part in seen if not part & seen[0]))
    assert len(searched) == 30
    assert searched | aside == set(range(40))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"metric": lambda *_: np.nan}, ValueError, "metric must return a finite number: got nan"),
        ({"held_out": 0.0}, ValueError, "inputs must have two examples or more .* got 40 and 0"),
        ({"held_out": 1.0}, ValueError, r"held_out must lie in \[0, 1\): got 1.0"),
        ({"strengths": [np.inf]}, ValueError, "strengths must be finite: got inf"),
        ({"heads": [5]}, ValueError, "heads must lie between 0 and 0"),
        ({"max_rounds": 0}, ValueError, "max_rounds must be at least 1"),
        ({"guidance": [PARTS[0], *[PARTS[0][0]] * 39]}, ValueError, "as many parts for each input"),
    ],
)
def test_what_cannot_be_meant_is_said(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    given = {"guidance": PARTS, "metric": lambda *_: 0.0, **arguments}
    with pytest.raises(error, match=message):
        tune_guidance(pooling(), INPUTS, **given)
