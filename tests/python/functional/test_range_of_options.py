"""Options at the ends of the range: the float64 result, rounded, or a refusal; never NaN or 0."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import heedful
from reference import Array
from reference import attention as exact_attention
from reference import steps as exact_steps

DTYPES = [np.float32, np.float64]
SHAPES = [(5, 7), (2, 1501), (61, 53), (29, 701)]  # few rows with key splits, one tile, several
FLOAT32_LARGEST = float(np.finfo(np.float32).max)
ROW = np.finfo(float).min

CASES: dict[str, dict[str, Any]] = {
    **{f"scale_{scale:g}": {"scale": scale} for scale in
       (1e38, -1e38, 1e30, 1e20, 1e-20, 1e-30, 1e-39, -1e-39, 1e-45, 1e-310, 5e-324)},
    **{f"scale_{scale:g}_and_more": {"scale": scale, "sink": [0.5, 3.0], "bias": "normal",
                                     "alibi_slopes": [0.1, 0.3], "align": 1} for scale in
       (1e38, 1e30, 1e20, -1e20, 1e-39, 1e-310)},
    **{f"softcap_{cap:g}": {"softcap": cap} for cap in
       (1e39, 1e300, 1.7e308, 1e38, 1e30, 1e-15, 1e-30, 1e-38, 1e-40, 1e-310, 5e-324)},
    "softcap_and_scale_far_apart": {"softcap": 1e30, "scale": 1e-39},
    "softcap_and_scale_large": {"softcap": 2.0, "scale": 1e38},
    "softcap_and_scale_small": {"softcap": 1e-39, "scale": 1e-39},
    **{f"alibi_{slope:g}": {"alibi_slopes": [slope, 0.1], "align": 1} for slope in
       (1e39, 1e38, 1e300, 1e30, 1e-45, 5e-324)},
    **{f"sink_{sink:g}": {"sink": [sink, 0.1]} for sink in
       (1e39, -1e39, 1e300, -1e38, 1e38, 1e-310)},
    **{f"dropout_{p!r}": {"dropout_p": p, "rng": 7} for p in (5e-324, 1e-300, 1 - 2.0**-53)},
    **{f"temperature_{t:g}": {"gumbel_temperature": t, "rng": 7} for t in
       (1e-30, 1e-3, 1e3, 1e30)},
}  # fmt: skip


def draw(dtype: Any, rows: int, keys: int) -> list[Array]:
    rng = np.random.default_rng(rows)
    shapes = ((2, rows, 6), (2, keys, 6), (2, keys, 5), (2, rows, 5))
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def exact(*inputs: Array, **options: Any) -> tuple[Array, Array, Array]:
    """out, weights and lse in long double: its range is larger than that of any option."""
    wide = {
        name: np.asarray(options[name], np.longdouble)
        for name in ("scale", "softcap", "sink", "alibi_slopes", "bias")
        if name in options
    }
    with np.errstate(all="ignore"):
        steps = exact_steps(*inputs, dtype=np.longdouble, **{**options, **wide})
        found, sink = steps.result, steps.sinks[..., None]
        top = np.maximum(steps.logits.max(-1, keepdims=True), sink)
        weights = np.exp(steps.logits - top)  # reference's own are formed from a rounded lse
        weights /= weights.sum(-1, keepdims=True) + np.exp(sink - top)
    return found.out, weights, found.lse


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", CASES)
def test_every_function_agrees_with_float64(name: str, shape: tuple[int, int], dtype: Any) -> None:
    query, key, value, dout = draw(dtype, *shape)
    options = dict(CASES[name])
    if "bias" in options:
        options["bias"] = np.random.default_rng(1).standard_normal(shape)
    out, weights, lse = exact(query, key, value, **options)
    # scores of 1e38 have few digits after the decimal point in any type
    error = 1e-3 if dtype == np.float32 else 1e-6

    (found, found_lse, found_weights), pullback = heedful.attention_vjp(
        query, key, value, return_lse=True, return_weights=True, **options
    )
    largest = np.abs(out).max()
    np.testing.assert_allclose(found, out, atol=error * float(largest), rtol=0)
    np.testing.assert_array_equal(heedful.attention(query, key, value, **options), found)
    gradients = pullback(dout)
    for gradient in gradients:
        assert gradient is None or not np.isnan(gradient).any()
    if "dropout_p" not in options:
        np.testing.assert_allclose(found_weights, weights, atol=error)
        alone = heedful.attention_weights(query, key, **options)
        np.testing.assert_allclose(alone, weights, atol=error)
        dvalue = weights.swapaxes(-1, -2) @ dout
        np.testing.assert_allclose(
            gradients.value, dvalue, atol=error * float(np.abs(dvalue).max()), rtol=0
        )
        if "gumbel_temperature" not in options:
            assert not np.isnan(heedful.attention_scores(query, key, **options)).any()
    again = heedful.attention_backward(dout, query, key, value, found, found_lse, **options)
    np.testing.assert_array_equal(again.value, gradients.value)
    assert not np.isnan(found_lse).any()
    limit = float(np.finfo(dtype).max)
    wanted = np.clip(lse, -limit, limit)
    close = np.abs(np.clip(found_lse, -limit, limit) - wanted) <= error * (np.abs(wanted) + 1)
    assert close.all() or "alibi" in name


@pytest.mark.parametrize("dtype", DTYPES)
def test_packed_sequences_and_additive_attention(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((9, 2, 4)).astype(dtype)
    starts = [0, 4, 9]
    for name, options in CASES.items():
        if "bias" in options or "rng" in options:
            continue
        out, pullback = heedful.attention_varlen_vjp(x, x, x, starts, starts, **options)
        for first, last in ((0, 4), (4, 9)):
            part = x[first:last].swapaxes(0, 1)
            expected, _, _ = exact(part, part, part, **options)
            np.testing.assert_allclose(
                out[first:last].swapaxes(0, 1), expected, atol=1e-3, err_msg=name
            )
        assert all(not np.isnan(g).any() for g in pullback(out) if g is not None)
    y = x.swapaxes(0, 1)
    for options in ({"alibi_slopes": [1e39, 1e-45], "align": 1}, {"sink": [1e39, -1e39]},
                    {"bias": np.full((9, 9), ROW)}):  # fmt: skip
        for weight in (1.0, 1e38, 1e300, 1e-300):
            out, additive = heedful.additive_attention_vjp(y, y, y, np.full(4, weight), **options)
            assert np.isfinite(out).all()
            assert all(not np.isnan(g).any() for g in additive(out) if g is not None)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("scale", [1e39, -1e39, 1e300])
def test_a_scale_beyond_float32_is_refused(scale: float, dtype: Any) -> None:
    x = np.eye(4, dtype=dtype)
    for call in (heedful.attention, heedful.attention_vjp):
        with pytest.raises(ValueError, match=r"scale must be finite in float32.*got -?1e"):
            call(x, x, x, scale=scale)
    with pytest.raises(ValueError, match="scale must be finite in float32"):
        heedful.attention_weights(x, x, scale=scale)
    wide = x.astype(np.float64)
    assert not np.isnan(heedful.attention(wide, wide, wide, scale=scale)).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("lowest", [ROW, -1e39, -FLOAT32_LARGEST])
def test_a_finite_bias_hides_nothing(lowest: float, shape: tuple[int, int], dtype: Any) -> None:
    query, key, value, dout = draw(dtype, *shape)
    bias = np.zeros(shape)
    bias[0] = lowest  # all keys of a row: uniform
    bias[1, ::2] = lowest
    for given in (bias, bias[0], bias[:, :1], np.asfortranarray(bias), bias[None].repeat(2, 0)):
        wide = [array.astype(np.float64) for array in (query, key, value)]
        expected = exact_attention(*wide, bias=given)
        out, pullback = heedful.attention_vjp(query, key, value, bias=given)
        np.testing.assert_allclose(out, expected.out, atol=5e-3 if dtype == np.float16 else 1e-5)
        assert all(np.isfinite(g).all() for g in pullback(dout) if g is not None)
        weights = heedful.attention_weights(query, key, bias=given)
        np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)
        assert np.isfinite(heedful.attention_scores(query, key, bias=given)).all()
    padded = heedful.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    np.testing.assert_allclose(padded[:, 0], value.mean(1), atol=5e-3)


def test_gradients_stay_finite() -> None:
    query, key, value, _ = draw(np.float32, 5, 7)
    (out, lse, weights), pullback = heedful.attention_vjp(
        query, key, value, return_lse=True, return_weights=True
    )
    dout = np.full(out.shape, 1e300)
    dout[0, 0, 0] = -1e300
    largest = np.where(dout < 0, -FLOAT32_LARGEST, FLOAT32_LARGEST).astype(np.float32)
    for one, other in zip(pullback(dout), pullback(largest), strict=True):
        np.testing.assert_array_equal(one, other)
    dlse, dweights = np.full(lse.shape, 1e300), np.full(weights.shape, -1e300)
    zeros = np.zeros_like(out)
    assert np.isfinite(pullback(zeros, dlse * 1e-262)[0]).all()
    assert not np.isnan(pullback(zeros, dlse)[1]).all()
    assert pullback(zeros, None, dweights)[0].shape == query.shape
    half = heedful.attention_vjp(*(a.astype(np.float16) for a in (query, key, value)))[1]
    assert np.isfinite(half(np.full(out.shape, 7e4)).value[:, :, :1].astype(float)).any()


def test_merging_far_apart() -> None:
    rng = np.random.default_rng(0)
    outs = list(rng.standard_normal((3, 2, 5, 4), dtype=np.float32))
    inf = np.inf
    for lses, expected in (
        ([1e38, -1e38, 0], outs[0]),
        ([FLOAT32_LARGEST, -FLOAT32_LARGEST, 1], outs[0]),
        ([-inf, inf, 0], outs[1]),
        ([inf, inf, 0], (outs[0] + outs[1]) / 2),
        ([1e39, -1e300, 1], outs[0]),
        ([-FLOAT32_LARGEST] * 3, sum(outs) / 3),
        ([-inf] * 3, np.zeros_like(outs[0])),
    ):
        out, lse = heedful.merge_attention(outs, [np.full((2, 5), number) for number in lses])
        np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)
        assert not np.isnan(lse).any()


def test_rotary_bases() -> None:
    x = np.ones((7, 64), np.float32)
    for base in (1e300, 1.7e308, 1e-10, 1e-200):
        assert np.isfinite(heedful.rotary_embedding(x, base=base)).all()
    with pytest.raises(ValueError, match="base must keep the angles finite: got 5e-324"):
        heedful.rotary_embedding(x, base=5e-324)


def test_a_cache_keeps_finite_numbers_finite() -> None:
    cache = heedful.KVCache(dtype=np.float16)
    cache.append(np.full((1, 1, 2, 3), 1e9), np.full((1, 1, 2, 3), -1e9))
    assert cache.key.max() == np.finfo(np.float16).max
    assert cache.value.min() == np.finfo(np.float16).min
