"""weight_randomization and rank correlations, against SciPy and by what must come out."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any

import numpy as np
import pytest

from heedful.explain import gradient_times_input, integrated_gradients, weight_randomization
from heedful.explain._rank_correlation import rank_correlation
from heedful.layers import Linear, Sequential

pytestmark = pytest.mark.once

RNG = np.random.default_rng(11)
X = RNG.standard_normal((13, 40))


def test_rank_correlations_are_those_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    first, second = RNG.integers(0, 5, (2, 9, 17)).astype(float)  # with ties
    expected = [stats.spearmanr(a, b).statistic for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(rank_correlation(first, second), expected)


def test_a_constant_row_has_no_rank_correlation() -> None:
    found = rank_correlation(np.ones((2, 4)), RNG.standard_normal((2, 4)))
    assert np.isnan(found).all()


def test_relevance_that_knows_the_weights_changes_and_that_of_the_input_stays() -> None:
    model = Sequential(Linear(40, 31, activation="relu", rng=0), Linear(31, 2, rng=1))
    before = deepcopy(model.state_dict())
    learned = weight_randomization(model, X, integrated_gradients, n_repeats=3)
    assert learned.correlations.shape == (3, 13)
    assert abs(learned.correlations.mean()) < 0.2
    blind = weight_randomization(model, X, lambda model, x: x)
    np.testing.assert_allclose(blind.correlations, 1)
    np.testing.assert_allclose(blind.absolute, 1)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_each_parameter_keeps_its_elements() -> None:
    model = Sequential(Linear(40, 3, rng=0), Linear(3, 1, rng=1))
    seen = []

    def explain(model: Any, x: np.ndarray) -> np.ndarray:
        seen.append(model.state_dict())
        return x

    weight_randomization(model, X, explain, n_repeats=2)
    own, *shuffled = seen
    for state in shuffled:
        for name, value in own.items():
            np.testing.assert_array_equal(np.sort(state[name], None), np.sort(value, None))
        assert not np.array_equal(state["0.weight"], own["0.weight"])
    assert not np.array_equal(shuffled[0]["0.weight"], shuffled[1]["0.weight"])


def test_it_prints_its_mean() -> None:
    found = weight_randomization(Linear(40, 1, rng=0), X, gradient_times_input)
    mean = float(re.search(r"shuffled: (-?[\d.]+) ±", repr(found)).group(1))  # type: ignore[union-attr]
    assert mean == pytest.approx(found.correlations.mean(), abs=0.006)
    constant = weight_randomization(Linear(40, 1), X, lambda model, x: np.ones_like(x))
    assert "unknown" in repr(constant)


def test_a_wrong_argument_is_named() -> None:
    model = Linear(40, 1)
    with pytest.raises(TypeError, match="model must be a layer"):
        weight_randomization(lambda x: x, X, gradient_times_input)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="explain must be a function"):
        weight_randomization(model, X, X)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the result of explain must be finite"):
        weight_randomization(model, X, lambda model, x: x * np.nan)
    shapes = iter([(3, 4), (3, 5)])
    with pytest.raises(ValueError, match=r"explain must return the same shape again"):
        weight_randomization(model, X, lambda model, x: np.zeros(next(shapes)))
    with pytest.raises(ValueError, match="n_repeats must be at least 1"):
        weight_randomization(model, X, gradient_times_input, n_repeats=0)
