"""The examples that the project began with, as anyone would type them."""

from __future__ import annotations

import math

import numpy as np
import pytest

import heedful

Q = [[1, 2, 3], [4, 5, 6]]
K = [[7, 8, 9], [10, 11, 12]]
V = [[13, 14, 15], [16, 17, 18]]


def by_hand(query: list[float], key: list, value: list, scale: float) -> list[float]:
    """One row of softmax(Q Kᵀ · scale) V in plain Python."""
    scores = [scale * sum(q * k for q, k in zip(query, row, strict=True)) for row in key]
    weights = [math.exp(score - max(scores)) for score in scores]
    total = sum(weights)
    return [
        sum(weight * row[c] for weight, row in zip(weights, value, strict=True)) / total
        for c in range(len(value[0]))
    ]


def test_two_by_three_matrices_as_lists() -> None:
    out = heedful.attention(Q, K, V)
    assert out.dtype == np.float64
    # QKᵀ = [[50, 68], [122, 167]]: the second key wins by e^(18/√3) and e^(45/√3)
    expected = [by_hand(row, K, V, 1 / math.sqrt(3)) for row in Q]
    np.testing.assert_allclose(out, expected, rtol=1e-14)
    np.testing.assert_allclose(
        out[0], [15.9999080001, 16.9999080001, 17.9999080001], rtol=0, atol=1e-10
    )
    np.testing.assert_allclose(out[1], [16, 17, 18], rtol=0, atol=1e-9)


def test_the_steps_one_by_one() -> None:
    scores = heedful.attention_scores(Q, K)
    np.testing.assert_allclose(scores, np.array([[50, 68], [122, 167]]) / np.sqrt(3), rtol=1e-14)
    weights = heedful.attention_weights(Q, K)
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    np.testing.assert_allclose(
        weights, exponentials / exponentials.sum(axis=1, keepdims=True), rtol=1e-12
    )
    np.testing.assert_allclose(weights @ np.array(V), heedful.attention(Q, K, V), rtol=1e-14)


def test_a_single_query_vector_against_a_matrix() -> None:
    query, key, value = [1.0, 0.5, -1.0], [[1, 2, 3], [0, 1, 0], [2, 0, 1], [1, 1, 1]], np.eye(4)
    out = heedful.attention(query, key, value)
    assert out.shape == (4,)
    np.testing.assert_allclose(
        out, by_hand(query, key, value.tolist(), 1 / math.sqrt(3)), rtol=1e-14
    )
    np.testing.assert_allclose(heedful.attention_weights(query, key), out, rtol=1e-14)


COLUMN = np.array([[1], [2], [3], [4], [5]])
VALUES = np.array([[9], [8], [7], [6], [5]])
ALPHA = math.sqrt(COLUMN.shape[1]) / math.sqrt(VALUES.shape[1])  # √d_k / √d_v


@pytest.mark.parametrize(
    ("options", "factor"),
    [
        ({}, 1 / math.sqrt(1)),
        ({"scale": 1.0}, 1.0),
        ({"scale": ALPHA / math.sqrt(1)}, ALPHA / math.sqrt(1)),
    ],
    ids=["scaled", "unscaled", "with the factor alpha"],
)
def test_columns_of_five_numbers(options: dict[str, float], factor: float) -> None:
    out = heedful.attention(COLUMN, COLUMN, VALUES, **options)
    expected = [by_hand(row, COLUMN.tolist(), VALUES.tolist(), factor) for row in COLUMN.tolist()]
    np.testing.assert_allclose(out, expected, rtol=1e-14)
    np.testing.assert_allclose(
        out[:, 0],
        [5.5480584323, 5.1562906328, 5.0523941670, 5.0186573501, 5.0067836548],
        atol=1e-10,
    )


def test_the_factor_alpha_where_it_is_not_one() -> None:
    """d_k = 4 and d_v = 9: α / √d_k = 1 / √d_v."""
    rng = np.random.default_rng(0)
    query, key, value = (rng.standard_normal(shape) for shape in ((3, 4), (5, 4), (5, 9)))
    alpha = math.sqrt(4) / math.sqrt(9)
    out = heedful.attention(query, key, value, scale=alpha / math.sqrt(4))
    expected = [by_hand(row, key.tolist(), value.tolist(), 1 / 3) for row in query.tolist()]
    np.testing.assert_allclose(out, expected, rtol=1e-13)


def test_a_flat_list_of_values_says_what_to_write_instead() -> None:
    with pytest.raises(ValueError, match=r"\(L, 1\)|\(5, 1\)"):
        heedful.attention([[1.0]], [1, 2, 3, 4, 5], [9, 8, 7, 6, 5])
