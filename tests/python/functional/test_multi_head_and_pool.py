"""multi_head_attention and attention_pool against plain NumPy, one head and one query at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import heedful
from heedful.testing import gradcheck
from reference import attention as reference


@pytest.mark.parametrize(("heads", "kv_heads"), [(1, None), (6, None), (6, 2), (6, 1)])
def test_heads_are_slices_of_the_last_axis(
    heads: int, kv_heads: int | None, rng: np.random.Generator
) -> None:
    depth, value_depth = 4, 3
    groups = kv_heads or heads
    query = rng.standard_normal((2, 5, heads * depth))
    key = rng.standard_normal((2, 7, groups * depth))
    value = rng.standard_normal((2, 7, groups * value_depth))
    mask = rng.random((2, 1, 5, 7)) < 0.7
    out, lse, weights = heedful.multi_head_attention(
        query, key, value, heads, num_kv_heads=kv_heads, mask=mask, kv_lengths=[7, 4],
        return_lse=True, return_weights=True,
    )  # fmt: skip
    assert out.shape == (2, 5, heads * value_depth)
    assert lse.shape == (2, heads, 5)
    assert weights.shape == (2, heads, 5, 7)
    for head in range(heads):
        group = head // (heads // groups)
        expected = reference(
            query[:, None, :, head * depth :][..., :depth],
            key[:, None, :, group * depth :][..., :depth],
            value[:, None, :, group * value_depth :][..., :value_depth],
            mask=mask, kv_lengths=[7, 4],
        )  # fmt: skip
        part = out[..., head * value_depth :][..., :value_depth]
        np.testing.assert_allclose(part, expected.out[:, 0], rtol=1e-10, atol=1e-12)


def pooled(x: Any, query: Any, scale: float, counted: Any) -> Any:
    scores = np.where(counted, x @ query * scale, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return (weights[..., None] * x).sum(-2), weights


def test_pooling_is_the_weighted_mean(rng: np.random.Generator) -> None:
    x, queries = rng.standard_normal((3, 2, 5, 4)), rng.standard_normal((7, 4))
    lengths = np.array([[5, 1], [2, 3], [4, 5]])
    counted = np.arange(5) < lengths[..., None]
    y, weights = heedful.attention_pool(x, queries, lengths=lengths, return_weights=True)
    one, its_weights = heedful.attention_pool(x, queries[3], mask=counted, return_weights=True)
    assert y.shape == (3, 2, 7, 4)
    expected, expected_weights = pooled(x, queries[3], 0.5, counted)
    for found, wanted in (
        (y[:, :, 3], expected),
        (one, expected),
        (weights[:, :, 3], expected_weights),
        (its_weights, expected_weights),
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-12)
    added = np.where(counted, 0.0, -np.inf)
    np.testing.assert_allclose(heedful.attention_pool(x, queries[3], mask=added), expected)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("with_key", [False, True])
def test_gradients_match_finite_differences(
    several: bool, with_key: bool, rng: np.random.Generator
) -> None:
    x, query = rng.standard_normal((3, 5, 4)), rng.standard_normal((2, 4) if several else 4)
    arrays = [x, query] + ([rng.standard_normal((3, 5, 4))] if with_key else [])

    def function(x: Any, query: Any, *key: Any) -> Any:
        return heedful.attention_pool_vjp(
            x, query, key=key[0] if key else None, lengths=[5, 2, 1], return_weights=True
        )

    assert gradcheck(function, *arrays)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda x: heedful.multi_head_attention(x, x, x, 5), ValueError,
         "num_heads must divide the last axis of query: got 6 and 5"),
        (lambda x: heedful.multi_head_attention(x, x, x, 0), ValueError,
         "num_heads must be at least 1: got 0"),
        (lambda x: heedful.multi_head_attention(x, x, x, 6, num_kv_heads=4), ValueError,
         "num_kv_heads must divide num_heads: got num_heads=6, num_kv_heads=4"),
        (lambda x: heedful.multi_head_attention(x, x, x, 2, layout="bhld"), TypeError,
         "multi_head_attention has neither layout nor out"),
        (lambda x: heedful.attention_pool(x[0, 0], x[0, 0]), ValueError,
         "x and key must have elements and features as axes"),
        (lambda x: heedful.attention_pool(x, x), ValueError,
         "query must have one axis or two"),
    ],
)  # fmt: skip
def test_is_refused_in_one_sentence(call: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        call(np.ones((2, 5, 6)))
