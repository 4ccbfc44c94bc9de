"""Packed sequences without padding, against dense calls and the oracle, one sequence at a time."""

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
H, HKV, D, DV = 4, 2, 11, 7
Q_LENGTHS = np.array([5, 0, 33, 1, 197, 17, 3])
K_LENGTHS = np.array([9, 4, 33, 1283, 50, 0, 389])
SAME = np.array([5, 0, 33, 1, 197, 17, 385])

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "causal upper left": {"causal": True, "align": "upper_left"},
    "causal lower right": {"causal": True, "align": "lower_right"},
    "an offset": {"causal": True, "align": 3},
    "offsets": {"causal": True, "align": [0, 1, -2, 1000, 5, 0, 380]},
    "window": {"window": (7, 2), "align": "lower_right"},
    "alibi": {"alibi_slopes": [0.5, 0.25, 0.1, 0.0], "align": "lower_right"},
    "alibi per sequence": {
        "alibi_slopes": np.linspace(0, 1, 28).reshape(7, 4), "align": "upper_left", "causal": True,
    },
    "softcap and scale": {"softcap": 1.5, "scale": 0.7},
    "sink": {"sink": np.array([0.5, -1.0, 2.0, 0.0])},
    "dropout": {"dropout_p": 0.3, "rng": 2**40 + 1},
    "gumbel": {"gumbel_temperature": 0.7, "rng": 2**40 + 1},
    "key_dropout": {"key_dropout_p": 0.3, "rng": 2**40 + 1},
    "all": {
        "causal": True, "align": "lower_right", "window": (300, None), "softcap": 2.0,
        "alibi_slopes": [0.5, 0.25, 0.1, 0.0], "sink": np.array([0.5, -1.0, 2.0, 0.0]),
        "dropout_p": 0.3, "rng": 5,
    },
}  # fmt: skip
options_of = pytest.mark.parametrize("name", OPTIONS)


def starts(lengths: Array) -> Array:
    return np.concatenate([[0], np.cumsum(lengths)])


def draw(rng: np.random.Generator, q_lengths: Array, k_lengths: Array, dtype: Any) -> list[Array]:
    shapes = [
        (q_lengths.sum(), H, D), (k_lengths.sum(), HKV, D), (k_lengths.sum(), HKV, DV),
        (q_lengths.sum(), H, DV),
    ]  # fmt: skip
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def dense(array: Array, lengths: Array, sequence: int) -> Array:
    """(1, H, L, D) of one sequence."""
    start = lengths[:sequence].sum()
    return array[start : start + lengths[sequence]].swapaxes(0, 1)[None]


def for_one(options: dict[str, Any], sequence: int) -> dict[str, Any]:
    """The options of one sequence alone, as an item of a batch of one."""
    one = dict(options)
    if isinstance(one.get("align"), list):
        one["align"] = one["align"][sequence]
    slopes = np.asarray(one.get("alibi_slopes", 0))
    if slopes.ndim == 2:
        one["alibi_slopes"] = slopes[sequence]
    return one


