"""The compiled functions check number and types of their arguments, and trust their values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heedful._core import native

pytestmark = pytest.mark.once

X = np.ones((1, 1, 3, 4), np.float32)
GEOMETRY = ((1,), False, 0, -1, -1, False)
RIGHT = (
    X, X, X, X.copy(), None, GEOMETRY, None, 1.0, 0.0, None, None, None, None, None,
    0.0, 0, 0.0, 0.0,
)  # fmt: skip


def test_the_arguments_are_right() -> None:
    assert native.attention_forward(*RIGHT) is None
    np.testing.assert_array_equal(RIGHT[3], X)


@pytest.mark.parametrize(
    ("place", "wrong", "message"),
    [
        (0, [1.0], "expected an array, got <class 'list'>"),
        (0, X.astype(np.int64), "arrays must be float16, bfloat16, float32, float64, int8 or bool"),
        (4, 1.0, "expected an array or None, got <class 'float'>"),
        (5, [], "expected a tuple, got <class 'list'>"),
        (7, "1", "must be real number"),
        (15, -1, "can't convert negative int"),
        (15, 2**64, "int too big|too large"),
        (5, ((1.0,), *GEOMETRY[1:]), "integer"),
        (5, GEOMETRY[:2], "out of range"),
    ],
)
def test_what_is_no_array_or_number_is_refused(place: int, wrong: Any, message: str) -> None:
    arguments = [*RIGHT]
    arguments[place] = wrong
    with pytest.raises((TypeError, OverflowError, IndexError), match=message):
        native.attention_forward(*arguments)  # type: ignore[arg-type]


def test_the_number_of_arguments_is_checked() -> None:
    with pytest.raises(TypeError, match="expected 18 arguments, got 17"):
        native.attention_forward(*RIGHT[:-1])  # type: ignore[arg-type]


def test_numbers_of_threads_are_kept_for_the_thread_and_for_the_process() -> None:
    before = native.exchange_threads_here(0)
    try:
        native.set_num_threads(3)
        assert native.num_threads() == 3
        assert native.exchange_threads_here(5) == 0
        assert native.num_threads() == 5
        assert native.exchange_threads_here(0) == 5
        native.set_num_threads(0)
        assert native.num_threads() == native.default_num_threads()
    finally:
        native.set_num_threads(0)
        native.exchange_threads_here(before)
