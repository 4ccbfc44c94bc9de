"""Attention with sparse normalisers: out and weights against the oracle, zeros, types, bits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from case import Case
from cases import ENTMAX_CASES
from closeness import assert_as_accurate_as_numpy, assert_same_bits
from numpy.typing import NDArray

import heedful
import reference

Array = NDArray[Any]
each_case = pytest.mark.parametrize("case", ENTMAX_CASES, ids=str)
OF_NO_HEAD = [
    case for case in ENTMAX_CASES
    if not (case.bias or case.alibi or case.blocks or isinstance(case.options["normalizer"], tuple))
]  # fmt: skip


@each_case
def test_out_and_weights_agree_with_the_reference(case: Case) -> None:
    call = case.draw()
    exact = call.run(reference.attention, dtype=np.longdouble)
    plain = call.run(reference.attention)
    out, weights = call.run(heedful.attention, return_weights=True)
    assert_as_accurate_as_numpy(out, plain.out, exact.out, "out")
    assert_as_accurate_as_numpy(weights, plain.weights, exact.weights, "weights")


@each_case
@pytest.mark.parametrize("type_name", ["float32", "float16", "bfloat16"])
def test_other_types_agree_with_the_reference(case: Case, type_name: str) -> None:
    dtype = getattr(np, type_name, None) or ml_dtypes.bfloat16
    call = case.draw(dtype)
    exact = call.run(reference.attention)
    plain = call.run(reference.attention, dtype=np.float32)
    out, weights = call.run(heedful.attention, return_weights=True)
    assert (out.dtype, weights.dtype) == (np.dtype(dtype), np.float32)
    assert_as_accurate_as_numpy(out, plain.out, exact.out, "out")
    assert_as_accurate_as_numpy(weights, plain.weights, exact.weights, "weights")


@each_case
def test_attention_weights_are_those_of_attention(case: Case) -> None:
    call = case.draw(np.float32)
    _, expected = call.run(heedful.attention, return_weights=True)
    weights = heedful.attention_weights(call.query, call.key, **call.options)
    assert_same_bits(weights, expected)
    rows = [case.Lq - 1, 0]
    some = heedful.attention_weights(call.query, call.key, **call.options, rows=rows)
    np.testing.assert_allclose(some, expected[..., rows, :], rtol=2e-4, atol=2e-6)
    mean = heedful.attention_weights(call.query, call.key, **call.options, average_heads=True)
    np.testing.assert_allclose(mean, expected.mean(axis=-3), rtol=1e-5, atol=1e-7)


@each_case
@pytest.mark.parametrize("type_name", ["float32", "bfloat16"])
def test_the_number_of_threads_changes_no_bit(case: Case, type_name: str) -> None:
    call = case.draw(np.float32 if type_name == "float32" else ml_dtypes.bfloat16)
    results = []
    for threads in (1, 2, 3):
        with heedful.num_threads(threads):
            out, pullback = call.run(heedful.attention_vjp)
            results.append([out, *[one for one in pullback(call.dout) if one is not None]])
    for other in results[1:]:
        for one, same in zip(other, results[0], strict=True):
            assert_same_bits(one, same)
    assert_same_bits(call.run(heedful.attention), results[0][0])


@pytest.mark.parametrize("case", OF_NO_HEAD, ids=str)
def test_an_item_and_a_head_alone_have_the_same_bits(case: Case) -> None:
    call = case.draw(np.float32)
    out = call.run(heedful.attention)
    group = case.H // (case.Hkv or case.H)
    for head in range(0, case.H, group):
        kv_head = slice(head // group, head // group + 1)
        alone = heedful.attention(
            call.query[-1:, head : head + group], call.key[-1:, kv_head], call.value[-1:, kv_head],
            **call.options,
        )  # fmt: skip
        assert_same_bits(alone, out[-1:, head : head + group])


@each_case
def test_the_other_layout_and_strides_change_no_bit(case: Case) -> None:
    call = case.draw(np.float32)
    expected, pullback = call.run(heedful.attention_vjp)
    gradients = pullback(call.dout)
    inputs = [np.ascontiguousarray(array.swapaxes(-2, -3)) for array in call.inputs]
    out, pullback = heedful.attention_vjp(*inputs, **call.options, layout="blhd")
    assert_same_bits(out.swapaxes(-2, -3), expected)
    found = pullback(call.dout.swapaxes(-2, -3))
    for name in ("query", "key", "value"):
        np.testing.assert_allclose(
            getattr(found, name).swapaxes(-2, -3), getattr(gradients, name), rtol=1e-4, atol=1e-5
        )
    strided = [np.repeat(array, 2, axis=-1)[..., ::2] for array in call.inputs]
    assert_same_bits(heedful.attention(*strided, **call.options), expected)


def test_packed_sequences_have_the_bits_of_the_padded_batch() -> None:
    lengths = [61, 1, 30]
    case = replace(ENTMAX_CASES[1], B=(3,), Lq=61, Lk=61)
    call = case.draw(np.float32)
    out, pullback = call.run(heedful.attention_vjp, q_lengths=lengths, kv_lengths=lengths)
    gradients = pullback(call.dout)

    def pack(array: Array) -> Array:
        return np.concatenate([array[i, :, :n].swapaxes(0, 1) for i, n in enumerate(lengths)])

    starts = np.concatenate([[0], np.cumsum(lengths)])
    found, pullback = heedful.attention_varlen_vjp(
        *map(pack, call.inputs), starts, starts, **call.options
    )
    assert_same_bits(found, pack(out))
    assert_same_bits(
        heedful.attention_varlen(*map(pack, call.inputs), starts, starts, **call.options), found
    )
    for one, other in zip(pullback(pack(call.dout))[:3], gradients[:3], strict=True):
        assert_same_bits(one, pack(other))


@pytest.mark.parametrize("normalizer", ["sparsemax", "entmax15", 1.2, 1.9])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_sum_to_one_and_are_exactly_zero_below_a_threshold(
    rng: np.random.Generator, normalizer: Any, dtype: Any
) -> None:
    query, key = (rng.standard_normal((2, n, 16)).astype(dtype) for n in (50, 700))
    weights = heedful.attention_weights(query, key, normalizer=normalizer, scale=1.0)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=20 * np.finfo(dtype).eps)
    scores = query.astype(float) @ key.astype(float).swapaxes(-1, -2)
    assert (weights == 0).mean() > 0.5
    for row, of_row in zip(weights.reshape(-1, 700), scores.reshape(-1, 700), strict=True):
        assert of_row[row > 0].min() >= of_row[row == 0].max() - 1e-4


def test_sparsemax_of_two_keys_is_a_clipped_line() -> None:
    """(1 + s₀ − s₁) / 2, between 0 and 1."""
    for difference in (-2.0, -1.0, -0.5, 0.0, 0.25, 3.0):
        weights = heedful.attention_weights(
            [[1.0]], [[difference], [0.0]], normalizer="sparsemax", scale=1.0
        )
        share = min(max((1 + difference) / 2, 0.0), 1.0)
        np.testing.assert_allclose(weights, [[share, 1 - share]], atol=1e-15)


def test_equal_scores_share_equally_and_alpha_close_to_one_is_softmax(
    rng: np.random.Generator,
) -> None:
    x = rng.standard_normal((1, 9, 4))
    for normalizer in ("sparsemax", "entmax15", 1.1):
        np.testing.assert_allclose(
            heedful.attention_weights(0 * x, x, normalizer=normalizer), 1 / 9, rtol=1e-13
        )
    np.testing.assert_allclose(
        heedful.attention_weights(x, x, normalizer=1 + 1e-6), heedful.attention_weights(x, x),
        rtol=1e-4,
    )  # fmt: skip


@pytest.mark.parametrize("normalizer", ["sparsemax", "entmax15", 1.3, (1.3, 1.5)])
def test_rows_with_nothing_to_attend_give_zero(normalizer: Any) -> None:
    x = np.ones((2, 5, 4), np.float32)
    mask = np.ones((5, 5), bool)
    mask[2] = False
    (out, weights), pullback = heedful.attention_vjp(
        x, x, x, mask=mask, normalizer=normalizer, return_weights=True
    )
    assert not out[:, 2].any()
    assert not weights[:, 2].any()
    gradients = pullback(np.ones_like(out), dweights=np.ones_like(weights))
    assert not gradients.query[:, 2].any()
    assert all(np.isfinite(one).all() for one in gradients if one is not None)
    empty = heedful.attention(x, x[:, :0], x[:, :0], normalizer=normalizer)
    assert empty.shape == (2, 5, 4)
    assert not empty.any()


@pytest.mark.parametrize("normalizer", ["sparsemax", "entmax15", 1.3])
def test_keys_of_weight_zero_are_never_used(normalizer: Any) -> None:
    """Their values may hold anything, as those of hidden keys; a NaN that is attended is seen."""
    query = np.array([[[1.0], [-1.0]]], np.float32)
    key = np.array([[[9.0], [8.9], [-9.0]]], np.float32)
    value = np.array([[[1.0], [2.0], [np.nan]]], np.float32)
    out, pullback = heedful.attention_vjp(query, key, value, normalizer=normalizer, scale=1.0)
    assert np.isfinite(out[0, 0]).all()
    assert np.isnan(out[0, 1]).all()
    gradients = pullback(np.array([[[1.0], [0.0]]], np.float32))
    assert np.isfinite(gradients.query[0, 0]).all()
    query[0, 1] = np.nan
    assert np.isnan(heedful.attention(query, key, key, normalizer=normalizer)[0, 1]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_near_the_largest_number_give_finite_results(dtype: Any) -> None:
    largest = np.finfo(dtype).max
    value = np.full((1, 99, 3), largest, dtype)
    x = np.zeros((1, 99, 2), dtype)
    for normalizer in ("sparsemax", "entmax15", 1.3):
        out = heedful.attention(x, x, value, normalizer=normalizer)
        np.testing.assert_allclose(out / largest, 1, rtol=1e-5)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_scales_at_the_ends_of_the_range(rng: np.random.Generator, scale: float) -> None:
    query, key = (rng.standard_normal((2, n, 8), dtype=np.float32) for n in (7, 33))
    weights = heedful.attention_weights(query, key, normalizer="entmax15", scale=scale)
    expected = reference.attention(query, key, key, normalizer="entmax15", scale=scale).weights
    np.testing.assert_allclose(weights, expected, atol=1e-6)


# --- what is refused


def test_what_has_no_meaning_is_refused_in_one_sentence() -> None:
    x = np.ones((2, 5, 4))
    for options, message in (
        ({"top_k": 2}, r"top_k must be None where normalizer is not 'softmax': \w"),
        ({"sink": np.zeros(2)}, r"sink must be None where normalizer is not 'softmax': \w"),
        ({"min_weight": 0.1}, r"min_weight must be 0.0 where normalizer is not 'softmax': \w"),
        ({"return_lse": True}, r"return_lse must be False where normalizer is not 'softmax': \w"),
    ):
        for function in (heedful.attention, heedful.attention_vjp):
            with pytest.raises(ValueError, match=rf"\A{message}"):
                function(x, x, x, normalizer="entmax15", **options)
    starts = [0, 2]
    for varlen in (heedful.attention_varlen, heedful.attention_varlen_vjp):
        with pytest.raises(ValueError, match=r"\Areturn_lse must be False"):
            varlen(x, x, x, starts, starts, normalizer=1.5, return_lse=True)
    out, pullback = heedful.attention_vjp(x, x, x, normalizer="sparsemax")
    with pytest.raises(ValueError, match=r"\Adlse must be None where normalizer is not 'softmax'"):
        pullback(out, dlse=out[..., 0])
    with pytest.raises(ValueError, match=r"\Adweights must be None"):
        pullback(out, dweights=np.ones((2, 5, 5)))


@pytest.mark.parametrize(
    "normalizer", ["entmax", "Softmax", 1, 1.0, 2.01, 0.5, -1.5, np.nan, np.inf, [1.5],
                   [[1.5, 1.5]], [1.5, 1.0]],
)  # fmt: skip
def test_an_unknown_normalizer_is_refused(normalizer: Any) -> None:
    x = np.ones((2, 5, 4))
    with pytest.raises(
        ValueError, match=r"\Anormalizer must be 'softmax', 'entmax15', 'sparsemax'"
    ):
        heedful.attention(x, x, x, normalizer=normalizer)
    for wrong in (None, True, object(), ["a", "b"], [1.5j, 1.5j]):
        with pytest.raises(TypeError, match=r"\Anormalizer must "):
            heedful.attention(x, x, x, normalizer=wrong)


# --- with others


@pytest.mark.peer
def test_pytorch_gives_the_same_by_sorting_and_autograd(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    arrays = [rng.standard_normal((2, n, 8)) for n in (7, 33, 33)]
    tensors = [torch.from_numpy(array).requires_grad_() for array in arrays]
    scores = tensors[0] @ tensors[1].mT / np.sqrt(8)
    for normalizer in ("sparsemax", "entmax15"):
        half = scores if normalizer == "sparsemax" else scores / 2
        falling = half.sort(dim=-1, descending=True).values
        count = torch.arange(1, 34, dtype=torch.float64)
        mean = falling.cumsum(-1) / count
        if normalizer == "sparsemax":
            tau = mean - 1 / count
        else:
            squares = (falling**2).cumsum(-1) / count - mean**2
            tau = mean - torch.sqrt(torch.clamp(1 / count - squares, min=0))
        size = (falling >= tau).sum(-1, keepdim=True)
        excess = torch.clamp(half - tau.gather(-1, size - 1), min=0)
        weights = excess if normalizer == "sparsemax" else excess**2
        expected = weights @ tensors[2]
        out, pullback = heedful.attention_vjp(*arrays, normalizer=normalizer)
        np.testing.assert_allclose(out, expected.detach().numpy(), rtol=1e-12, atol=1e-13)
        dout = rng.standard_normal(out.shape)
        wanted = torch.autograd.grad(expected, tensors, torch.from_numpy(dout), retain_graph=True)
        for one, other in zip(pullback(dout)[:3], wanted, strict=True):
            np.testing.assert_allclose(one, other.numpy(), rtol=1e-9, atol=1e-11)
