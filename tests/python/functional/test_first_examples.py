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


def divided_by_hand(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> np.ndarray:
    """The scores divided by √d_k, then by α = √d_k / √d_v, as the formula says it."""
    d_k, d_v = key.shape[1], value.shape[1]
    alpha = math.sqrt(d_k) / math.sqrt(d_v)
    scores = (query @ key.T / math.sqrt(d_k)) / alpha
    exponentials = np.exp(scores - scores.max(1, keepdims=True))
    return exponentials / exponentials.sum(1, keepdims=True) @ value


@pytest.mark.parametrize(
    ("options", "factor"),
    [({}, 1 / math.sqrt(1)), ({"scale": 1.0}, 1.0)],
    ids=["scaled", "unscaled"],
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


@pytest.mark.parametrize(
    ("d_k", "d_v", "scale"), [(1, 1, 1.0), (1, 4, 2.0), (4, 9, 3 / 4), (16, 4, 1 / 8)]
)
def test_scores_divided_by_alpha_as_well(d_k: int, d_v: int, scale: float) -> None:
    """1 / (√d_k · α) = √d_v / d_k."""
    rng = np.random.default_rng(0)
    query, key, value = (rng.standard_normal(shape) for shape in ((3, d_k), (5, d_k), (5, d_v)))
    alpha = math.sqrt(d_k) / math.sqrt(d_v)
    assert scale == pytest.approx(1 / (math.sqrt(d_k) * alpha), rel=1e-15)
    out = heedful.attention(query, key, value, scale=scale)
    np.testing.assert_allclose(out, divided_by_hand(query, key, value), rtol=1e-13)


def test_a_column_with_values_of_four_columns() -> None:
    """α = 1/2 doubles the scores."""
    wide = np.repeat(VALUES, 4, axis=1)
    out = heedful.attention(COLUMN, COLUMN, wide, scale=1 / 0.5)
    np.testing.assert_allclose(out, divided_by_hand(COLUMN, COLUMN, wide), rtol=1e-14)
    assert out[:, 0].round(3).tolist() == [5.156, 5.019, 5.002, 5.0, 5.0]


def the_example() -> dict[str, object]:
    import runpy
    from pathlib import Path

    return runpy.run_path(str(Path(__file__).parents[3] / "examples" / "first_steps.py"))


def test_first_steps_divides_by_alpha_too(capsys: pytest.CaptureFixture[str]) -> None:
    found = the_example()
    numbers, wide = found["numbers"], found["wide"]
    np.testing.assert_allclose(found["divided"], divided_by_hand(numbers, numbers, wide))
    assert "divided by √1·α [5.15629063 5.01865735 5.0024" in capsys.readouterr().out


def test_a_flat_list_of_values_says_what_to_write_instead() -> None:
    with pytest.raises(ValueError, match=r"\(L, 1\)|\(5, 1\)"):
        heedful.attention([[1.0]], [1, 2, 3, 4, 5], [9, 8, 7, 6, 5])
