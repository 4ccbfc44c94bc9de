"""Additive attention and its gradients against plain NumPy that stores every tanh."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Any

import additive_reference as dense
import numpy as np
import pytest
from case import Call, Case
from cases import CASE, SMALL_CASES
from closeness import assert_as_accurate_as_numpy, assert_same_bits
from numpy.typing import NDArray

import heedful
from heedful.functional._options import OPTIONS
from heedful.testing import gradcheck

Array = NDArray[Any]
PRODUCTS_ONLY = {option.name for option in OPTIONS if "additive_attention" in option.absent}


def without_products(case: Case) -> Case:
    options = {name: given for name, given in case.options.items() if name not in PRODUCTS_ONLY}
    return replace(case, options=options)


CHOSEN = [
    case for case in SMALL_CASES
    if case.Lq * case.Lk * case.D * case.H < 2e6 and not PRODUCTS_ONLY & set(case.options)
]  # fmt: skip
CHOSEN += [without_products(CASE[name]) for name in ("everything", "decode_with_everything")]
cases = pytest.mark.parametrize("case", CHOSEN, ids=str)


def draw(case: Case, dtype: Any, scale: float = 1.0) -> tuple[Call, Array]:
    """The case, and a weight: of each key head for every other case."""
    rng = np.random.default_rng(zlib.crc32(case.name.encode()) + 1)
    call = case.draw(dtype)
    heads = call.key.shape[-3] if case.D % 2 else 0
    shape = (heads, case.D) if heads else (case.D,)
    weight = (rng.standard_normal(shape) * scale).astype(dtype)
    return call, weight


def everything(call: Call, weight: Array, threads: int = 2) -> dict[str, Array]:
    with heedful.num_threads(threads):
        found, pullback = heedful.additive_attention_vjp(
            *call.inputs, weight, **call.options, return_lse=True, return_weights=True
        )
        gradients = pullback(call.dout, dlse=call.dlse, dweights=call.dweights)
    results = dict(zip(("out", "lse", "weights"), found, strict=True))
    results |= {name: value for name, value in gradients._asdict().items() if value is not None}
    return results


def expected(call: Call, weight: Array, dtype: Any) -> dict[str, Array]:
    """Computed in the type `dtype`, from the inputs as they are."""
    forward = dense.attention(*call.inputs, weight, **call.options, dtype=dtype)
    gradients = dense.attention_backward(
        call.dout, *call.inputs, weight, **call.options, dlse=call.dlse, dweights=call.dweights,
        dtype=dtype,
    )  # fmt: skip
    results = {"out": forward.out, "lse": forward.lse, "weights": forward.weights}
    return results | {k: v for k, v in gradients._asdict().items() if v is not None}


@cases
def test_results_and_gradients_are_those_of_the_dense_computation(case: Case) -> None:
    call, weight = draw(case, np.float64)
    found, exact = everything(call, weight), expected(call, weight, np.float64)
    assert found.keys() == exact.keys()
    for name, result in found.items():
        assert result.shape == exact[name].shape, name
        np.testing.assert_allclose(result, exact[name], rtol=1e-9, atol=1e-11, err_msg=name)


ACCURATE = [
    "short_of_one_vector", "past_one_panel", "past_one_key_tile", "deep", "head_of_128", "grouped",
    "decode", "bias_and_mask", "causal_wide", "lengths", "dropout",
]  # fmt: skip


@pytest.mark.parametrize("size", [1e-3, 0.1, 1.0, 4.0])
@pytest.mark.parametrize("name", ACCURATE)
def test_float32_is_as_accurate_as_numpy(name: str, size: float) -> None:
    call, weight = draw(CASE[name], np.float32)
    factor = np.float32(size)
    call = replace(call, query=call.query * factor, key=call.key * factor)
    found = everything(call, weight)
    plain, exact = expected(call, weight, np.float32), expected(call, weight, np.float64)
    for what, result in found.items():
        assert_as_accurate_as_numpy(result, plain[what], exact[what], what)


@pytest.mark.parametrize("name", ["past_one_panel", "grouped", "decode"])
def test_narrow_types_are_widened(name: str, dtype: np.dtype[Any]) -> None:
    call, weight = draw(CASE[name], dtype)
    found = everything(call, weight)
    assert found["out"].dtype == found["key"].dtype == found["weight"].dtype == dtype
    computing = np.float64 if dtype == np.float64 else np.float32
    higher = np.longdouble if dtype == np.float64 else np.float64
    plain, exact = expected(call, weight, computing), expected(call, weight, higher)
    for what in ("out", "lse", "weights", "query", "key", "value", "weight"):
        if dtype.itemsize > 2 or what in ("out", "lse", "weights"):  # out is rounded in between
            assert_as_accurate_as_numpy(found[what], plain[what], exact[what], what)


@pytest.mark.parametrize("num_queries", [1, 3, 17, 97])
@pytest.mark.parametrize("size", [1e-6, 1e-3, 0.3, 2.0, 9.0, 11.0, 50.0])
def test_scores_are_as_accurate_as_numpy(
    size: float, num_queries: int, wide_dtype: np.dtype[Any], rng: np.random.Generator
) -> None:
    """Of one key, whose lse is its score. Small sums of large numbers are among them."""
    key = (size * rng.standard_normal((41, 1, 37))).astype(wide_dtype)
    query = (size * rng.standard_normal((41, num_queries, 37))).astype(wide_dtype)
    query[:, ::2] = -key + query[:, ::2] * wide_dtype.type(1e-3)
    weight = rng.standard_normal(37).astype(wide_dtype)
    value = np.ones_like(key[..., :1])
    _, lse = heedful.additive_attention(query, key, value, weight, return_lse=True)
    plain = np.tanh(query + key) @ weight
    sums = query.astype(np.longdouble) + key.astype(np.longdouble)
    exact = (np.tanh(sums) * weight.astype(np.longdouble)).sum(-1)
    assert_as_accurate_as_numpy(lse, plain, exact.astype(float), "scores")


def test_elements_of_any_size_agree_with_numpy(wide_dtype: np.dtype[Any]) -> None:
    numbers = [0, 1e-30, -5, 9.9, -10.1, 20, -44, 45, -87, 89, 1e4, -1e30, np.inf, -np.inf, np.nan]
    query = np.array(numbers, wide_dtype)[:, None]
    for rows in (1, len(numbers)):
        for first in range(0, len(numbers), rows):
            for key in numbers:
                keys, value = np.array([[key]], wide_dtype), np.ones((1, 1), wide_dtype)
                part = query[first : first + rows]
                _, lse = heedful.additive_attention(part, keys, value, [3.0], return_lse=True)
                with np.errstate(invalid="ignore"):
                    exact = 3 * np.tanh(part[:, 0] + keys[0, 0])
                np.testing.assert_allclose(lse, exact, rtol=2e-6 if wide_dtype == "f4" else 1e-14)


BITS = [
    "past_one_panel", "past_one_key_tile", "grouped", "decode_split", "broadcast_leading_axes",
    "lengths", "everything", "bias_square", "many_queries",
]  # fmt: skip


@pytest.mark.parametrize("name", BITS)
def test_threads_do_not_change_a_bit(name: str, wide_dtype: np.dtype[Any]) -> None:
    call, weight = draw(without_products(CASE[name]), wide_dtype)
    alone = everything(call, weight, 1)
    for threads in (2, 3, 8):
        for what, result in everything(call, weight, threads).items():
            assert_same_bits(result, alone[what], f"{what}, {threads} threads")


@pytest.mark.parametrize("num_queries", [1, 33, 97])
def test_an_item_alone_has_the_bits_that_it_has_among_others(
    num_queries: int, rng: np.random.Generator
) -> None:
    query, key, value = (
        rng.standard_normal((9, 2, length, 19)).astype("f") for length in (num_queries, 301, 301)
    )
    weight = rng.standard_normal(19).astype("f")
    out, pullback = heedful.additive_attention_vjp(query, key, value, weight)
    gradients = pullback(out)
    for item in (0, 5):
        arrays = query[item], key[item], value[item]
        single, back = heedful.additive_attention_vjp(*arrays, weight)
        assert_same_bits(single, out[item])
        for found, among in zip(back(single)[:3], gradients[:3], strict=True):
            assert_same_bits(found, among[item])


def test_gradients_match_finite_differences(rng: np.random.Generator) -> None:
    arrays = [rng.standard_normal(shape) for shape in ((3, 6, 5, 7), (2, 11, 7), (2, 11, 3))]
    weight, bias = rng.standard_normal((2, 7)), rng.standard_normal((6, 1, 11))
    sink = rng.standard_normal(6)

    def function(query: Any, key: Any, value: Any, weight: Any, bias: Any, sink: Any) -> Any:
        return heedful.additive_attention_vjp(
            query, key, value, weight, bias=bias, sink=sink, kv_lengths=[11, 4, 0], dropout_p=0.2,
            rng=3, return_lse=False, return_weights=False,
        )  # fmt: skip

    assert gradcheck(function, *arrays, weight, bias, sink)


def test_torch_agrees(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    shapes = (3, 5, 7), (3, 11, 7), (3, 11, 2), (7,)
    arrays = [rng.standard_normal(shape) for shape in shapes]
    mask = rng.random((3, 5, 11)) < 0.6
    mask[..., 0] = True
    q, k, v, w = tensors = [torch.from_numpy(array).requires_grad_() for array in arrays]
    scores = torch.tanh(q[:, :, None] + k[:, None]) @ w
    scores = scores.masked_fill(~torch.from_numpy(mask), -torch.inf)
    theirs = torch.softmax(scores, -1) @ v
    dout = rng.standard_normal(theirs.shape)
    theirs.backward(torch.from_numpy(dout))
    query, key, value = (array[:, None] for array in arrays[:3])
    out, pullback = heedful.additive_attention_vjp(query, key, value, arrays[3], mask=mask[:, None])
    np.testing.assert_allclose(out[:, 0], theirs.detach().numpy(), rtol=1e-10, atol=1e-12)
    for found, tensor in zip(pullback(dout[:, None])[:4], tensors, strict=True):
        of_torch = tensor.grad.numpy()
        np.testing.assert_allclose(found.reshape(of_torch.shape), of_torch, rtol=1e-10, atol=1e-12)
