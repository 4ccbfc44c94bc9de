"""The table of semantics, one test for each of its rows on randomness, results and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from closeness import assert_same_bits
from conftest import as_dtype
from numpy.typing import NDArray
from philox import kept_weights

import heedful
import reference

Array = NDArray[Any]
B, H, HKV, LQ, LK, D, DV = 2, 4, 2, 5, 7, 3, 6  # of the fixture inputs


def close(result: Any, expected: Any, tolerance: float = 1e-12) -> None:
    np.testing.assert_allclose(result, expected, rtol=tolerance, atol=tolerance)


def test_dropout(inputs: tuple[Array, ...]) -> None:
    options = {"dropout_p": 0.25, "rng": 99, "return_weights": True}
    plain = heedful.attention_weights(*inputs[:2])
    for threads in (1, 2, 5):
        with heedful.num_threads(threads):
            out, weights = heedful.attention(*inputs, **options)
        kept = kept_weights(np.arange(B), H, LQ, LK, 0.25, 99)
        close(weights, np.where(kept, plain / 0.75, 0))
        close(out, weights @ np.repeat(inputs[2], 2, axis=1))


def test_dropout_and_backward(inputs: tuple[Array, ...], rng: np.random.Generator) -> None:
    (out, lse, weights), pullback = heedful.attention_vjp(
        *inputs, dropout_p=0.5, return_lse=True, return_weights=True
    )
    dout = rng.standard_normal(out.shape)
    of_heads = weights.swapaxes(-1, -2) @ dout
    close(pullback(dout).value, of_heads.reshape(B, HKV, 2, LK, DV).sum(axis=2))
    out, lse = heedful.attention(*inputs, dropout_p=0.5, rng=3, return_lse=True)
    by_hand = heedful.attention_backward(dout, *inputs, out, lse, dropout_p=0.5, rng=3)
    expected = reference.attention_backward(dout, *inputs, dropout_p=0.5, rng=3)
    close(by_hand.query, expected.query)
    with pytest.raises(ValueError, match="rng"):
        heedful.attention_backward(dout, *inputs, out, lse, dropout_p=0.5)
    with pytest.raises(TypeError, match="dropout_p"):
        heedful.attention_scores(*inputs[:2], dropout_p=0.5)  # type: ignore[call-arg]
    close(heedful.attention_weights(*inputs[:2]).sum(axis=-1), 1)
    assert (heedful.attention_weights(*inputs[:2], dropout_p=0.5, rng=3) == 0).any()


def test_vjp_with_extras(inputs: tuple[Array, ...], rng: np.random.Generator) -> None:
    (out, lse), pullback = heedful.attention_vjp(*inputs, return_lse=True)
    dout, dlse = rng.standard_normal(out.shape), rng.standard_normal(lse.shape)
    expected = reference.attention_backward(dout, *inputs, dlse=dlse)
    close(pullback(dout, dlse).query, expected.query)
    (out, weights), pullback = heedful.attention_vjp(*inputs, return_weights=True)
    dweights = rng.standard_normal(weights.shape)
    expected = reference.attention_backward(dout, *inputs, dweights=dweights)
    close(pullback(dout, dweights=dweights).key, expected.key)


def test_varlen(rng: np.random.Generator) -> None:
    query, key, value = (rng.standard_normal((9, 2, 4)) for _ in range(3))
    starts = [0, 4, 9]
    options = {"causal": True, "dropout_p": 0.3, "rng": 5}
    out = heedful.attention_varlen(query, key, value, starts, starts, **options)
    padded = np.zeros((3, 2, 5, 2, 4))
    for place, array in enumerate((query, key, value)):
        padded[place, 0, :4], padded[place, 1] = array[:4], array[4:]
    dense = heedful.attention(
        *padded, **options, layout="blhd", q_lengths=[4, 5], kv_lengths=[4, 5]
    )
    close(out, np.concatenate([dense[0, :4], dense[1]]))
    with pytest.raises(ValueError, match="align"):
        heedful.attention_varlen(query, key, value, starts, [0, 5, 9], causal=True)
    for refused in ("mask", "bias", "return_weights"):
        with pytest.raises(TypeError, match=refused):
            heedful.attention_varlen(query, key, value, starts, starts, **{refused: True})


def test_rng(inputs: tuple[Array, ...]) -> None:
    def drop(seed: Any) -> Array:
        return heedful.attention(*inputs, dropout_p=0.5, rng=seed)

    assert_same_bits(drop(2**64 - 1), drop(2**64 - 1))
    assert (drop(None) != drop(None)).any()
    seed = int(np.random.default_rng(1).integers(0, 2**64, dtype=np.uint64))
    assert_same_bits(drop(np.random.default_rng(1)), drop(seed))
    for refused in (-1, 2**64):
        with pytest.raises(ValueError, match="rng"):
            drop(refused)


def test_lse(inputs: tuple[Array, ...]) -> None:
    scores = heedful.attention_scores(*inputs[:2])
    out, lse = heedful.attention(*inputs, return_lse=True)
    assert lse.shape == out.shape[:-1]
    close(lse, np.log(np.exp(scores).sum(axis=-1)))
    narrow = [array.astype(np.float16) for array in inputs]
    assert heedful.attention(*narrow, return_lse=True)[1].dtype == np.float32
    assert lse.dtype == np.float64


def test_returned(inputs: tuple[Array, ...]) -> None:
    out = heedful.attention(*inputs, dropout_p=0.5, rng=1)
    assert isinstance(out, np.ndarray)
    both = heedful.attention(*inputs, dropout_p=0.5, rng=1, return_lse=True, return_weights=True)
    assert [array.shape for array in both] == [(B, H, LQ, DV), (B, H, LQ), (B, H, LQ, LK)]
    assert_same_bits(both[0], out)
    assert (both[2] == 0).any()  # those applied, after dropout
    single = [array.astype(np.float16) for array in inputs]
    _, weights = heedful.attention(*single, return_weights=True)
    assert weights.dtype == np.float32


def test_bias_and_sink_dtype(inputs: tuple[Array, ...], rng: np.random.Generator) -> None:
    single = [array.astype(np.float32) for array in inputs]
    for name in ("float16", "float32", "float64", "bfloat16"):
        dtype = as_dtype(name)
        bias, sink = rng.standard_normal((LQ, LK)).astype(dtype), np.ones(H, dtype)
        out, pullback = heedful.attention_vjp(*single, bias=bias, sink=sink)
        gradients = pullback(out)
        assert out.dtype == np.float32
        assert gradients.bias.dtype == gradients.sink.dtype == dtype


def test_out(inputs: tuple[Array, ...]) -> None:
    expected = heedful.attention(*inputs)
    target = np.full_like(expected, np.nan)
    assert heedful.attention(*inputs, out=target) is target
    assert_same_bits(target, expected)
    read_only = target.copy()
    read_only.flags.writeable = False
    query = inputs[0]
    overlapping = np.zeros((B, H, LQ, DV))
    overlapping[..., :D] = query
    for refused in (target.astype(np.float32), target[1:], read_only):
        with pytest.raises(ValueError, match="out"):
            heedful.attention(*inputs, out=refused)
    with pytest.raises(ValueError, match="out"):
        heedful.attention(overlapping[..., :D], *inputs[1:], out=overlapping)


def test_gradients(inputs: tuple[Array, ...], rng: np.random.Generator) -> None:
    query, key, value = inputs
    for given in (
        (query, key, value),
        (query[0], key, value[:1]),
        (query.astype(np.float16), key.astype(np.float16), value.astype(np.float16)),
        (query[0, 0], key[:, :1], value[0, :1]),
    ):
        out, pullback = heedful.attention_vjp(*given)
        dout = rng.standard_normal(out.shape)
        expected = reference.attention_backward(dout, *given)
        tolerance = 1e-12 if out.dtype == np.float64 else 2e-2
        for array, gradient, truth in zip(given, pullback(dout)[:3], expected[:3], strict=True):
            assert (gradient.shape, gradient.dtype) == (array.shape, array.dtype)
            close(gradient, truth, tolerance)


def test_determinism(rng: np.random.Generator) -> None:
    inputs = [rng.standard_normal((3, 2, 300, 24)).astype(np.float32) for _ in range(3)]
    results = []
    for threads in (1, 2, 3, 8):
        with heedful.num_threads(threads):
            out, pullback = heedful.attention_vjp(*inputs, causal=True)
            results.append([out, *pullback(out)[:3]])
    for result in results[1:]:
        for array, expected in zip(result, results[0], strict=True):
            assert_same_bits(array, expected)
    alone = heedful.attention(*(array[1:2] for array in inputs), causal=True)
    assert_same_bits(alone, results[0][0][1:2])


def test_threads() -> None:
    before = heedful.get_num_threads()
    with heedful.num_threads(3):
        assert heedful.get_num_threads() == 3
        with heedful.num_threads(1):
            assert heedful.get_num_threads() == 1
        assert heedful.get_num_threads() == 3
    assert heedful.get_num_threads() == before >= 1
    with pytest.raises(ValueError, match="0"):
        heedful.set_num_threads(0)


def test_errors(inputs: tuple[Array, ...]) -> None:
    """One sentence with the argument's name, the expected value and the actual one."""
    query, key, value = inputs
    with pytest.raises(ValueError, match=r"depth.*query has 3, key has 2"):
        heedful.attention(query, key[..., :2], value)
    with pytest.raises(ValueError, match=r"length.*key has 7, value has 6"):
        heedful.attention(query, key, value[:, :, :6])
    with pytest.raises(TypeError, match=r"query.*complex"):
        heedful.attention(query.astype(complex), key, value)
    many = np.broadcast_to(np.float32(0), (2**40, 1, 2**10, 1))
    with pytest.raises(MemoryError):
        heedful.attention(many, many[:1, :, :1], np.ones((1, 1, 1, 64), np.float32))
