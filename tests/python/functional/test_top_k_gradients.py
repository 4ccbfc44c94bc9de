"""top_k: the same bits whatever else is computed, gradients through the kept keys, memory."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from case import Case
from cases import CASE, CASES
from closeness import assert_same_bits
from numpy.typing import NDArray

import heedful

Array = NDArray[Any]
TOP_K = [case for case in CASES if "top_k" in case.options]
OF_NO_HEAD = [
    case for case in TOP_K
    if not (case.bias or case.alibi or case.sink or "rng" in case.options)
]  # fmt: skip


def kept_by(query: Array, key: Array, **options: Any) -> NDArray[np.bool_]:
    return heedful.attention_weights(query, key, **options) > 0


# --- the same whatever else is computed


@pytest.mark.parametrize("case", TOP_K, ids=str)
@pytest.mark.parametrize("type_name", ["float32", "bfloat16"])
def test_rows_have_the_same_bits_alone(case: Case, type_name: str) -> None:
    """Queries are in other lanes and panels, beside other neighbours."""
    call = case.draw(np.dtype(type_name) if type_name == "float32" else ml_dtypes.bfloat16)
    plain = {"top_k": case.options["top_k"]}
    out, lse = heedful.attention(*call.inputs, **plain, return_lse=True)
    for rows in (slice(case.Lq // 2, None), slice(case.Lq // 3, case.Lq // 3 + 1)):
        some, some_lse = heedful.attention(
            call.query[..., rows, :], *call.inputs[1:], **plain, return_lse=True
        )
        assert_same_bits(some, out[..., rows, :])
        assert_same_bits(some_lse, lse[..., rows])


@pytest.mark.parametrize("case", OF_NO_HEAD, ids=str)
def test_one_head_at_a_time_gives_the_same_bits(case: Case) -> None:
    call = case.draw(np.float32)
    out = call.run(heedful.attention)
    group = case.H // (case.Hkv or case.H)
    for head in range(case.H):
        kv_head = slice(head // group, head // group + 1)
        alone = heedful.attention(
            call.query[:, head : head + 1], call.key[:, kv_head], call.value[:, kv_head],
            **call.options,
        )  # fmt: skip
        assert_same_bits(alone, out[:, head : head + 1])


def test_gradients_of_many_heads_are_those_of_each(rng: np.random.Generator) -> None:
    """More than are computed at a time."""
    x = rng.standard_normal((40, 300, 8), dtype=np.float32)
    _, pullback = heedful.attention_vjp(x, x, x, top_k=150)
    together = pullback(x)
    for head in (0, 17, 39):
        _, pullback = heedful.attention_vjp(*[x[head : head + 1]] * 3, top_k=150)
        for one, other in zip(pullback(x[head : head + 1])[:3], together[:3], strict=True):
            assert_same_bits(one, other[head : head + 1])


@pytest.mark.parametrize("case", TOP_K, ids=str)
def test_packed_sequences_have_the_bits_of_the_padded_batch(case: Case) -> None:
    options = {
        name: given for name, given in case.options.items()
        if name not in ("q_lengths", "kv_lengths", "align")
    }  # fmt: skip
    lengths = [case.Lk, 1, max(1, case.Lk // 2)]
    case = replace(case, B=(3,), Lq=case.Lk, mask="", bias="", options={})
    call, top_k = case.draw(np.float32), options.pop("top_k")
    out = call.run(heedful.attention, **options, q_lengths=lengths, kv_lengths=lengths, top_k=top_k)
    packed = [
        np.concatenate([array[i, :, :n].swapaxes(0, 1) for i, n in enumerate(lengths)])
        for array in call.inputs
    ]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    found = heedful.attention_varlen(
        *packed, starts, starts, **call.options, **options, top_k=top_k
    )
    for i, n in enumerate(lengths):
        assert_same_bits(found[starts[i] : starts[i] + n].swapaxes(0, 1), out[i, :, :n])


# --- gradients


def test_keys_that_nobody_kept_have_no_gradient(rng: np.random.Generator) -> None:
    query, key = rng.standard_normal((2, 3, 8)), rng.standard_normal((2, 300, 8))
    out, pullback = heedful.attention_vjp(query, key, key, top_k=4)
    gradients = pullback(np.ones_like(out))
    kept = kept_by(query, key, top_k=4).any(1)
    for gradient in gradients[1:3]:
        np.testing.assert_array_equal((gradient != 0).any(-1), kept)


def test_sums_that_overflow_within_the_range_of_the_result() -> None:
    """Gradients of a value that exceed float32 in part, and cancel."""
    query, key = np.ones((1, 64, 4), np.float32), np.zeros((1, 9, 4), np.float32)
    key[0, 5] = 1
    dout = np.full((1, 64, 4), 2e38, np.float32)
    dout[:, 32:] *= -1
    _, pullback = heedful.attention_vjp(query, key, key, top_k=1)
    assert np.abs(pullback(dout).value.astype(float)).max() < 64 * 2e38 * 2.0**-23


def test_gradients_of_a_merged_lse(rng: np.random.Generator) -> None:
    """Two pieces of the keys, of each of which as many are kept."""
    query, key, value = (rng.standard_normal((2, n, 8)) for n in (17, 60, 60))
    pieces = [slice(0, 25), slice(25, 60)]
    found = [
        heedful.attention(query, key[:, piece], value[:, piece], top_k=6, return_lse=True)
        for piece in pieces
    ]
    out, lse = heedful.merge_attention(*zip(*found, strict=True))
    mask = np.concatenate([kept_by(query, key[:, piece], top_k=6) for piece in pieces], -1)
    exact, pullback = heedful.attention_vjp(query, key, value, mask=mask)
    np.testing.assert_allclose(out, exact, rtol=1e-12)
    dout = rng.standard_normal(out.shape)
    expected = pullback(dout)
    parts = [
        heedful.attention_backward(dout, query, key[:, piece], value[:, piece], out, lse, top_k=6)
        for piece in pieces
    ]
    np.testing.assert_allclose(parts[0].query + parts[1].query, expected.query, atol=1e-13)
    np.testing.assert_allclose(
        np.concatenate([part.key for part in parts], 1), expected.key, atol=1e-13
    )


@pytest.mark.parametrize("name", ["top_k", "top_k_with_everything"])
def test_attention_backward_selects_again(name: str) -> None:
    call = CASE[name].draw(np.float32)
    (out, lse), pullback = call.run(heedful.attention_vjp, return_lse=True)
    found = heedful.attention_backward(call.dout, *call.inputs, out, lse, **call.options)
    for one, other in zip(found, pullback(call.dout), strict=True):
        if other is not None:
            assert_same_bits(one, other)


# --- memory

PEAK = """
import resource, sys
import numpy as np
import heedful
heedful.set_num_threads(2)  # each has scratch of its own
length, top_k = int(sys.argv[1]), int(sys.argv[2])
rng = np.random.default_rng(0)
x = rng.standard_normal((1, length, 16), dtype=np.float32)
heedful.attention_vjp(*[x[:, :256]] * 3, top_k=top_k)[1](x[:, :256])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
out, pullback = heedful.attention_vjp(x, x, x, causal=True, top_k=top_k)
pullback(out)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
@pytest.mark.once
def test_memory_is_linear_in_the_length() -> None:
    def peak(length: int) -> float:
        words = [sys.executable, "-c", PEAK, str(length), "32"]
        done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=300)
        return float(done.stdout) / 1024  # MB

    # a matrix of scores would take 1 GB; indices and two numbers for each kept key 6 MB
    assert peak(16384) < 40
