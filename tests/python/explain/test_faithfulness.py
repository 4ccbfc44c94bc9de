"""faithfulness, against plain loops over examples, fractions and features."""

from __future__ import annotations

import sys
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from heedful.explain import Faithfulness, faithfulness, gradient_times_input
from heedful.layers import Embedding, Flatten, Linear, Sequential, Softmax

pytestmark = pytest.mark.once

RNG = np.random.default_rng(7)
X = RNG.standard_normal((5, 11))
WEIGHT = RNG.standard_normal((11, 3))


def model(x: Any) -> np.ndarray:
    """Not linear, three classes."""
    scores = np.asarray(x, float) ** 3 @ WEIGHT
    return np.exp(scores) / np.exp(scores).sum(1, keepdims=True)


RELEVANCE = RNG.standard_normal((5, 11))


def by_loops(
    score: Any, x: np.ndarray, relevance: np.ndarray, base: Any, fractions: Any, mask: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """Curves (P, N) of one example at a time; score(example, n) is a number."""
    deletion, insertion = np.empty((2, len(fractions), len(x)))
    for n, example in enumerate(x):
        counting = [f for f in range(len(example)) if mask is None or mask[n, f]]
        order = sorted(counting, key=lambda f: -relevance[n, f])
        for p, fraction in enumerate(fractions):
            first = order[: int(np.ceil(round(fraction * len(order), 6)))]
            without, alone = example.copy(), example.copy()
            for f in counting:
                (without if f in first else alone)[f] = base
            deletion[p, n], insertion[p, n] = score(without, n), score(alone, n)
    return deletion, insertion


FRACTIONS = [0, 0.01, 0.05, 0.1, 0.2, 0.25, 0.5, 0.75, 1]  # of 4 steps and of ERASER
TARGETS = model(X).argmax(1)


def probability(example: np.ndarray, n: int) -> float:
    return float(model(example[None])[0, TARGETS[n]])


def test_curves_are_those_of_loops() -> None:
    result = faithfulness(model, X, RELEVANCE, baseline=0.3, steps=4, batch_size=2)
    np.testing.assert_allclose(result.fractions, FRACTIONS)
    expected = by_loops(probability, X, RELEVANCE, 0.3, FRACTIONS)
    np.testing.assert_allclose(result.curves["relevance"], expected, atol=1e-12)


def test_features_outside_the_mask_stay() -> None:
    mask = RNG.random(X.shape) < 0.6
    result = faithfulness(model, X, RELEVANCE, mask=mask, steps=4)
    expected = by_loops(probability, X, RELEVANCE, 0.0, FRACTIONS, mask)
    np.testing.assert_allclose(result.curves["relevance"], expected, atol=1e-12)


def test_the_figures_are_those_of_the_papers() -> None:
    result = faithfulness(model, X, RELEVANCE, steps=4, n_random=6)
    found = result["relevance"]
    deletion, insertion = by_loops(probability, X, RELEVANCE, 0.0, FRACTIONS)

    def areas(curves: np.ndarray) -> np.ndarray:
        """Trapezoids, one after another."""
        return np.array([
            sum((right - left) * (curves[p, n] + curves[p + 1, n]) / 2
                for p, (left, right) in enumerate(pairwise(FRACTIONS)))
            for n in range(5)
        ])  # fmt: skip

    assert found.deletion == pytest.approx(areas(deletion).mean())
    assert found.insertion == pytest.approx(areas(insertion).mean())
    bins = [FRACTIONS.index(p) for p in (0.01, 0.05, 0.1, 0.2, 0.5)]
    whole = deletion[0]
    assert found.comprehensiveness == pytest.approx(np.mean([whole - deletion[p] for p in bins]))
    assert found.sufficiency == pytest.approx(np.mean([whole - insertion[p] for p in bins]))
    chance = np.mean([areas(curves.deletion) for curves in result.random], axis=0)
    better = chance - areas(deletion)
    assert found.deletion_margin == pytest.approx(better.mean())
    assert found.deletion_error == pytest.approx(np.std(better, ddof=1) / np.sqrt(5))
    chance = np.mean([areas(curves.insertion) for curves in result.random], axis=0)
    assert found.insertion_margin == pytest.approx((areas(insertion) - chance).mean())
    assert result["random"].insertion == pytest.approx(chance.mean())
    assert result["random"].insertion_margin == pytest.approx(0, abs=1e-12)


def test_random_orders_are_random_and_each_seed_gives_its_own() -> None:
    first, same, other = (
        faithfulness(model, X, RELEVANCE, n_random=3, rng=seed).random for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, same)
    assert not np.allclose(first, other)
    assert not np.allclose(first[0].deletion, first[1].deletion)
    np.testing.assert_allclose(first[0].deletion[[0, -1]], first[1].deletion[[0, -1]])


def test_equal_relevance_is_no_order() -> None:
    """Were ties in order, the first features would count as the most relevant."""
    x = np.ones((400, 4))
    result = faithfulness(lambda x: x[:, 0], x, np.zeros((400, 4)), steps=4)
    middle = result.curves["relevance"].deletion[list(result.fractions).index(0.5)]
    assert 0.4 < middle.mean() < 0.6


def test_the_exact_contributions_beat_chance_and_their_opposite_loses() -> None:
    weight = np.arange(-5.0, 6.0)
    result = faithfulness(
        lambda x: x @ weight, X, {"exact": X * weight, "opposite": -X * weight},
        gradient=lambda x, dscores: dscores[:, None] * weight,
    )  # fmt: skip
    assert result["exact"].beats_random
    assert result["opposite"].deletion_margin < -2 * result["opposite"].deletion_error
    np.testing.assert_allclose(
        result.curves["gradient × input"].deletion, result.curves["exact"].deletion
    )


def test_positions_of_several_elements_go_as_one() -> None:
    x = RNG.standard_normal((5, 4, 3))
    layer = Sequential(Flatten(), Linear(12, 2, dtype=np.float64, rng=0), Softmax())
    relevance = RNG.standard_normal((5, 4))
    result = faithfulness(layer, x, relevance, steps=4)
    targets = layer(x).argmax(1)
    expected = by_loops(
        lambda one, n: layer(one[None])[0, targets[n]], x, relevance, 0.0, FRACTIONS
    )
    np.testing.assert_allclose(result.curves["relevance"], expected, atol=1e-12)
    gradient = gradient_times_input(layer, x).sum(-1)
    expected = by_loops(lambda one, n: layer(one[None])[0, targets[n]], x, gradient, 0.0, FRACTIONS)
    np.testing.assert_allclose(result.curves["gradient × input"], expected, atol=1e-12)


def test_tokens_are_replaced_by_a_token() -> None:
    tokens = RNG.integers(0, 9, (5, 6))
    layer = Sequential(
        Embedding(10, 3, dtype=np.float64, rng=0), Flatten(), Linear(18, 1, dtype=np.float64, rng=0)
    )
    relevance = RNG.standard_normal((5, 6))
    result = faithfulness(layer, tokens, relevance, baseline=9, steps=4)
    expected = by_loops(lambda one, n: layer(one[None])[0, 0], tokens, relevance, 9, FRACTIONS)
    np.testing.assert_allclose(result.curves["relevance"], expected, atol=1e-12)
    assert "gradient × input" in result.curves
    with pytest.raises(ValueError, match="baseline must be given for tokens"):
        faithfulness(layer, tokens, relevance)


# --- the result


@pytest.fixture(scope="module")
def result() -> Faithfulness:
    weight = np.arange(-5.0, 6.0)
    return faithfulness(
        lambda x: x @ weight, X, {"exact": X * weight, "backwards": -X * weight}, n_random=4
    )


def test_it_prints_a_table(result: Faithfulness) -> None:
    heading, columns, exact, backwards, random = repr(result).splitlines()
    assert "5 examples, 4 random orders" in heading
    assert "deletion ↓" in columns
    assert exact.startswith("exact ")
    assert f"{result['exact'].deletion:.3f}" in exact
    assert exact.endswith("yes")
    assert backwards.endswith("NO")
    assert random.startswith("random ")
    assert f"{result['random'].insertion:.3f}" in random


def test_the_curves_are_drawn_on_given_axes(result: Faithfulness) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    ax = Figure().add_subplot()
    assert result.plot("insertion", ax=ax) is ax
    lines = {line.get_label(): line.get_ydata() for line in ax.lines}
    assert set(lines) == {"exact", "backwards"}
    np.testing.assert_allclose(lines["exact"], result.curves["exact"].insertion.mean(1))
    (band,) = ax.collections
    heights = band.get_paths()[0].vertices[:, 1]
    chance = [curves.insertion.mean(1) for curves in result.random]
    assert heights.max() == pytest.approx(np.max(chance))
    assert heights.min() == pytest.approx(np.min(chance))
    assert ax.get_xlabel() == "fraction of the features inserted"
    with pytest.raises(ValueError, match="kind must be 'deletion' or 'insertion': got 'both'"):
        result.plot("both", ax=ax)


def test_it_becomes_a_data_frame(result: Faithfulness) -> None:
    pytest.importorskip("pandas")
    table = result.to_pandas()
    assert list(table.index) == ["exact", "backwards", "random"]
    assert table.loc["exact", "deletion"] == result["exact"].deletion


def test_a_missing_package_is_named(result: Faithfulness, monkeypatch: pytest.MonkeyPatch) -> None:
    for package, use in (("pandas", result.to_pandas), ("matplotlib", result.plot)):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(ImportError, match=f"needs the package {package}: pip install"):
            use()


def test_one_example_has_no_spread() -> None:
    found = faithfulness(model, X[:1], RELEVANCE[:1])["relevance"]
    assert np.isnan(found.deletion_error)
    assert not found.beats_random


# --- bad input


@pytest.mark.parametrize(
    ("relevance", "options", "kind", "message"),
    [
        (RELEVANCE[:4], {}, ValueError, r"relevance must have the shape of the inputs \(5, 11\)"),
        (RELEVANCE[:, 0], {}, ValueError, "relevance must have the shape of the inputs"),
        ({"a": RELEVANCE * np.nan}, {}, ValueError, "relevance 'a' must be finite"),
        ({"random": RELEVANCE}, {}, ValueError, "names other than 'random'"),
        ({}, {}, ValueError, "relevance must have names"),
        (gradient_times_input, {}, TypeError, r"must be an array, gradient_times_input\(model"),
        (["a", "b"], {}, TypeError, "relevance must hold real numbers"),
        (RELEVANCE, {"mask": np.ones((5, 10), bool)}, ValueError, "mask must have the relevance's"),
        (RELEVANCE, {"mask": np.ones((5, 11))}, TypeError, "mask must be boolean"),
        (RELEVANCE, {"mask": np.zeros((5, 11), bool)}, ValueError, "mask must leave every example"),
        (RELEVANCE, {"n_random": 0}, ValueError, "n_random must be at least 1"),
        (RELEVANCE, {"steps": 0.5}, TypeError, "steps must be an integer"),
        (RELEVANCE, {"target": 3}, ValueError, r"target must lie in \[0, 3\)"),
        (RELEVANCE, {"baseline": [1, 2]}, ValueError, "baseline must be a number or broadcast"),
    ],
)
def test_a_wrong_argument_is_named(relevance: Any, options: Any, kind: type, message: str) -> None:
    with pytest.raises(kind, match=message):
        faithfulness(model, X, relevance, **options)


def test_a_model_that_fails_without_features_is_named() -> None:
    with pytest.raises(ValueError, match="model must return finite scores"):
        faithfulness(lambda x: np.where(x.any(1), 1.0, np.nan), X, RELEVANCE)
    with pytest.raises(KeyError, match="name must be one of"):
        faithfulness(model, X, RELEVANCE)["attention"]
