"""Outputs lie within the range of the values, also where the values are near the largest number."""

from __future__ import annotations

import itertools
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import heedful
from reference import Array
from reference import attention as exact_attention
from reference import attention_backward as exact_backward

TYPES = [np.float32, np.float64, np.float16, ml_dtypes.bfloat16]
SHAPES = {
    # H, Hkv, Lq, Lk, D, Dv
    "one_row": (1, 1, 1, 1000, 8, 1),
    "few_rows": (2, 1, 2, 47, 5, 7),
    "few_rows_in_parts": (2, 1, 1, 2113, 8, 17),
    "many_rows_of_one_tile": (3, 3, 53, 97, 11, 32),
    "narrow_value": (2, 2, 53, 97, 8, 3),
    "odd_value": (2, 1, 29, 31, 8, 19),
    "many_tiles": (1, 1, 61, 1031, 8, 24),
    "many_rows": (1, 1, 229, 401, 16, 16),
    "rows_in_parts": (1, 1, 23, 1523, 16, 16),
}


def largest(dtype: Any) -> Any:
    return (ml_dtypes if dtype == ml_dtypes.bfloat16 else np).finfo(dtype).max


def draw(name: str, dtype: Any) -> tuple[Array, Array, tuple[int, ...]]:
    heads, kv_heads, rows, keys, depth, value_depth = SHAPES[name]
    rng = np.random.default_rng(len(name))
    query = rng.standard_normal((heads, rows, depth)).astype(dtype)
    key = rng.standard_normal((kv_heads, keys, depth)).astype(dtype)
    return query, key, (kv_heads, keys, value_depth)


def exact_mean(query: Array, key: Array, value: Array, **options: Any) -> Array:
    """In float64, of values that are scaled by 2^-64 where that would overflow too."""
    wide = (array.astype(np.float64) for array in (query, key))
    return exact_attention(*wide, value.astype(np.float64) * 2.0**-64, **options).out


def assert_close(result: Array, shrunk: Array, dtype: Any, error: float = 0.0) -> None:
    error = error or {2: 0.02, 4: 1e-5, 8: 1e-13}[np.dtype(dtype).itemsize]
    assert np.isfinite(result.astype(np.float64)).all()
    difference = result.astype(np.float64) * 2.0**-64 - shrunk
    assert np.abs(difference).max() <= error * np.abs(shrunk).max()


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", SHAPES)
def test_equal_values_come_back(name: str, dtype: Any) -> None:
    query, key, shape = draw(name, dtype)
    for number in (largest(dtype), -largest(dtype), largest(dtype) / dtype(3)):
        value = np.full(shape, number, dtype)
        out = heedful.attention(query, key, value).astype(np.float64)
        assert np.isfinite(out).all()
        error = {2: 0.01, 4: 3e-6, 8: 1e-14}[np.dtype(dtype).itemsize]
        np.testing.assert_allclose(out, float(number), rtol=error)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", SHAPES)
def test_values_of_both_signs(name: str, dtype: Any) -> None:
    query, key, shape = draw(name, dtype)
    rng = np.random.default_rng(7)
    value = (rng.uniform(-1, 1, shape) * float(largest(dtype))).astype(dtype)
    value[..., ::2] = np.abs(value[..., ::2])
    assert_close(heedful.attention(query, key, value), exact_mean(query, key, value), dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "name", ["few_rows_in_parts", "many_rows", "rows_in_parts", "narrow_value"]
)
def test_small_values_beside_huge_ones_keep_their_digits(name: str, dtype: Any) -> None:
    query, key, shape = draw(name, dtype)
    value = np.full(shape, largest(dtype), dtype)
    value[..., 1] = np.finfo(dtype).tiny
    out = heedful.attention(query, key, value)
    np.testing.assert_allclose(out[..., 1], np.finfo(dtype).tiny, rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, ml_dtypes.bfloat16])
@pytest.mark.parametrize("name", ["few_rows", "many_rows", "many_tiles", "odd_value"])
def test_with_every_restriction(name: str, dtype: Any) -> None:
    query, key, shape = draw(name, dtype)
    heads, rows, keys = query.shape[0], query.shape[1], key.shape[1]
    rng = np.random.default_rng(3)
    value = (rng.uniform(0.5, 1, shape) * float(largest(dtype))).astype(dtype)
    mask = rng.random((rows, keys)) < 0.8
    mask[:, 0] = True
    options: dict[str, Any] = {
        "mask": mask,
        "bias": rng.standard_normal((heads, 1, keys)),
        "causal": True,
        "align": "lower_right" if keys > rows else 0,
        "softcap": 2.0,
        "alibi_slopes": np.full(heads, 0.01),
        "sink": np.full(heads, -1.5),
    }
    value[:, -1] = np.inf  # hidden from all but the last row, or from all
    options["kv_lengths"] = keys - 1
    out = heedful.attention(query, key, value, **options)
    finite = np.where(np.isinf(value.astype(np.float64)), 0, value.astype(np.float64))
    assert_close(out, exact_mean(query, key, finite, **options), dtype)


