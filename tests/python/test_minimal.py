"""What a packager runs: a few seconds, NumPy and pytest alone."""

from __future__ import annotations

import numpy as np
import pytest

import heedful


def softmax(scores: np.ndarray) -> np.ndarray:
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def draw(dtype: type = np.float64) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = (2, 4, 33, 17), (2, 2, 97, 17), (2, 2, 97, 9)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def test_it_says_what_it_is() -> None:
    assert heedful.__version__
    assert "level" in str(heedful.show_config(mode="dicts"))
    assert heedful.get_num_threads() >= 1


def test_the_first_example() -> None:
    out = heedful.attention(
        [[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [10, 11, 12]], [[13, 14, 15], [16, 17, 18]]
    )
    np.testing.assert_allclose(out, [[15.9999, 16.9999, 17.9999], [16, 17, 18]], atol=1e-4)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(np.float64, 1e-13), (np.float32, 2e-6), (np.float16, 2e-3)]
)
def test_forward_is_softmax_of_products_times_values(dtype: type, tolerance: float) -> None:
    query, key, value = draw(dtype)
    out, lse, weights = heedful.attention(query, key, value, return_lse=True, return_weights=True)
    assert out.dtype == dtype
    wide = [np.asarray(array, np.float64) for array in (query, key, value)]
    key, value = (np.repeat(array, 2, axis=1) for array in wide[1:])
    scores = wide[0] @ key.swapaxes(-1, -2) / np.sqrt(17)
    np.testing.assert_allclose(weights, softmax(scores), atol=tolerance)
    np.testing.assert_allclose(out, softmax(scores) @ value, atol=tolerance)
    np.testing.assert_allclose(lse, np.log(np.exp(scores).sum(axis=-1)), atol=tolerance)


def test_causal_windows_masks_and_lengths() -> None:
    query, key, value = draw()
    i, j = np.ogrid[:33, :97]
    kv_lengths = np.array([97, 50])
    p = i + (kv_lengths - 33)[:, None, None, None]
    allowed = (j <= p) & (j >= p - 20) & (j < kv_lengths[:, None, None, None]) & (j % 3 != 1)
    out = heedful.attention(
        query, key, value, causal=True, window=(20, None), align="lower_right",
        kv_lengths=kv_lengths, mask=(np.arange(97) % 3 != 1),
    )  # fmt: skip
    key, value = (np.repeat(array, 2, axis=1) for array in (key, value))
    scores = np.where(allowed, query @ key.swapaxes(-1, -2) / np.sqrt(17), -np.inf)
    np.testing.assert_allclose(out, softmax(scores) @ value, atol=1e-13)


def test_gradients_match_finite_differences() -> None:
    arrays = dict(zip(("query", "key", "value"), draw(), strict=True))
    options = {"causal": True, "align": "lower_right", "softcap": 3.0}
    out, pullback = heedful.attention_vjp(**arrays, **options)
    rng = np.random.default_rng(1)
    dout = rng.standard_normal(out.shape)
    gradients = pullback(dout)
    for name, array in arrays.items():
        direction = rng.standard_normal(array.shape)
        ahead, behind = (
            (heedful.attention(**{**arrays, name: array + step * direction}, **options) * dout)
            for step in (1e-5, -1e-5)
        )
        expected = (getattr(gradients, name) * direction).sum()
        np.testing.assert_allclose((ahead - behind).sum() / 2e-5, expected, rtol=1e-6)


def test_rows_with_nothing_to_attend_are_zero() -> None:
    query, key, value = draw()
    mask = np.ones((33, 97), bool)
    mask[5] = False
    key[..., 7, :] = np.nan
    mask[:, 7] = False
    (out, lse), pullback = heedful.attention_vjp(query, key, value, mask=mask, return_lse=True)
    assert np.isfinite(out).all()
    assert not out[..., 5, :].any()
    assert (lse[..., 5] == -np.inf).all()
    gradients = pullback(np.ones_like(out))
    assert all(np.isfinite(gradient).all() for gradient in gradients[:3])


def test_the_number_of_threads_does_not_change_a_bit() -> None:
    inputs = draw(np.float32)
    results = []
    for threads in (1, 2, 4):
        with heedful.num_threads(threads):
            results.append(heedful.attention(*inputs, dropout_p=0.5, rng=1))
    assert results[0].tobytes() == results[1].tobytes() == results[2].tobytes()


def test_pieces_of_the_keys_merge_into_the_whole() -> None:
    query, key, value = draw()
    pieces = [
        heedful.attention(query, key[:, :, part], value[:, :, part], return_lse=True)
        for part in (slice(0, 30), slice(30, 97))
    ]
    out, _ = heedful.merge_attention(*zip(*pieces, strict=True))
    np.testing.assert_allclose(out, heedful.attention(query, key, value), atol=1e-14)


def test_packed_sequences() -> None:
    rng = np.random.default_rng(2)
    tokens = rng.standard_normal((40, 2, 8))
    out = heedful.attention_varlen(tokens, tokens, tokens, [0, 7, 40], [0, 7, 40], causal=True)
    for rows in (slice(0, 7), slice(7, 40)):
        part = tokens[rows]
        dense = heedful.attention(part, part, part, causal=True, layout="blhd")
        np.testing.assert_allclose(out[rows], dense, atol=1e-14)


def test_a_wrong_call_says_why() -> None:
    with pytest.raises(ValueError, match="same depth"):
        heedful.attention(np.ones((3, 4)), np.ones((5, 6)), np.ones((5, 6)))
