"""best_spans finds what a search over all spans finds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heedful.layers import best_spans


def searched(start: Any, end: Any, allowed: Any, longest: int) -> tuple[int, int, float]:
    """All spans of one text, the first and shortest of equal ones."""
    found = (-1, -1, -np.inf)
    for i in range(len(start)):
        for j in range(i, min(i + longest, len(start))):
            if allowed[i : j + 1].all() and start[i] + end[j] > found[2]:
                found = (i, j, start[i] + end[j])
    return found


@pytest.mark.parametrize("longest", [1, 3, 20, None])
@pytest.mark.parametrize("ties", [False, True])
def test_spans_are_those_of_a_search_over_all(
    longest: int | None, ties: bool, rng: np.random.Generator
) -> None:
    start, end = rng.standard_normal((2, 60, 11))
    if ties:
        start, end = np.round(start), np.round(end)
    mask, lengths = rng.random((60, 11)) < 0.8, rng.integers(0, 12, 60)
    found = best_spans(start, end, mask=mask, lengths=lengths, max_length=longest)
    allowed = mask & (np.arange(11) < lengths[:, None])
    for item in range(60):
        wanted = searched(start[item], end[item], allowed[item], longest or 11)
        assert (found.start[item], found.end[item], found.score[item]) == wanted
    assert (found.start == -1).any()
    assert np.isneginf(found.null_score).all()


def test_no_answer_wins_beyond_its_threshold() -> None:
    start, end = [[2.0, 3.0, 0.0]], [[2.5, 1.0, 0.0]]
    for threshold, first in ((0.0, -1), (0.49, -1), (0.5, 1), (-9.0, -1)):
        found = best_spans(start, end, null_position=0, null_threshold=threshold)
        assert found.start[0] == found.end[0] == first
        assert (found.score[0], found.null_score[0]) == (4.0, 4.5)
    found = best_spans(start[0], end[0])
    assert (int(found.start), int(found.end), found.score.shape) == (0, 0, ())
    assert best_spans(np.ones((0, 3)), np.ones((0, 3))).start.shape == (0,)
    assert best_spans(np.ones((2, 0)), np.ones((2, 0))).start.tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        ({"start": [[1.0]]}, ValueError, r"start and end must have one shape \(B, L\)"),
        ({"start": [[np.nan, 1.0]]}, ValueError, "start must hold no NaN"),
        ({"end": [["a", "b"]]}, TypeError, "end must hold real numbers"),
        ({"mask": [[1, 0]]}, TypeError, r"mask must be boolean with shape \(1, 2\)"),
        ({"mask": [[True]]}, ValueError, r"mask must be boolean with shape \(1, 2\)"),
        ({"lengths": [3]}, ValueError, "lengths must lie between 0 and 2"),
        ({"max_length": 0}, ValueError, "max_length must be at least 1"),
        ({"null_position": 2}, ValueError, r"null_position must lie in \[0, 2\): got 2"),
        ({"null_position": 0.5}, TypeError, "null_position must be an integer or None"),
        ({"null_threshold": np.inf}, ValueError, "null_threshold must be finite"),
    ],
)
def test_wrong_arguments_are_named(
    wrong: dict[str, Any], kind: type[Exception], message: str
) -> None:
    given = {"start": [[1.0, 2.0]], "end": [[1.0, 2.0]], **wrong}
    with pytest.raises(kind, match=rf"\A{message}"):
        best_spans(given.pop("start"), given.pop("end"), **given)
