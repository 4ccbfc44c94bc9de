"""Where the diagonal lies: a table of small causal masks, written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import heedful
import reference

UPPER_LEFT = {
    (1, 1): ["1"],
    (1, 3): ["100"],
    (3, 1): ["1", "1", "1"],
    (2, 4): ["1000", "1100"],
    (4, 2): ["10", "11", "11", "11"],
    (3, 3): ["100", "110", "111"],
    (3, 5): ["10000", "11000", "11100"],
    (5, 3): ["100", "110", "111", "111", "111"],
}
LOWER_RIGHT = {
    (1, 1): ["1"],
    (1, 3): ["111"],
    (3, 1): ["0", "0", "1"],
    (2, 4): ["1110", "1111"],
    (4, 2): ["00", "00", "10", "11"],
    (3, 3): ["100", "110", "111"],
    (3, 5): ["11100", "11110", "11111"],
    (5, 3): ["000", "000", "100", "110", "111"],
}
TABLE = [
    (align, *sizes, picture)
    for align, pictures in (("upper_left", UPPER_LEFT), ("lower_right", LOWER_RIGHT))
    for sizes, picture in pictures.items()
]


def seen_by(num_queries: int, num_keys: int, items: int = 1, **options: Any) -> NDArray[np.bool_]:
    """Which weights are not zero, for equal scores: (items, Lq, Lk)."""
    query, key = np.zeros((items, 1, num_queries, 2)), np.zeros((items, 1, num_keys, 2))
    _, weights = heedful.attention(query, key, key, **options, return_weights=True)
    return weights[:, 0] > 0


def from_picture(picture: list[str]) -> NDArray[np.bool_]:
    return np.array([[letter == "1" for letter in row] for row in picture])


@pytest.mark.parametrize(("align", "num_queries", "num_keys", "picture"), TABLE)
def test_causal_is_the_picture(
    align: str, num_queries: int, num_keys: int, picture: list[str]
) -> None:
    seen = seen_by(num_queries, num_keys, causal=True, align=align)
    np.testing.assert_array_equal(seen[0], from_picture(picture))


@pytest.mark.parametrize(("align", "num_queries", "num_keys", "picture"), TABLE)
def test_out_and_gradients_follow_the_picture(
    align: str, num_queries: int, num_keys: int, picture: list[str], rng: np.random.Generator
) -> None:
    query, key, value = (
        rng.standard_normal((2, 1, length, 3)) for length in (num_queries, num_keys, num_keys)
    )
    out, pullback = heedful.attention_vjp(query, key, value, causal=True, align=align)
    mask = from_picture(picture)
    np.testing.assert_allclose(out, reference.attention(query, key, value, mask=mask).out)
    dout = rng.standard_normal(out.shape)
    expected = reference.attention_backward(dout, query, key, value, mask=mask)
    for gradient, truth in zip(pullback(dout)[:3], expected[:3], strict=True):
        np.testing.assert_allclose(gradient, truth, atol=1e-14)


@pytest.mark.parametrize(("align", "num_queries", "num_keys", "picture"), TABLE)
def test_each_item_has_the_picture_of_its_own_lengths(
    align: str, num_queries: int, num_keys: int, picture: list[str]
) -> None:
    """Inside larger arrays, beside an item of other lengths."""
    seen = seen_by(
        7, 6, items=2, causal=True, align=align,
        q_lengths=[num_queries, 7], kv_lengths=[num_keys, 6],
    )  # fmt: skip
    expected = np.zeros((7, 6), bool)
    expected[:num_queries, :num_keys] = from_picture(picture)
    np.testing.assert_array_equal(seen[0], expected)
    i, j = np.ogrid[:7, :6]
    np.testing.assert_array_equal(seen[1], j <= i - (1 if align == "lower_right" else 0))


@pytest.mark.parametrize(
    ("offset", "picture"),
    [
        (0, ["1000", "1100"]),
        (1, ["1100", "1110"]),
        (2, ["1110", "1111"]),
        (3, ["1111", "1111"]),
        (-1, ["0000", "1000"]),
        (-2, ["0000", "0000"]),
        (2**62, ["1111", "1111"]),
        (-(2**62), ["0000", "0000"]),
        (2**63 - 1, ["1111", "1111"]),
        (-(2**63), ["0000", "0000"]),
    ],
)
def test_an_integer_is_the_number_of_keys_before_the_first_query(
    offset: int, picture: list[str]
) -> None:
    seen = seen_by(2, 4, causal=True, align=offset)
    np.testing.assert_array_equal(seen[0], from_picture(picture))
    both = seen_by(2, 4, items=2, causal=True, align=[offset, 0])
    np.testing.assert_array_equal(both[0], from_picture(picture))
    np.testing.assert_array_equal(both[1], from_picture(["1000", "1100"]))


@pytest.mark.parametrize(
    ("window", "align", "picture"),
    [
        ((0, 0), "upper_left", ["1000", "0100"]),
        ((0, 0), "lower_right", ["0010", "0001"]),
        ((1, 0), "lower_right", ["0110", "0011"]),
        ((None, 1), "upper_left", ["1100", "1110"]),
        ((1, None), "lower_right", ["0111", "0011"]),
        ((0, 1), 1, ["0110", "0011"]),
        ((0, 0), 3, ["0001", "0000"]),
        ((2**63 - 1, 0), "upper_left", ["1000", "1100"]),
        ((2**62, 2**62), 2**62, ["1111", "0111"]),
    ],
)
def test_windows_lie_around_the_diagonal(
    window: tuple[int | None, int | None], align: Any, picture: list[str]
) -> None:
    seen = seen_by(2, 4, window=window, align=align)
    np.testing.assert_array_equal(seen[0], from_picture(picture))


def test_alibi_counts_from_the_diagonal() -> None:
    query = key = np.zeros((1, 1, 2, 3))
    key = np.zeros((1, 1, 4, 3))
    distances = {
        "upper_left": [[0, 1, 2, 3], [1, 0, 1, 2]],
        "lower_right": [[2, 1, 0, 1], [3, 2, 1, 0]],
        -1: [[1, 2, 3, 4], [0, 1, 2, 3]],
    }
    for align, distance in distances.items():
        scores = heedful.attention_scores(query, key, alibi_slopes=[0.5], align=align)
        np.testing.assert_array_equal(scores[0, 0], -0.5 * np.array(distance))


@pytest.mark.parametrize(
    "options", [{"causal": True}, {"window": (1, 1)}, {"alibi_slopes": [1.0]}], ids=str
)
def test_a_missing_align_is_an_error_that_names_both_choices(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"(?s)align.*upper_left.*lower_right"):
        seen_by(2, 4, **options)


def test_align_may_be_missing_where_nothing_uses_the_diagonal() -> None:
    assert seen_by(2, 4).all()
    assert seen_by(2, 4, align="lower_right").all()
    np.testing.assert_array_equal(seen_by(3, 3, causal=True)[0], np.tri(3, dtype=bool))
