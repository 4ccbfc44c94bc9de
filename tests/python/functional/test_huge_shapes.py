"""Sizes, strides and positions beyond 32 bits, on arrays that cost no memory."""

from __future__ import annotations

import mmap
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import heedful
import reference

Array = NDArray[Any]
MANY = 2**31 + 11


def repeated(rng: np.random.Generator, rows: int, *shape: int, dtype: Any = np.float32) -> Array:
    """(…, rows, D) of more than 2**31 elements, all rows the same memory."""
    *leading, depth = shape
    row = rng.standard_normal((*leading, 1, depth)).astype(dtype)
    return np.broadcast_to(row, (*leading, rows, depth))


def test_keys_of_more_than_two_to_the_31_elements(
    rng: np.random.Generator, dtype: np.dtype[Any]
) -> None:
    query = rng.standard_normal((2, 3, 5, 4)).astype(dtype)
    key, value = (repeated(rng, MANY, 2, 3, 4, dtype=dtype) for _ in range(2))
    out, lse = heedful.attention(query, key, value, kv_lengths=[7, 0], return_lse=True)
    few = heedful.attention(query, key[:, :, :7], value[:, :, :7], kv_lengths=[7, 0])
    np.testing.assert_array_equal(out, few)
    assert (lse[1] == -np.inf).all()


@pytest.mark.parametrize("num_queries", [1, 5, 33])
def test_a_window_far_beyond_two_to_the_31(
    num_queries: int, rng: np.random.Generator, wide_dtype: np.dtype[Any]
) -> None:
    """The last keys of many, and positions that a 32-bit integer would wrap around."""
    query = rng.standard_normal((1, 2, num_queries, 4)).astype(wide_dtype)
    key, value = (repeated(rng, MANY, 1, 2, 4, dtype=wide_dtype) for _ in range(2))
    near = key[:, :, : num_queries + 9], value[:, :, : num_queries + 9]
    options = {"causal": True, "window": (9, None)}
    out, lse = heedful.attention(query, key, value, **options, align="lower_right", return_lse=True)
    expected, expected_lse = heedful.attention(
        query, *near, **options, align="lower_right", return_lse=True
    )
    np.testing.assert_allclose(out, expected, rtol=1e-5)
    np.testing.assert_allclose(lse, expected_lse, rtol=1e-5)


def test_alibi_and_bias_far_beyond_two_to_the_31(rng: np.random.Generator) -> None:
    query = rng.standard_normal((1, 2, 3, 4))
    key, value = (repeated(rng, MANY, 1, 2, 4, dtype=np.float64) for _ in range(2))
    bias = np.broadcast_to(np.array([[[0.25]]]), (2, 3, MANY))
    mask = np.broadcast_to(np.array([[[True]]]), (1, 3, MANY))
    scores = {"alibi_slopes": [0.5, 0.25], "window": (8, 0), "align": "lower_right"}
    out, lse = heedful.attention(query, key, value, **scores, bias=bias, mask=mask, return_lse=True)
    exact = reference.attention(
        query, key[:, :, :12], value[:, :, :12], **scores, bias=bias[:, :, :12]
    )
    np.testing.assert_allclose(out, exact.out, rtol=1e-12)
    np.testing.assert_allclose(lse, exact.lse, rtol=1e-12)


@pytest.mark.parametrize("min_weight", [0.0, 1e-3])
def test_the_last_block_of_a_mask_beyond_two_to_the_31(
    min_weight: float, rng: np.random.Generator
) -> None:
    query = rng.standard_normal((1, 2, 3, 4))
    key, value = (repeated(rng, MANY, 1, 2, 4, dtype=np.float64) for _ in range(2))
    blocks = np.zeros((1, 2**11 + 1), bool)
    blocks[0, -1] = True  # 11 keys
    mask = heedful.BlockMask(blocks, (8, 2**20), (3, MANY))
    scores = {"alibi_slopes": [0.5, 0.25], "causal": True, "align": "lower_right"}
    out, lse = heedful.attention(
        query, key, value, block_mask=mask, min_weight=min_weight, **scores, return_lse=True
    )
    exact = reference.attention(query, key[:, :, :11], value[:, :, :11], **scores)
    np.testing.assert_allclose(out, exact.out, rtol=1e-12)
    np.testing.assert_allclose(lse, exact.lse, rtol=1e-12)


@pytest.fixture(scope="module")
def vast() -> Array:
    """40 GB of float32 without physical pages until they are written."""
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux promises memory that it does not have")
    without_reserve = 0x4000  # MAP_NORESERVE
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | without_reserve
    return np.frombuffer(mmap.mmap(-1, 40 * 2**30, flags=flags), np.float32)


@pytest.mark.parametrize("axis", [-4, -3, -2, -1])
def test_strides_of_more_than_two_to_the_31_elements(
    axis: int, vast: Array, rng: np.random.Generator
) -> None:
    shape = (2, 2, 3, 2)
    elements = 2**31 + 64
    strides = [4 * 3 * 2 * 2, 4 * 3 * 2, 4 * 2, 4]
    strides[axis] = 4 * elements
    arrays = []
    for start in range(3):
        view = np.lib.stride_tricks.as_strided(vast[64 * start :], shape, strides)
        view[...] = rng.standard_normal(shape)
        arrays.append(view)
    # on the last axes, neighbours along the stretched one may overlap in memory: read back
    contiguous = [np.ascontiguousarray(view) for view in arrays]
    out, pullback = heedful.attention_vjp(*arrays)
    expected, pullback_of_contiguous = heedful.attention_vjp(*contiguous)
    np.testing.assert_array_equal(out, expected)
    dout = rng.standard_normal(out.shape).astype(np.float32)
    for gradient, other in zip(pullback(dout)[:3], pullback_of_contiguous(dout)[:3], strict=True):
        np.testing.assert_array_equal(gradient, other)


def test_out_in_memory_of_more_than_two_to_the_31_elements(
    vast: Array, rng: np.random.Generator
) -> None:
    query = rng.standard_normal((2, 1, 5, 3)).astype(np.float32)
    strides = (4 * (2**31 + 64), 60, 12, 4)
    out = np.lib.stride_tricks.as_strided(vast[1024:], (2, 1, 5, 3), strides)
    assert heedful.attention(query, query, query, out=out) is out
    np.testing.assert_array_equal(out, heedful.attention(query, query, query))


def ones(*shape: int) -> Array:
    return np.broadcast_to(np.float32(1), shape)


TOO_LARGE = {
    "out": ((2**30, 1, 2**10, 1), (2**30, 1, 3, 1), (2**30, 1, 3, 4), {}),
    "lse": ((2**30, 1, 2**13, 1), (2**30, 1, 3, 1), (2**30, 1, 3, 0), {"return_lse": True}),
    "weights": (
        (1, 1, 2**21, 0), (1, 1, 2**21, 0), (1, 1, 2**21, 0),
        {"return_weights": True, "kv_lengths": [0]},
    ),
    "weights beyond 64 bits": (
        (1, 1, 2**10, 0), (1, 1, 2**60, 0), (1, 1, 2**60, 0),
        {"return_weights": True, "kv_lengths": [0]},
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("query", "key", "value", "options"), TOO_LARGE.values(), ids=TOO_LARGE.keys()
)
def test_results_that_fit_into_no_memory_are_a_memory_error(
    query: tuple[int, ...], key: tuple[int, ...], value: tuple[int, ...], options: dict[str, Any]
) -> None:
    """Tera- and petabytes, and one product of sizes that does not fit into 64 bits."""
    with pytest.raises(MemoryError):
        heedful.attention(ones(*query), ones(*key), ones(*value), **options)
