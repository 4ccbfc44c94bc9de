"""Attention with a block mask: what the table of cases does not reach."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import heedful
import reference

Array = NDArray[Any]


def normal(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


def blocks_of(seed: int, *shape: int, share: float = 0.4) -> Array:
    return np.random.default_rng(seed).random(shape) < share


def test_a_mask_for_other_lengths_is_refused() -> None:
    x = normal(0, 2, 40, 8)
    mask = heedful.BlockMask(np.ones((3, 4), bool), 16, (40, 50))
    with pytest.raises(ValueError, match=r"block_mask must have the lengths \(Lq, Lk\) = \(40, 40"):
        heedful.attention(x, x, x, block_mask=mask)


def test_a_mask_for_other_heads_is_refused() -> None:
    x = normal(0, 2, 40, 8)
    mask = heedful.BlockMask(np.ones((3, 3, 3), bool), 16, 40)
    with pytest.raises(ValueError, match="block_mask must broadcast to the leading axes and heads"):
        heedful.attention(x, x, x, block_mask=mask)


@pytest.mark.parametrize("given", [np.ones((3, 3), bool), "causal", 3])
def test_something_else_is_refused(given: Any) -> None:
    x = normal(0, 2, 40, 8)
    with pytest.raises(TypeError, match=r"block_mask must be a heedful\.BlockMask: got"):
        heedful.attention(x, x, x, block_mask=given)


def test_hidden_blocks_are_not_read() -> None:
    query, key, value = (normal(seed, 1, 2, 200, 16) for seed in range(3))
    exists = blocks_of(3, 2, 4, 4)
    exists[:, :, 2] = False
    mask = heedful.BlockMask(exists, 50, 200)
    expected = heedful.attention(query, key, value, block_mask=mask)
    key[:, :, 100:150] = value[:, :, 100:150] = np.nan
    found, pullback = heedful.attention_vjp(query, key, value, block_mask=mask)
    np.testing.assert_array_equal(found, expected)
    gradients = pullback(np.ones_like(found))
    assert np.isfinite(gradients.query).all()
    assert (gradients.key[:, :, 100:150] == 0).all()
    assert (gradients.value[:, :, 100:150] == 0).all()


def test_each_packed_sequence_is_masked_from_its_start() -> None:
    lengths, starts = (37, 0, 64, 21), [0, 37, 37, 101, 122]
    query, key, value = (normal(seed, 122, 2, 8) for seed in range(3))
    mask = heedful.BlockMask(blocks_of(3, 4, 2, 4, 4), 16, 64)
    found, pullback = heedful.attention_varlen_vjp(
        query, key, value, starts, starts, block_mask=mask, causal=True
    )
    gradients = pullback(np.ones_like(found))
    dense = mask.to_dense()
    for s, length in enumerate(lengths):
        rows = slice(starts[s], starts[s] + length)
        arrays = [x[rows].swapaxes(0, 1) for x in (query, key, value)]
        options = {"mask": dense[s, :, :length, :length], "causal": True}
        expected = reference.attention(*arrays, **options).out
        np.testing.assert_allclose(found[rows].swapaxes(0, 1), expected, atol=1e-12)
        exact = reference.attention_backward(np.ones_like(expected), *arrays, **options)
        np.testing.assert_allclose(gradients.key[rows].swapaxes(0, 1), exact.key, atol=1e-12)


def test_a_mask_shorter_than_a_sequence_is_refused() -> None:
    x = normal(0, 60, 2, 8)
    mask = heedful.BlockMask(np.ones((2, 2), bool), 16, 32)
    with pytest.raises(ValueError, match="at least as long as the longest sequence"):
        heedful.attention_varlen(x, x, x, [0, 20, 60], [0, 20, 60], block_mask=mask)


@pytest.mark.parametrize("rows", [slice(40, 90), [3, 77, 150], 199])
def test_weights_of_some_rows(rows: Any) -> None:
    query, key = normal(0, 2, 200, 8), normal(1, 2, 300, 8)
    mask = heedful.BlockMask(blocks_of(3, 2, 5, 5), (48, 64), (200, 300))
    found = heedful.attention_weights(query, key, block_mask=mask, rows=rows)
    expected = reference.attention(query, key, normal(2, 2, 300, 4), mask=mask.to_dense()).weights
    np.testing.assert_allclose(found, expected[:, rows], atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_same_bits_for_every_number_of_threads(dtype: str) -> None:
    query, key, value = (normal(seed, 2, 4, 700, 32).astype(dtype) for seed in range(3))
    mask = heedful.BlockMask(blocks_of(3, 4, 11, 6, share=0.3), (64, 128), 700)

    def run(threads: int) -> list[Array]:
        with heedful.num_threads(threads):
            out, pullback = heedful.attention_vjp(
                query, key, value, block_mask=mask, causal=True, align=0
            )
            return [out, *pullback(np.ones_like(out))[:3]]

    first = run(1)
    for threads in (2, 3):
        for found, expected in zip(run(threads), first, strict=True):
            np.testing.assert_array_equal(found, expected)
    alone = heedful.attention(query[1:], key[1:], value[1:], block_mask=mask, causal=True, align=0)
    np.testing.assert_array_equal(alone, first[0][1:])


def test_one_mask_of_a_batch() -> None:
    query, key, value = (normal(seed, 3, 2, 100, 8) for seed in range(3))
    mask = heedful.BlockMask(blocks_of(3, 3, 1, 4, 4), 32, 100)
    found = heedful.attention(query, key, value, block_mask=mask)
    expected = reference.attention(query, key, value, mask=mask.to_dense()).out
    np.testing.assert_allclose(found, expected, atol=1e-12)
