"""The example of films: histories, ranks, neighbours, training on a pattern that is known."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytestmark = [pytest.mark.once]

APPLICATION = Path(__file__).parents[2] / "examples" / "next_film"


@pytest.fixture
def example() -> Iterator[Any]:
    """What the modules of the application define; they import each other by name."""
    names = ("histories", "neighbours", "attention", "reasons")
    before = {name: sys.modules.pop(name, None) for name in names}
    sys.path.insert(0, str(APPLICATION))
    defined: dict[str, Any] = {}
    for name in names:
        defined.update(vars(importlib.import_module(name)))
    sys.path.remove(str(APPLICATION))
    yield SimpleNamespace(**defined)
    for name, module in before.items():
        del sys.modules[name]
        if module is not None:
            sys.modules[name] = module


def test_a_history_has_the_films_of_one_person_by_time(example: Any) -> None:
    person = np.array([7, 3, 7, 3, 7])
    film = np.array([10, 11, 12, 13, 14])
    when = np.array([50, 9, 20, 8, 20])
    found = example.histories(person, film, when)
    assert [films.tolist() for films in found] == [[13, 11], [12, 14, 10]]


def test_the_last_film_is_the_target_and_not_in_what_is_known(example: Any) -> None:
    people = [np.array([4, 2, 9]), np.array([1, 8])]
    past, targets = example.parts(people, 1)
    assert [films.tolist() for films in past] == [[4, 2], [1]]
    assert targets.tolist() == [9, 8]


def test_ranks_are_those_of_a_sorted_list_without_films_already_rated(example: Any) -> None:
    rng = np.random.default_rng(0)
    scores = rng.permutation(5 * 23).reshape(5, 23).astype(float)
    past = [rng.choice(22, 7, replace=False) for _ in range(5)]
    targets = np.full(5, 22)
    expected = []
    for row, films, target in zip(scores, past, targets, strict=True):
        unseen = [film for film in range(23) if film not in films]
        expected.append(sorted(unseen, key=lambda film: -row[film]).index(target))
    np.testing.assert_array_equal(example.ranks(scores, past, targets), expected)


def test_a_constant_score_gains_nothing(example: Any) -> None:
    past = [np.array([0, 1])]
    assert example.ranks(np.zeros((1, 42)), past, np.array([5]))[0] == (40 - 1) / 2


def test_neighbours_are_the_cosines_of_scikit_learn(example: Any) -> None:
    pairwise = pytest.importorskip("sklearn.metrics.pairwise")
    rng = np.random.default_rng(0)
    past = [rng.choice(13, rng.integers(3, 9), replace=False) for _ in range(31)]
    rated = np.zeros((31, 13))
    for row, films in zip(rated, past, strict=True):
        row[films] = 1
    expected = pairwise.cosine_similarity(rated.T)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(example.neighbours(past, 13), expected, atol=1e-12)


def test_meetings_count_less_the_farther_apart_films_are(example: Any) -> None:
    found = example.meetings([np.array([3, 0, 2]), np.array([2, 3])], 4, 5.0)
    expected = np.zeros((4, 4))
    for one, other, count in ((3, 0, 1), (0, 2, 1), (3, 2, 2), (2, 3, 1)):
        expected[one, other] += np.exp(-count / 5)
        expected[other, one] += np.exp(-count / 5)
    np.testing.assert_allclose(found, expected)


def test_neighbours_choose_their_settings_without_the_last_film(example: Any) -> None:
    rng = np.random.default_rng(0)
    people = [rng.permutation(60)[:30] for _ in range(20)]
    others = [np.append(films[:-1], np.setdiff1d(np.arange(60), films)[0]) for films in people]
    for (scores, chosen), (again, same) in zip(
        example.tuned_baselines(people, 60).values(),
        example.tuned_baselines(others, 60).values(),
        strict=True,
    ):
        np.testing.assert_array_equal(scores, again)
        assert chosen == same


@pytest.mark.slow
def test_what_follows_two_films_later_is_advised_because_of_that_film(example: Any) -> None:
    rng = np.random.default_rng(0)
    later = rng.permutation(40)  # film f is followed by later[f] after another one

    def history(length: int) -> np.ndarray:
        films = [int(film) for film in rng.choice(40, 2, replace=False)]
        while len(films) < length:
            following = int(later[films[-2]])
            free = np.setdiff1d(np.arange(40), films)
            films.append(following if following in free else int(rng.choice(free)))
        return np.array(films)

    past = [history(12) for _ in range(400)]
    model = example.train(past, 40, 0, example.Settings(32, 2, 0.0, 30))
    asked = [history(9) for _ in range(100)]
    asked = [films for films in asked if later[films[-2]] not in films]
    targets = np.array([later[films[-2]] for films in asked])
    assert (example.ranks(example.predict(model, asked), asked, targets) < 1).mean() > 0.9
    weights = example.weights_of(model, asked)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
    assert not weights[:, 9:].any()
    assert (weights.argmax(axis=1) == 7).mean() > 0.9
    nothing = np.zeros((len(asked), example.READ), bool)
    assert example.kept_advice(model, asked, nothing) == 1
    reason, other = nothing.copy(), nothing.copy()
    reason[:, 7], other[:, 3] = True, True
    assert example.kept_advice(model, asked, reason, count=1) < 0.3
    assert example.kept_advice(model, asked, other, count=1) > 0.9