@pytest.mark.parametrize("name", ["few_rows", "many_rows"])
def test_infinite_and_nan_values_still_come_through(name: str) -> None:
    query, key, shape = draw(name, np.float32)
    value = np.full(shape, largest(np.float32), np.float32)
    value[:, 3, 0] = np.inf
    value[:, 5, 1] = np.nan
    value[:, 3, 2], value[:, 4, 2] = np.inf, -np.inf
    out = heedful.attention(query, key, value)
    assert np.isposinf(out[..., 0]).all()
    assert np.isnan(out[..., 1:3]).all()
    np.testing.assert_allclose(out[..., 3:], largest(np.float32), rtol=1e-5)


@pytest.mark.parametrize("name", ["few_rows", "many_rows", "many_tiles"])
def test_dropout_overflows_only_where_the_result_does(name: str) -> None:
    query, key, shape = draw(name, np.float32)
    rng = np.random.default_rng(5)
    value = rng.uniform(-1, 1, shape).astype(np.float32) * largest(np.float32)
    options = {"dropout_p": 0.6, "rng": 11}
    out = heedful.attention(query, key, value, **options).astype(np.float64) * 2.0**-64
    exact = exact_mean(query, key, value, **options)
    limit = float(largest(np.float32)) * 2.0**-64
    near = np.abs(np.abs(exact) - limit) < 1e-5 * limit
    over = np.abs(exact) > limit
    assert np.array_equal(np.isinf(out) | near, over | near)
    assert np.abs(out - exact)[~over & ~near].max() < 1e-5 * limit


