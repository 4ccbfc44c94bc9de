"""fill_items: the table of a batch whose items have lengths of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heedful._core import native

pytestmark = pytest.mark.once

ROWS, KEYS = 5, 7


def fill(
    q_lengths: Any, kv_lengths: Any, lower_right: bool = False, axes: int = 1, count: int = 3
) -> list[list[int]] | None:
    items = np.full((count, 5), -99, np.int64)
    filled = native.fill_items(items, axes, q_lengths, kv_lengths, ROWS, KEYS, lower_right, 11)
    return items.tolist() if filled else None


EXPECTED = [[0, 5, 0, 7, 11], [0, 5, 0, 0, 11], [0, 5, 0, 3, 11]]


@pytest.mark.parametrize(
    "lengths",
    [
        [7, 0, 3],
        np.array([7, 0, 3]),
        np.array([7, 0, 3], np.int32),
        np.array([7, -1, 0, -1, 3, -1], np.int32)[::2],
        np.array([3, 0, 7])[::-1],
    ],
    ids=["list", "int64", "int32", "every other", "backwards"],
)
def test_lengths_of_many_spellings(lengths: Any) -> None:
    assert fill(None, lengths) == EXPECTED


def test_repeated_lengths() -> None:
    assert fill(None, np.broadcast_to(np.array([7]), (3,))) == [EXPECTED[0]] * 3


def test_the_offset_of_the_lower_right_is_each_items_own() -> None:
    assert fill([1, 5, 0], [7, 0, 3], lower_right=True) == [
        [0, 1, 0, 7, 6],
        [0, 5, 0, 0, -5],
        [0, 0, 0, 3, 3],
    ]


def test_a_single_number_where_there_are_no_leading_axes() -> None:
    assert fill(np.array(2), np.array(3), axes=0, count=1) == [[0, 2, 0, 3, 11]]


FULLY_CHECKED = {
    "too many keys": [7, 8, 3],
    "negative": np.array([7, -1, 3]),
    "the smallest integer": [7, -(2**63), 3],
    "beyond 64 bits": [7, 2**64, 3],
    "a bool": [7, True, 3],
    "a float": [7, 3.0, 3],
    "too few": [7, 3],
    "too many": np.array([7, 3, 3, 3]),
    "two axes": np.array([[7, 3, 3]]),
    "floats": np.array([7.0, 3.0, 3.0]),
    "bools": np.array([True, True, True]),
    "small integers": np.array([7, 3, 3], np.int8),
    "unsigned integers": np.array([7, 3, 3], np.uint64),
    "foreign byte order": np.array([7, 3, 3], ">i8"),
    "unaligned": np.zeros(25, np.int8)[1:].view(np.int64),
    "a tuple": (7, 3, 3),
    "a number": 3,
    "a string": "733",
}


@pytest.mark.parametrize("case", FULLY_CHECKED)
@pytest.mark.parametrize("of_keys", [True, False])
def test_all_else_needs_the_full_check(case: str, of_keys: bool) -> None:
    lengths = FULLY_CHECKED[case]
    assert fill(None if of_keys else lengths, lengths if of_keys else None) is None


class Shrinking(int):
    """A subclass of int, whose value is not trusted."""


def test_integers_of_a_subclass_are_not_trusted() -> None:
    assert fill(None, [7, Shrinking(3), 3]) is None
