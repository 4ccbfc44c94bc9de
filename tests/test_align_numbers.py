"""examples/align_numbers.py: its network against one written in loops, and letter by letter."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("num2words")
pytestmark = pytest.mark.usefixtures("examples")


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "examples"))
    monkeypatch.delitem(sys.modules, "align_numbers", raising=False)


def model(attends: bool = True) -> Any:
    from align_numbers import Bahdanau

    return Bahdanau(11, 6, attends, np.random.default_rng(0))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def gru(p: dict[str, np.ndarray], end: str, x: np.ndarray, h: np.ndarray) -> np.ndarray:
    """One step of vectors: Cho et al. 2014, with the reset gate after the product."""
    a = p[f"weight_ih_{end}"] @ x + p[f"bias_ih_{end}"]
    b = p[f"weight_hh_{end}"] @ h + p[f"bias_hh_{end}"]
    (ar, az, an), (br, bz, bn) = np.split(a, 3), np.split(b, 3)
    z = sigmoid(az + bz)
    return (1 - z) * np.tanh(an + sigmoid(ar + br) * bn) + z * h


def of(parameters: dict[str, np.ndarray], layer: str) -> dict[str, np.ndarray]:
    return {
        name.removeprefix(f"{layer}."): array.astype(float)
        for name, array in parameters.items()
        if name.startswith(f"{layer}.")
    }


def by_loops(own: Any, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Scores (L, letters) of one pair without padding, in float64, letter by letter."""
    p = own.parameters()
    encoder, cell = of(p, "encoder"), of(p, "cell")
    read, width = of(p, "read")["weight"][source], 6
    forward, backward = [np.zeros(width)], [np.zeros(width)]
    for x in read:
        forward.append(gru(encoder, "l0", x, forward[-1]))
    for x in read[::-1]:
        backward.append(gru(encoder, "l0_reverse", x, backward[-1]))
    h = np.concatenate([forward[1:], backward[:0:-1]], axis=1)
    start = of(p, "start")
    state = np.tanh(start["weight"] @ backward[-1] + start["bias"])
    key, mixed, out = of(p, "key"), of(p, "mixed"), of(p, "out")
    found = []
    for letter in of(p, "written")["weight"][target]:
        context = np.concatenate([forward[-1], backward[-1]])
        if own.attends:
            query = of(p, "query")["weight"] @ state
            scores = np.tanh(query + h @ key["weight"].T + key["bias"]) @ p["score"].astype(float)
            weights = np.exp(scores - scores.max())
            context = weights / weights.sum() @ h
        state = gru(cell, "l0", np.concatenate([letter, context]), state)
        inner = np.tanh(mixed["weight"] @ np.concatenate([state, context]) + mixed["bias"])
        found.append(out["weight"] @ inner + out["bias"])
    return np.array(found)


@pytest.mark.parametrize("attends", [True, False])
def test_the_network_is_that_of_loops_over_letters(attends: bool) -> None:
    own = model(attends)
    rng = np.random.default_rng(3)
    source, target = rng.integers(3, 11, (3, 7)), rng.integers(3, 11, (3, 5))
    source[1, 4:] = source[2, 6:] = 0
    found = own(source, target)
    for row, length in enumerate((7, 4, 6)):
        expected = by_loops(own, source[row, :length], target[row])
        np.testing.assert_allclose(found[row], expected, atol=1e-5)


@pytest.mark.parametrize("attends", [True, False])
def test_letter_by_letter_gives_the_scores_of_the_whole(attends: bool) -> None:
    from align_numbers import Writing

    own = model(attends)
    rng = np.random.default_rng(5)
    source, target = rng.integers(3, 11, (3, 7)), rng.integers(3, 11, (3, 5))
    writing = Writing(own, source)
    scores = [writing.start(list(target[:, :1])), *map(writing.step, target.T[1:])]
    np.testing.assert_allclose(np.stack(scores, 1), own(source, target), atol=1e-5)
    if attends:
        assert all(np.allclose(one.sum(-1), 1, atol=1e-5) for one in writing.looked)


def test_reordered_sequences_go_on_as_those_they_were() -> None:
    from align_numbers import Writing

    own = model()
    rng = np.random.default_rng(5)
    source, target = rng.integers(3, 11, (3, 7)), rng.integers(3, 11, (3, 2))
    source[0, 4:] = 0
    items = np.array([2, 0])
    writing, alone = Writing(own, source), Writing(own, source[items])
    writing.start(list(target[:, :1]))
    alone.start(list(target[items, :1]))
    writing.reorder(items)
    second = target[items, 1]
    np.testing.assert_allclose(writing.step(second), alone.step(second), atol=1e-5)
    for found, expected in zip(writing.looked, alone.looked, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_an_alignment_has_the_weights_of_each_letter_written() -> None:
    from align_numbers import START, STOP, Bahdanau, Spellings, Writing, alignment

    data = Spellings(100)
    own = Bahdanau(len(data.letters) + 3, 6, True, np.random.default_rng(0))
    answer, weights = alignment(own, data, 21)
    source = data.source[[21]][:, : len("einundzwanzig") + 1]
    letters = [START, *(data.letters.index(letter) + 3 for letter in answer)]
    writing = Writing(own, source)
    writing.start([np.array([START])])
    for letter in letters[1 : len(weights)]:
        writing.step(np.array([letter]))
    expected = np.concatenate([one[0, 0] for one in writing.looked])
    np.testing.assert_allclose(weights, expected, atol=1e-5)
    assert source[0, -1] == STOP


def test_no_number_is_both_learned_and_tested() -> None:
    from align_numbers import Spellings

    data = Spellings(100)
    assert sorted([*data.train, *data.test]) == list(range(100))
    assert len(data.test) == 10
    assert data.word(data.target[21]) == "twenty-one"
    assert data.word(data.source[21]) == "einundzwanzig"