@pytest.mark.parametrize("dtype", TYPES)
def test_packed_sequences(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    starts = [0, 3, 70, 71, 101]
    query = rng.standard_normal((101, 2, 8)).astype(dtype)
    value = (rng.uniform(0.9, 1, (101, 2, 5)) * float(largest(dtype))).astype(dtype)
    out = heedful.attention_varlen(query, query, value, starts, starts)
    for first, last in itertools.pairwise(starts):
        part = (array[first:last].swapaxes(0, 1) for array in (query, query, value))
        assert_close(out[first:last].swapaxes(0, 1), exact_mean(*part), dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows", [3, 59])
def test_additive_attention(rows: int, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    query, key = (rng.standard_normal((n, 7)).astype(dtype) for n in (rows, 67))
    value = (rng.uniform(0.5, 1, (67, 5)) * largest(dtype)).astype(dtype)
    out = heedful.additive_attention(query, key, value, np.ones(7))
    plain = heedful.additive_attention(query, key, value * dtype(2.0**-40), np.ones(7))
    np.testing.assert_allclose(out * dtype(2.0**-40), plain, rtol=1e-5)


@pytest.mark.parametrize("dtype", TYPES)
def test_pooling_and_heads_side_by_side(dtype: Any) -> None:
    x = np.full((2, 37, 12), largest(dtype), dtype)
    key = np.random.default_rng(0).standard_normal((2, 37, 12)).astype(dtype)
    found = heedful.attention_pool(x, np.ones(12, dtype), key=key)
    np.testing.assert_allclose(found.astype(float), float(largest(dtype)), rtol=0.01)
    found = heedful.multi_head_attention(key, key, x, num_heads=3)
    np.testing.assert_allclose(found.astype(float), float(largest(dtype)), rtol=0.01)


@pytest.mark.parametrize("dtype", TYPES)
def test_merged_pieces(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    value = (rng.uniform(-1, 1, (67, 5)) * float(largest(dtype))).astype(dtype)
    value[:, 0] = largest(dtype)
    query, key = (rng.standard_normal((n, 7)).astype(dtype) for n in (11, 67))
    pieces = [
        heedful.attention(query, key[part], value[part], return_lse=True)
        for part in (slice(0, 30), slice(30, 60), slice(60, 67))
    ]
    out, _ = heedful.merge_attention(*zip(*pieces, strict=True))
    assert_close(out, exact_mean(query, key, value), dtype)


def test_merged_infinite_pieces_still_come_through() -> None:
    outs = [np.array([[3e38, np.inf, np.nan, np.inf]], np.float32)] * 2
    outs.append(np.array([[3e38, 1, 1, -np.inf]], np.float32))
    out, _ = heedful.merge_attention(outs, [np.zeros(1, np.float32)] * 3)
    np.testing.assert_allclose(out, [[3e38, np.inf, np.nan, np.nan]], rtol=1e-6)


@pytest.mark.parametrize("name", ["few_rows_in_parts", "many_rows", "many_tiles"])
def test_the_same_bits_for_every_number_of_threads_and_in_a_batch(name: str) -> None:
    query, key, shape = draw(name, np.float32)
    rng = np.random.default_rng(5)
    value = rng.uniform(-1, 1, shape).astype(np.float32) * largest(np.float32)
    alone = heedful.attention(query, key, value)
    batch = [np.stack([np.zeros_like(array), array]) for array in (query, key, value)]
    for threads in (1, 2, 3):
        with heedful.num_threads(threads):
            assert heedful.attention(query, key, value).tobytes() == alone.tobytes()
            assert heedful.attention(*batch)[1].tobytes() == alone.tobytes()


@pytest.mark.parametrize("rows", [3, 59])
def test_strided_output_and_half_keys(rows: int) -> None:
    rng = np.random.default_rng(0)
    query = rng.standard_normal((2, rows, 8), dtype=np.float32)
    key = rng.standard_normal((2, 71, 8)).astype(ml_dtypes.bfloat16)
    value = np.full((2, 71, 5), largest(ml_dtypes.bfloat16))
    wide = np.empty((2, rows, 10), np.float32)
    out = heedful.attention(query, key, value, out=wide[..., ::2])
    np.testing.assert_allclose(out, float(largest(ml_dtypes.bfloat16)), rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, ml_dtypes.bfloat16])
@pytest.mark.parametrize("name", ["few_rows", "many_rows_of_one_tile", "many_tiles", "odd_value"])
@pytest.mark.parametrize("upstream", [1.0, 1e-3, 1e-36])
def test_gradients_are_finite_where_they_are_in_exact_arithmetic(
    upstream: float, name: str, dtype: Any
) -> None:
    query, key, shape = draw(name, dtype)
    rng = np.random.default_rng(9)
    top = float(largest(dtype))
    value = (rng.uniform(0.2, 1, shape) * top).astype(dtype)
    options = {"bias": rng.standard_normal((query.shape[1], key.shape[1])), "sink": [0.5, -1, 2]}
    options["sink"] = np.array(options["sink"][: len(query)])
    out, pullback = heedful.attention_vjp(query, key, value, **options)
    dout = (rng.standard_normal(out.shape) * upstream).astype(dtype)
    found = pullback(dout)
    wide = [array.astype(np.longdouble) for array in (dout, query, key, value)]
    exact = exact_backward(*wide, dtype=np.longdouble, **options)
    limit = np.longdouble(top)
    error = {2: 0.06, 4: 1e-4, 8: 1e-12}[np.dtype(dtype).itemsize]
    for field, gradient in found._asdict().items():
        wanted = getattr(exact, field)
        scale = np.abs(wanted).max()
        own = np.longdouble(largest(gradient.dtype.type))
        inside = np.abs(wanted) < own * 0.9
        assert np.isfinite(gradient[inside].astype(float)).all(), field
        difference = np.abs(gradient.astype(np.longdouble) - wanted)[inside]
        assert difference.max(initial=0) <= error * max(scale, limit * 1e-30), field


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_of_additive_attention(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    query, key = (rng.standard_normal((2, n, 7)).astype(dtype) for n in (29, 31))
    value = (rng.uniform(0.5, 1, (2, 31, 11)) * largest(dtype)).astype(dtype)
    out, pullback = heedful.additive_attention_vjp(query, key, value, np.ones(7, dtype))
    dout = rng.standard_normal(out.shape).astype(dtype) / 64
    found = pullback(dout)
    half = dtype(2.0**-32)
    expected = heedful.additive_attention_vjp(query, key, value * half, np.ones(7, dtype))[1](dout)
    for name in ("query", "key", "weight"):
        one, other = getattr(found, name), getattr(expected, name)
        limit = largest(dtype) * half
        inside = np.abs(other) < limit
        assert np.isfinite(one[inside]).all()
        np.testing.assert_allclose(one[inside] * half, other[inside], atol=1e-4 * limit)


def test_nan_upstream_stays_nan() -> None:
    query, key, shape = draw("many_rows", np.float32)
    out, pullback = heedful.attention_vjp(query, key, np.ones(shape, np.float32))
    dout = np.ones_like(out)
    dout[0, 3, 0] = np.nan
    assert np.isnan(pullback(dout).query[0, 3]).all()