@options_of
def test_each_sequence_is_dense_attention(
    name: str, rng: np.random.Generator, wide_dtype: np.dtype[Any]
) -> None:
    options = OPTIONS[name]
    query, key, value, dout = draw(rng, Q_LENGTHS, K_LENGTHS, wide_dtype)
    packed = query, key, value, starts(Q_LENGTHS), starts(K_LENGTHS)
    (out, lse), pullback = heedful.attention_varlen_vjp(*packed, **options, return_lse=True)
    dlse = rng.standard_normal(lse.shape).astype(lse.dtype)
    gradients = pullback(dout, dlse)
    assert_same_bits(heedful.attention_varlen(*packed, **options), out)
    assert out.shape == dout.shape
    assert lse.shape == (H, len(query))
    tolerance = {"rtol": 1e-5, "atol": 1e-4} if wide_dtype == np.float32 else {"atol": 1e-12}
    dsink = 0.0
    for sequence in range(len(Q_LENGTHS)):
        rows = slice(Q_LENGTHS[:sequence].sum(), Q_LENGTHS[: sequence + 1].sum())
        keys = slice(K_LENGTHS[:sequence].sum(), K_LENGTHS[: sequence + 1].sum())
        inputs = (
            dense(query, Q_LENGTHS, sequence),
            dense(key, K_LENGTHS, sequence),
            dense(value, K_LENGTHS, sequence),
        )
        one = {**for_one(options, sequence), "first_item": sequence}
        exact = reference.attention(*inputs, **one)
        np.testing.assert_allclose(out[rows].swapaxes(0, 1), exact.out[0], **tolerance)
        np.testing.assert_allclose(lse[:, rows], exact.lse[0], **tolerance)
        expected = reference.attention_backward(
            dense(dout, Q_LENGTHS, sequence), *inputs, dlse=dlse[:, rows][None], **one
        )
        for gradient, tokens, truth in (
            (gradients.query, rows, expected.query),
            (gradients.key, keys, expected.key),
            (gradients.value, keys, expected.value),
        ):
            np.testing.assert_allclose(gradient[tokens].swapaxes(0, 1), truth[0], **tolerance)
        if expected.sink is not None:
            dsink = dsink + expected.sink
    assert gradients.bias is None
    if "sink" in options:
        np.testing.assert_allclose(gradients.sink, dsink, rtol=1e-4, atol=1e-4)


@options_of
def test_packed_equals_the_padded_batch(
    name: str, rng: np.random.Generator, dtype: np.dtype[Any]
) -> None:
    """Dropout included: it is keyed by sequences and the positions in them."""
    options = OPTIONS[name]
    query, key, value, _ = draw(rng, Q_LENGTHS, K_LENGTHS, dtype)
    out, lse = heedful.attention_varlen(
        query, key, value, starts(Q_LENGTHS), starts(K_LENGTHS), **options, return_lse=True
    )
    padded = []
    for array, lengths in ((query, Q_LENGTHS), (key, K_LENGTHS), (value, K_LENGTHS)):
        items = np.zeros((len(lengths), lengths.max(), *array.shape[1:]), dtype)
        for sequence, length in enumerate(lengths):
            items[sequence, :length] = array[starts(lengths)[sequence] :][:length]
        padded.append(items)
    dense_out, dense_lse = heedful.attention(
        *padded, **options, layout="blhd", q_lengths=Q_LENGTHS, kv_lengths=K_LENGTHS,
        return_lse=True,
    )  # fmt: skip
    unpacked = [dense_out[item, :length] for item, length in enumerate(Q_LENGTHS)]
    unpacked_lse = [dense_lse[item, :, :length] for item, length in enumerate(Q_LENGTHS)]
    rounding = {"float64": 1e-12, "float32": 1e-5, "float16": 2e-3, "bfloat16": 2e-2}[dtype.name]
    np.testing.assert_allclose(
        out.astype(np.float64),
        np.concatenate(unpacked).astype(np.float64),
        rtol=rounding,
        atol=rounding,
    )
    np.testing.assert_allclose(
        lse, np.concatenate(unpacked_lse, axis=-1), rtol=min(rounding, 1e-5), atol=1e-5
    )


def test_none_aligns_pairs_of_equal_lengths(rng: np.random.Generator) -> None:
    query, key, value, dout = draw(rng, SAME, SAME, np.float64)
    packed = query, key, value, starts(SAME), starts(SAME)
    out, pullback = heedful.attention_varlen_vjp(*packed, causal=True)
    expected, other = heedful.attention_varlen_vjp(*packed, causal=True, align="lower_right")
    assert_same_bits(out, expected)
    for gradient, truth in zip(pullback(dout)[:3], other(dout)[:3], strict=True):
        assert_same_bits(gradient, truth)
    lengths = SAME.copy()
    lengths[:2] = lengths[1::-1]  # the same tokens, split elsewhere
    with pytest.raises(ValueError, match=r"(?s)align.*upper_left.*lower_right"):
        heedful.attention_varlen(query, key, value, starts(SAME), starts(lengths), causal=True)


