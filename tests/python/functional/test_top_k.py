"""top_k: which keys a query attends to. What follows from them is tested by rows of cases.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from closeness import assert_same_bits
from numpy.typing import NDArray

import heedful
import reference
from heedful.functional._results import KEY_INDEX

Array = NDArray[Any]


def kept_by(query: Array, key: Array, **options: Any) -> NDArray[np.bool_]:
    return heedful.attention_weights(query, key, **options) > 0


def in_order(scores: Array, top_k: int) -> list[int]:
    """By a plain loop: the highest score first, of equal ones the first."""
    left = [j for j in range(len(scores)) if scores[j] > -np.inf]
    chosen: list[int] = []
    while left and len(chosen) < top_k:
        best = left[0]
        for j in left:
            if scores[j] > scores[best]:
                best = j
        left.remove(best)
        chosen.append(best)
    return sorted(chosen)


# --- which keys


@pytest.mark.parametrize("options", [
    {}, {"causal": True, "align": 3000}, {"window": (700, 0), "align": 3800},
    {"kv_lengths": [4100, 900]}, {"mask": True}, {"bias": True}, {"sink": True},
    {"block_mask": True}, {"softcap": 16.0},
], ids=lambda options: next(iter(options), "all"))  # fmt: skip
@pytest.mark.parametrize("top_k", [1, 17, 200])
def test_few_queries_of_many_keys_have_the_same_bits_for_any_number_of_threads(
    options: dict[str, Any], top_k: int, rng: np.random.Generator, dtype: np.dtype[Any]
) -> None:
    """Threads split the keys; scores are whole numbers, of which many tie."""
    rows, keys, heads = 3, 4100, 2
    query = rng.integers(-2, 3, (2, 2 * heads, rows, 16)).astype(dtype)
    key = rng.integers(-2, 3, (2, heads, keys, 16)).astype(dtype)
    value = rng.standard_normal((2, heads, keys, 8)).astype(dtype)
    key[1, 0, 1234, 3] = np.nan
    given = {
        "mask": rng.random((rows, keys)) < 0.5,
        "bias": rng.integers(-2, 3, (2 * heads, rows, keys)).astype(dtype),
        "sink": rng.standard_normal(2 * heads),
        "block_mask": heedful.BlockMask.strided((rows, keys), 3, align="lower_right"),
    }
    options = {name: given.get(name, value) for name, value in options.items()}
    found = []
    for threads in (1, 2, 3, 8):
        with heedful.num_threads(threads):
            out, pullback = heedful.attention_vjp(
                query, key, value, top_k=top_k, scale=0.25, return_lse=True, **options
            )
            found.append((*out, *pullback(np.ones_like(out[0]))[:3]))
    for other in found[1:]:
        for one, same in zip(found[0], other, strict=True):
            assert_same_bits(one, same)
    expected = reference.attention(
        *(array.astype(np.float64) for array in (query, key, value)),
        top_k=top_k, scale=0.25, **options,
    )  # fmt: skip
    tolerance = {"float64": 1e-12, "float32": 1e-5}.get(str(np.dtype(dtype)), 3e-2)
    np.testing.assert_allclose(
        found[0][0].astype(float), expected.out, rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize("top_k", [1, 2, 3, 7, 16, 63, 64, 65, 130, 299])
def test_integers_tie_and_the_lower_index_wins(
    top_k: int, rng: np.random.Generator, dtype: np.dtype[Any]
) -> None:
    query, key = rng.integers(-2, 3, (2, 53, 4)), rng.integers(-2, 3, (2, 300, 4))
    kept = kept_by(query.astype(dtype), key.astype(dtype), top_k=top_k, scale=0.25)
    scores = query @ key.swapaxes(1, 2)
    for head in range(2):
        for i in range(53):
            expected = in_order(scores[head, i], top_k)
            assert np.flatnonzero(kept[head, i]).tolist() == expected, (head, i)


@pytest.mark.parametrize("order", ["rising", "falling", "equal"])
@pytest.mark.parametrize("keys", [5, 255, 257, 1100])
def test_the_order_of_the_scores_does_not_matter(keys: int, order: str) -> None:
    """Each key is a new highest score, or none is after the first."""
    steps = {"rising": np.arange(keys), "falling": -np.arange(keys), "equal": np.zeros(keys)}
    key = steps[order][:, None] / 64
    kept = kept_by(np.ones((19, 1)), key, top_k=4)
    expected = slice(keys - 4, None) if order == "rising" else slice(4)
    assert kept[:, expected].all()
    assert (kept.sum(-1) == 4).all()


def test_restrictions_come_first(rng: np.random.Generator) -> None:
    """The highest scores are those that causal, a mask and a bias leave."""
    query, key = rng.standard_normal((2, 40, 8)), rng.standard_normal((2, 40, 8))
    mask, bias = rng.random((40, 40)) < 0.5, 3 * rng.standard_normal((2, 40, 40))
    options = {"causal": True, "mask": mask, "bias": bias, "softcap": 0.5}
    scores = heedful.attention_scores(query, key, **options)
    kept = kept_by(query, key, **options, top_k=5)
    for head in range(2):
        for i in range(40):
            assert np.flatnonzero(kept[head, i]).tolist() == in_order(scores[head, i], 5)


def test_a_query_that_sees_fewer_keys_attends_to_all(rng: np.random.Generator) -> None:
    x = rng.standard_normal((3, 30, 8)).astype(np.float32)
    out, lse = heedful.attention(x, x, x, causal=True, top_k=10, return_lse=True)
    dense, dense_lse = heedful.attention(x, x, x, causal=True, return_lse=True)
    np.testing.assert_allclose(out[:, :10], dense[:, :10], rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(lse[:, :10], dense_lse[:, :10], rtol=2e-6)
    assert np.abs(out[:, 10:] - dense[:, 10:]).max() > 0.01


def test_as_many_as_there_are_is_no_restriction(rng: np.random.Generator) -> None:
    x = rng.standard_normal((3, 30, 8)).astype(np.float32)
    (out, lse), pullback = heedful.attention_vjp(x, x, x, top_k=30, return_lse=True)
    (dense, dense_lse), dense_pullback = heedful.attention_vjp(x, x, x, return_lse=True)
    assert_same_bits(out, dense)
    assert_same_bits(lse, dense_lse)
    for one, other in zip(pullback(x)[:3], dense_pullback(x)[:3], strict=True):
        assert_same_bits(one, other)


def test_with_one_key_each_query_copies_a_value(rng: np.random.Generator) -> None:
    query, key = rng.standard_normal((2, 37, 8)), rng.standard_normal((2, 301, 8))
    value = rng.standard_normal((2, 301, 5))
    best = (query @ key.swapaxes(1, 2)).argmax(-1)
    expected = np.take_along_axis(value, best[..., None], 1)
    np.testing.assert_allclose(heedful.attention(query, key, value, top_k=1), expected, rtol=1e-15)


def test_a_sink_does_not_count(rng: np.random.Generator) -> None:
    query, key = rng.standard_normal((2, 9, 8)), rng.standard_normal((2, 50, 8))
    sink = np.array([50.0, -1.0])
    kept = heedful.attention_weights(query, key, top_k=6) > 0
    weights = heedful.attention_weights(query, key, top_k=6, sink=sink)
    np.testing.assert_array_equal(weights > 0, kept)
    assert (weights[0].sum(-1) < 1e-6).all()
    _, lse = heedful.attention(query, key, key, top_k=6, sink=sink, return_lse=True)
    np.testing.assert_allclose(lse[0], 50)


@pytest.mark.parametrize("sink", [-80.0, -5.0, 3.0, 5.5, 60.0])
@pytest.mark.parametrize("scale", [5e-324, 1e-80, 1e-70])
def test_a_sink_beside_scores_of_a_vanishing_scale(
    scale: float, sink: float, rng: np.random.Generator
) -> None:
    query, key, value = rng.standard_normal((3, 2, 7, 4)).astype(np.float32)
    dout, sinks = rng.standard_normal((2, 7, 4)).astype(np.float32), [sink, -0.5]
    options = {"scale": scale, "sink": sinks, "mask": np.arange(7) > np.arange(7)[:, None]}
    (out, lse, weights), pullback = heedful.attention_vjp(
        query, key, value, **options, top_k=3, return_lse=True, return_weights=True
    )
    # every score is 0 in float32, so that the 3 highest are any
    seen = np.minimum(np.arange(7)[::-1], 3)
    total = np.exp(np.array(sinks))[:, None] + seen
    np.testing.assert_allclose(lse, np.log(total), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(weights.sum(-1), seen / total, rtol=1e-5)
    np.testing.assert_allclose(out, weights @ value, rtol=1e-5, atol=1e-7)
    gradients = pullback(dout)
    np.testing.assert_allclose(gradients.value, weights.swapaxes(1, 2) @ dout, rtol=1e-5, atol=1e-7)


def test_the_same_keys_are_dropped_as_without_top_k(rng: np.random.Generator) -> None:
    """Dropout counts the positions of the keys."""
    query, key = rng.standard_normal((2, 33, 8)), rng.standard_normal((2, 200, 8))
    dropout = {"dropout_p": 0.4, "rng": 99}
    dense = heedful.attention_weights(query, key, **dropout)
    kept = kept_by(query, key, top_k=20)
    weights = heedful.attention_weights(query, key, top_k=20, **dropout)
    np.testing.assert_array_equal(weights > 0, kept & (dense > 0))


# --- NaN and infinity


@pytest.mark.parametrize("top_k", [1, 3, 20])
def test_nan_in_a_key_reaches_the_queries_that_see_it(top_k: int, rng: np.random.Generator) -> None:
    query, key = rng.standard_normal((40, 8)), rng.standard_normal((40, 8))
    key[17] = np.nan
    out, lse = heedful.attention(query, key, key, causal=True, top_k=top_k, return_lse=True)
    assert np.isnan(out[17:]).all()
    assert np.isnan(lse[17:]).all()
    key[17] = 0
    np.testing.assert_array_equal(
        out[:17], heedful.attention(query, key, key, causal=True, top_k=top_k)[:17]
    )


def test_more_nan_than_are_kept_do_no_harm(rng: np.random.Generator) -> None:
    query, key = rng.standard_normal((40, 8)), rng.standard_normal((1000, 8))
    key[rng.random(1000) < 0.6] = np.nan
    query[3] = np.nan
    assert np.isnan(heedful.attention(query, key, key, top_k=7)).all()


def test_a_value_that_is_not_kept_is_never_read(rng: np.random.Generator) -> None:
    query, key = rng.standard_normal((11, 8)), rng.standard_normal((300, 8))
    value = rng.standard_normal((300, 4))
    expected, pullback = heedful.attention_vjp(query, key, value, top_k=5)
    gradients = pullback(expected)
    hidden = ~kept_by(query, key, top_k=5).any(0)
    assert hidden.sum() > 200
    value[hidden] = np.nan
    out, pullback = heedful.attention_vjp(query, key, value, top_k=5)
    assert_same_bits(out, expected)
    for one, other in zip(pullback(expected)[:3], gradients[:3], strict=True):
        assert_same_bits(one, other)


def test_infinite_keys_and_values_near_the_largest_number(rng: np.random.Generator) -> None:
    largest = np.finfo(np.float32).max
    query, key = (rng.standard_normal((1, 9, 8)).astype(np.float32) for _ in range(2))
    value = np.full((1, 9, 3), largest)
    value[..., 1] *= -1
    out = heedful.attention(query, key, value, top_k=5)
    np.testing.assert_allclose(out[..., 0], largest, rtol=1e-6)
    np.testing.assert_allclose(out[..., 1], -largest, rtol=1e-6)
    key[0, 4] = -np.inf * np.sign(query[0, 0])
    weights = heedful.attention_weights(query[:, :1], key, top_k=8)
    np.testing.assert_array_equal(weights[0, 0, 4], 0)
    np.testing.assert_allclose(weights.sum(), 1, rtol=1e-6)


@pytest.mark.parametrize("size", [1e4, 1e30])
def test_weights_of_very_large_scores_sum_to_1(size: float, rng: np.random.Generator) -> None:
    query = (size * rng.standard_normal((2, 33, 8))).astype(np.float32)
    key = rng.standard_normal((2, 90, 8)).astype(np.float32)
    weights = heedful.attention_weights(query, key, top_k=9)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)


# --- arguments


@pytest.mark.parametrize(
    ("top_k", "kind", "said"),
    [
        (0, ValueError, "top_k must be at least 1: got 0"),
        (-3, ValueError, "top_k must be at least 1: got -3"),
        (8, ValueError, "top_k must be at most the number of keys, 7: got 8"),
        (2**80, ValueError, "top_k must be at most"),
        (2.0, TypeError, "top_k must be an integer: got 2.0"),
        (True, TypeError, "top_k must be an integer: got True"),
        ([3], TypeError, r"top_k must be an integer: got \[3\]"),
    ],
)
def test_what_is_no_number_of_keys_is_refused(top_k: Any, kind: type[Exception], said: str) -> None:
    x = np.ones((2, 7, 4))
    heedful.attention(x, x, x, top_k=1)  # True is not found among the plans as 1
    for _ in range(2):
        with pytest.raises(kind, match=rf"\A{said}"):
            heedful.attention(x, x, x, top_k=top_k)


def test_numpy_integers_are_taken(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 7, 4))
    expected = heedful.attention(x, x, x, top_k=3)
    for number in (np.int64(3), np.uint8(3)):
        assert_same_bits(heedful.attention(x, x, x, top_k=number), expected)


def test_ragged_lengths_may_be_shorter_than_top_k(rng: np.random.Generator) -> None:
    x = rng.standard_normal((3, 2, 9, 4))
    out = heedful.attention(x, x, x, top_k=6, kv_lengths=[9, 4, 0])
    assert (out[2] == 0).all()
    np.testing.assert_allclose(out[1], heedful.attention(x, x, x, kv_lengths=[9, 4, 0])[1])


@pytest.mark.once
def test_more_keys_than_indices_can_count_are_refused() -> None:
    key = np.broadcast_to(np.float32(1), (2**31, 2))
    with pytest.raises(ValueError, match=r"\Atop_k must be None for more than 2147483647 keys"):
        heedful.attention(np.ones((1, 2), np.float32), key, key, top_k=3)
    assert KEY_INDEX.itemsize == 4


def test_the_reference_selects_by_a_plain_loop(rng: np.random.Generator) -> None:
    scores = rng.integers(-3, 4, (5, 20)).astype(float)
    scores[rng.random(scores.shape) < 0.2] = -np.inf
    for row, kept in zip(scores, reference.highest(scores, 6), strict=True):
        expected = in_order(row, 6)
        assert [j for j in np.flatnonzero(kept) if row[j] > -np.inf] == expected
