"""The table of semantics, one test for each of its rows on what is computed.

The other rows are in test_semantics_of_results.py; the tests beside these two go into depth.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from closeness import assert_same_bits
from conftest import as_dtype
from numpy.typing import NDArray

import heedful
import reference

Array = NDArray[Any]
B, H, HKV, LQ, LK, D, DV = 2, 4, 2, 5, 7, 3, 6  # of the fixture inputs
LAST = {"align": "lower_right"}


def close(result: Any, expected: Any, tolerance: float = 1e-12) -> None:
    np.testing.assert_allclose(result, expected, rtol=tolerance, atol=tolerance)


def seen(**options: Any) -> list[str]:
    """Which of four keys each of two queries sees."""
    query, key = np.zeros((2, 1)), np.zeros((4, 1))
    weights = heedful.attention_weights(query, key, **options)
    return ["".join("1" if weight else "0" for weight in row) for row in weights]


def test_shapes(inputs: tuple[Array, ...]) -> None:
    query, key, value = inputs
    assert heedful.attention(query, key, value).shape == (B, H, LQ, DV)
    assert heedful.attention(query[0], key[0], value[0]).shape == (H, LQ, DV)
    assert heedful.attention(query[0, 0], key[0, 0], value[0, 0]).shape == (LQ, DV)
    assert heedful.attention(query[0, 0, 0], key[0, 0], value[0, 0]).shape == (DV,)
    broadcast = heedful.attention(query[:, None], key[0], value[None, :1])
    assert broadcast.shape == (B, 1, H, LQ, DV)
    close(broadcast[1, 0], reference.attention(query[1], key[0], value[0]).out)
    with pytest.raises(ValueError, match=r"\(L, 1\)"):
        heedful.attention(query[0, 0], key[0, 0], value[0, 0, :, 0])


def test_layout(inputs: tuple[Array, ...]) -> None:
    swapped = [array.swapaxes(1, 2) for array in inputs]
    out, lse = heedful.attention(*swapped, layout="blhd", return_lse=True)
    expected, expected_lse = heedful.attention(*inputs, return_lse=True)
    assert_same_bits(out.swapaxes(1, 2).copy(), expected)
    assert_same_bits(lse, expected_lse)


def test_heads(inputs: tuple[Array, ...]) -> None:
    query, key, value = inputs
    out = heedful.attention(query, key, value)
    for head in range(H):
        shared = head // (H // HKV)
        close(out[:, head], reference.attention(
            query[:, head : head + 1], key[:, shared : shared + 1], value[:, shared : shared + 1]
        ).out[:, 0])  # fmt: skip
    with pytest.raises(ValueError, match="multiple"):
        heedful.attention(query[:, :3], key, value)


def test_dtypes(inputs: tuple[Array, ...]) -> None:
    for name in ("float32", "float64", "float16"):
        assert heedful.attention(*(array.astype(name) for array in inputs)).dtype == name
    assert heedful.attention(*(array.astype(int) for array in inputs)).dtype == np.float64
    assert heedful.attention(*(array > 0 for array in inputs)).dtype == np.float64
    query, key, value = inputs
    narrow = key.astype(np.float16), value.astype(np.float16)
    assert heedful.attention(query.astype(np.float32), *narrow).dtype == np.float32
    assert heedful.attention(query, *narrow).dtype == np.float64
    swapped = [array.astype(array.dtype.newbyteorder()) for array in inputs]
    close(heedful.attention(*swapped), heedful.attention(*inputs), 0)
    for refused in ("complex64", "longdouble", "object", "str"):
        with pytest.raises(TypeError, match="query"):
            heedful.attention(query.astype(refused), key, value)
    bfloat16 = as_dtype("bfloat16")
    assert heedful.attention(*(array.astype(bfloat16) for array in inputs)).dtype == bfloat16
    with pytest.raises(TypeError, match="bfloat16"):
        heedful.attention(query.astype(bfloat16), *narrow)


def test_scale(inputs: tuple[Array, ...]) -> None:
    close(heedful.attention(*inputs), heedful.attention(*inputs, scale=1 / np.sqrt(D)), 1e-15)
    for scale in (1.0, 0.0, -0.7, 3):
        close(
            heedful.attention(*inputs, scale=scale), reference.attention(*inputs, scale=scale).out
        )
    for refused in (np.inf, np.nan):
        with pytest.raises(ValueError, match="scale"):
            heedful.attention(*inputs, scale=refused)


def test_order(inputs: tuple[Array, ...]) -> None:
    """Scale, softcap, ALiBi, bias, then the restrictions."""
    query, key, _ = inputs
    products = query @ np.repeat(key, 2, axis=1).swapaxes(-1, -2)
    i, j = np.ogrid[:LQ, :LK]
    expected = 1.5 * np.tanh(0.8 * products / 1.5) - 0.25 * np.abs(i + 2 - j) + 0.5
    scores = heedful.attention_scores(
        query, key, scale=0.8, softcap=1.5, alibi_slopes=[0.25] * H, bias=np.array(0.5),
        mask=j != 3, **LAST,
    )  # fmt: skip
    close(scores, np.where(j != 3, expected, -np.inf))


def test_mask(inputs: tuple[Array, ...], rng: np.random.Generator) -> None:
    mask = rng.random((B, 1, LQ, LK)) < 0.6
    close(heedful.attention(*inputs, mask=mask), reference.attention(*inputs, mask=mask).out)
    assert seen(mask=[True, False, True, True]) == ["1011", "1011"]
    with pytest.raises(TypeError, match="mask"):
        heedful.attention(*inputs, mask=mask.astype(float))


def test_bias(inputs: tuple[Array, ...], rng: np.random.Generator) -> None:
    bias = rng.standard_normal((H, 1, LK))
    bias[:, :, 2] = -np.inf
    out, pullback = heedful.attention_vjp(*inputs, bias=bias)
    close(out, reference.attention(*inputs, bias=bias).out)
    gradients = pullback(np.ones_like(out) + out)
    assert gradients.bias.shape == bias.shape
    assert not gradients.bias[:, :, 2].any()
    assert seen(bias=np.array([0, -np.inf, 1, 2])) == ["1011", "1011"]


def test_diagonal(inputs: tuple[Array, ...]) -> None:
    assert seen(causal=True, align="upper_left") == ["1000", "1100"]
    assert seen(causal=True, align="lower_right") == ["1110", "1111"]
    assert seen(causal=True, align=1) == ["1100", "1110"]
    assert seen(causal=True, align=-1) == ["0000", "1000"]
    assert seen(causal=True, align=2**62) == ["1111", "1111"]
    assert seen(align="lower_right") == ["1111", "1111"]
    out = heedful.attention(*inputs, causal=True, align=[0, 2])
    close(out[1], heedful.attention(*inputs, causal=True, **LAST)[1])
    close(
        heedful.attention(*inputs, causal=True, **LAST, q_lengths=[5, 2], kv_lengths=[7, 3]),
        heedful.attention(*inputs, causal=True, align=[2, 1], q_lengths=[5, 2], kv_lengths=[7, 3]),
        0,
    )
    for used in ({"causal": True}, {"window": (1, 1)}, {"alibi_slopes": np.ones(H)}):
        with pytest.raises(ValueError, match=r"(?s)upper_left.*lower_right"):
            heedful.attention(*inputs, **used)


def test_causal() -> None:
    assert seen(causal=True, align="upper_left") == ["1000", "1100"]
    x = np.zeros((3, 1))
    close(heedful.attention_weights(x, x, causal=True), np.tri(3) / [[1], [2], [3]])


def test_window() -> None:
    assert seen(window=(1, 0), align=2) == ["0110", "0011"]
    assert seen(window=(None, 1), align="upper_left") == ["1100", "1110"]
    assert seen(window=(0, None), align="upper_left") == ["1111", "0111"]
    assert seen(window=(None, None)) == ["1111", "1111"]
    with pytest.raises(ValueError, match="window"):
        seen(window=(-1, 0), align=0)


def test_alibi(inputs: tuple[Array, ...], rng: np.random.Generator) -> None:
    query, key, value = inputs
    i, j = np.ogrid[:LQ, :LK]
    for slopes in (rng.random(H), rng.random((B, H))):
        bias = -slopes[..., None, None] * np.abs(i + 2 - j)
        out = heedful.attention(*inputs, alibi_slopes=slopes, **LAST)
        close(out, reference.attention(query, key, value, bias=bias).out)


def test_combination(inputs: tuple[Array, ...], rng: np.random.Generator) -> None:
    options = {
        "mask": rng.random((LQ, LK)) < 0.8, "bias": rng.standard_normal((H, LQ, LK)),
        "causal": True, "window": (3, None), "kv_lengths": [7, 4], **LAST,
    }  # fmt: skip
    out, pullback = heedful.attention_vjp(*inputs, **options)
    close(out, reference.attention(*inputs, **options).out)
    dout = rng.standard_normal(out.shape)
    expected = reference.attention_backward(dout, *inputs, **options)
    for gradient, truth in zip(pullback(dout)[:4], expected[:4], strict=True):
        close(gradient, truth)


def test_lengths(inputs: tuple[Array, ...]) -> None:
    query, key, value = inputs
    out, lse = heedful.attention(*inputs, q_lengths=[5, 3], kv_lengths=[4, 7], return_lse=True)
    close(out[0], heedful.attention(query[0], key[0, :, :4], value[0, :, :4]))
    assert not out[1, :, 3:].any()
    assert (lse[1, :, 3:] == -np.inf).all()
    single = heedful.attention(query[0], key[0], value[0], kv_lengths=4)
    close(single, out[0])
    for refused in ([5, -1], [5, 8], [5], 5):
        with pytest.raises(ValueError, match="kv_lengths"):
            heedful.attention(*inputs, kv_lengths=refused)


def test_nothing_to_attend(inputs: tuple[Array, ...], rng: np.random.Generator) -> None:
    mask = np.ones((LQ, LK), bool)
    expected = heedful.attention(*inputs, mask=mask)
    mask[2] = False
    bias = rng.standard_normal((LQ, LK))
    (out, lse, weights), pullback = heedful.attention_vjp(
        *inputs, mask=mask, bias=bias, return_lse=True, return_weights=True
    )
    assert not out[:, :, 2].any()
    assert not weights[:, :, 2].any()
    assert (lse[:, :, 2] == -np.inf).all()
    gradients = pullback(np.ones_like(out))
    assert not gradients.query[:, :, 2].any()
    assert not gradients.bias[2].any()
    others = np.arange(LQ) != 2
    assert_same_bits(heedful.attention(*inputs, mask=mask)[:, :, others], expected[:, :, others])
    _, with_sink = heedful.attention(*inputs, mask=mask, sink=[1.0, 2.0, 3.0, 4.0], return_lse=True)
    close(with_sink[0, :, 2], [1, 2, 3, 4])


def test_masked_key(inputs: tuple[Array, ...]) -> None:
    query, key, value = inputs
    mask = np.arange(LK) != 4
    expected = heedful.attention(*inputs, mask=mask)
    for planted in (np.nan, np.inf, -np.inf, 1e300):
        key[:, :, 4] = value[:, :, 4] = planted
        assert_same_bits(heedful.attention(query, key, value, mask=mask), expected)
    key[:, :, 4] = np.nan
    assert np.isnan(heedful.attention(query, key, value)).all()


def test_softcap(inputs: tuple[Array, ...]) -> None:
    query, key, _ = inputs
    scores = heedful.attention_scores(query, key)
    capped = heedful.attention_scores(query, key, softcap=0.7)
    close(capped, 0.7 * np.tanh(scores / 0.7))
    with pytest.raises(ValueError, match="softcap"):
        heedful.attention_scores(query, key, softcap=-1.0)


def test_sink(inputs: tuple[Array, ...], rng: np.random.Generator) -> None:
    sink = rng.standard_normal(H)
    (out, weights), pullback = heedful.attention_vjp(*inputs, sink=sink, return_weights=True)
    scores = heedful.attention_scores(*inputs[:2])
    total = np.exp(scores).sum(axis=-1) + np.exp(sink)[:, None]
    close(weights, np.exp(scores) / total[..., None])
    dout = rng.standard_normal(out.shape)
    close(pullback(dout).sink, reference.attention_backward(dout, *inputs, sink=sink).sink)