def test_lengths_shorten_each_sequence(rng: np.random.Generator) -> None:
    lengths = np.array([7, 5, 12])
    query, key, value, _ = draw(rng, lengths, lengths, np.float64)
    q_lengths, kv_lengths = np.array([3, 5, 0]), np.array([7, 2, 12])
    out, lse = heedful.attention_varlen(
        query, key, value, starts(lengths), starts(lengths), causal=True, align="lower_right",
        q_lengths=q_lengths, kv_lengths=kv_lengths, return_lse=True,
    )  # fmt: skip
    for sequence, start in enumerate(starts(lengths)[:-1]):
        inputs = (dense(array, lengths, sequence) for array in (query, key, value))
        exact = reference.attention(
            *inputs, causal=True, align="lower_right",
            q_lengths=q_lengths[[sequence]], kv_lengths=kv_lengths[[sequence]],
        )  # fmt: skip
        rows = slice(start, start + lengths[sequence])
        np.testing.assert_allclose(out[rows].swapaxes(0, 1), exact.out[0], atol=1e-13)
        np.testing.assert_allclose(lse[:, rows], exact.lse[0], atol=1e-13)


def test_tokens_past_the_last_sequence_belong_to_none(rng: np.random.Generator) -> None:
    query, key, value, dout = draw(rng, Q_LENGTHS, K_LENGTHS, np.float32)
    ends = starts(Q_LENGTHS)[:-1], starts(K_LENGTHS)[:-1]  # without the last sequence
    query[ends[0][-1] :] = np.nan
    key[ends[1][-1] :] = np.nan
    (out, lse), pullback = heedful.attention_varlen_vjp(query, key, value, *ends, return_lse=True)
    gradients = pullback(dout)
    assert not out[ends[0][-1] :].any()
    assert (lse[:, ends[0][-1] :] == -np.inf).all()
    assert not gradients.query[ends[0][-1] :].any()
    assert not gradients.key[ends[1][-1] :].any()
    assert not gradients.value[ends[1][-1] :].any()
    assert all(np.isfinite(array).all() for array in (out, *gradients[:3]))


def test_no_sequences_at_all(dtype: np.dtype[Any]) -> None:
    query, key, value = np.ones((3, H, D)), np.ones((5, HKV, D)), np.ones((5, HKV, DV))
    inputs = (array.astype(dtype) for array in (query, key, value))
    out = heedful.attention_varlen(*inputs, [0], [0])
    assert out.shape == (3, H, DV)
    assert not out.any()


def test_a_sequence_has_the_same_bits_alone_and_packed_and_with_any_threads(
    rng: np.random.Generator,
) -> None:
    query, key, value, _ = draw(rng, Q_LENGTHS, K_LENGTHS, np.float32)
    packed = query, key, value, starts(Q_LENGTHS), starts(K_LENGTHS)
    results = []
    for threads in (1, 2, 3, 8):
        with heedful.num_threads(threads):
            results.append(heedful.attention_varlen(*packed))
    for result in results[1:]:
        assert_same_bits(result, results[0])
    for sequence, (rows, keys) in enumerate(zip(Q_LENGTHS, K_LENGTHS, strict=True)):
        first_row, first_key = starts(Q_LENGTHS)[sequence], starts(K_LENGTHS)[sequence]
        alone = heedful.attention_varlen(
            query[first_row : first_row + rows], key[first_key : first_key + keys],
            value[first_key : first_key + keys], [0, rows], [0, keys],
        )  # fmt: skip
        assert_same_bits(alone, results[0][first_row : first_row + rows])


@pytest.mark.parametrize("refused", ["mask", "bias", "return_weights"])
def test_what_packed_sequences_cannot_have_is_refused(refused: str) -> None:
    query = np.ones((3, 1, 2))
    with pytest.raises(TypeError, match=refused):
        heedful.attention_varlen(query, query, query, [0, 3], [0, 3], **{refused: True})


@pytest.mark.parametrize("integer", ["int32", "int64", "uint8", "uint64"])
def test_starts_may_be_of_any_integer_type(integer: str, rng: np.random.Generator) -> None:
    query, key, value, _ = draw(rng, SAME[:3], SAME[:3], as_dtype("float32"))
    ends = starts(SAME[:3])
    expected = heedful.attention_varlen(query, key, value, ends, ends)
    ends = ends.astype(integer)
    assert_same_bits(heedful.attention_varlen(query, key, value, ends, ends), expected)
