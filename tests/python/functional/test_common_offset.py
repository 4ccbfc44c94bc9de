"""Gradients of 16-bit inputs whose values or keys have a common offset.

The gradients of query and key are small differences there, and are lost where delta,
Σ dout ∘ out, is formed from an output that was rounded to 16 bits. The plain computation that they
are compared with rounds only its results.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import additive_reference
import numpy as np
import pytest
from case import Call
from cases import CASE, CASES
from closeness import assert_as_accurate_as_numpy, assert_same_bits
from conftest import as_dtype
from numpy.typing import NDArray

import heedful
import reference

Array = NDArray[Any]
NAMES = ("query", "key", "value", "bias", "sink")

in_16_bits = pytest.mark.parametrize("type_name", ["float16", "bfloat16"])
offsets = pytest.mark.parametrize(
    ("of_key", "of_value"), [(0, 10), (2, 0), (2, 100)], ids=["value", "key", "both"]
)


def draw(name: str, type_name: str, of_key: float = 0, of_value: float = 10) -> Call:
    call = CASE[name].draw()
    dtype = as_dtype(type_name)
    return replace(
        call,
        query=call.query.astype(dtype),
        key=(call.key + of_key).astype(dtype),
        value=(call.value + of_value).astype(dtype),
        dout=call.dout.astype(dtype),
    )


def assert_accurate(found: Any, call: Call, names: tuple[str, ...] = NAMES, **more: Any) -> None:
    exact, plain = (
        reference.attention_backward(call.dout, *call.inputs, **call.options, **more, dtype=dtype)
        for dtype in (np.float64, np.float32)
    )
    for name in names:
        if getattr(exact, name) is not None:
            results = (getattr(gradients, name) for gradients in (found, plain, exact))
            # What remains of terms 100 times as large: over seeds, 1.9 times NumPy's error at every
            # processor level; that of a bias, few sums that cancel and are not rounded to 16 bits,
            # 1.3 to 3.7 times.
            ratio = 4.0 if name == "bias" or np.mean(call.value.astype(float)) > 50 else 2.0
            assert_as_accurate_as_numpy(*results, f"gradient of {name}", ratio)


def wide(array: Array) -> Array:
    return array.astype(np.float32)


@in_16_bits
@offsets
@pytest.mark.parametrize("case", [case for case in CASES if not case.large], ids=str)
def test_gradients_are_those_of_float32_rounded_once(
    case: Any, of_key: float, of_value: float, type_name: str
) -> None:
    call = draw(case.name, type_name, of_key, of_value)
    _, pullback = call.run(heedful.attention_vjp)
    # a bias of one element has a single gradient, a sum that cancels: one sample of rounding
    names = tuple(name for name in NAMES if name != "bias" or case.bias not in ("", "1"))
    assert_accurate(pullback(call.dout), call, names)


@in_16_bits
@pytest.mark.parametrize("name", ["past_one_panel", "grouped", "dropout", "everything"])
def test_through_lse_and_weights(name: str, type_name: str) -> None:
    call = draw(name, type_name)
    _, pullback = call.run(heedful.attention_vjp, return_lse=True, return_weights=True)
    more = {"dlse": call.dlse, "dweights": call.dweights}
    assert_accurate(pullback(call.dout, **more), call, **more)


@in_16_bits
@pytest.mark.parametrize("name", ["vit", "past_one_key_tile", "decode", "lengths_and_sink"])
def test_results_are_those_of_float32_rounded_once(name: str, type_name: str) -> None:
    """Also in an out of any stride, which the pullback does not need any more."""
    call = draw(name, type_name)
    wide = replace(call, query=call.query.astype(np.float32))
    unrounded, lse = wide.run(heedful.attention, return_lse=True)
    expected = unrounded.astype(call.query.dtype)
    given = np.zeros((*expected.shape[:-1], 2 * expected.shape[-1]), expected.dtype)[..., ::2]
    for out in (None, np.zeros_like(expected), given):
        (found, its_lse), pullback = call.run(heedful.attention_vjp, out=out, return_lse=True)
        assert out is None or found is out
        if (name, type_name) == (
            "decode",
            "bfloat16",
        ):  # products of pairs are summed in another order
            np.testing.assert_allclose(its_lse, lse, rtol=1e-6)
        else:
            assert_same_bits(found, expected)
            assert_same_bits(its_lse, lse)
        found[...] = 0
        assert_accurate(pullback(call.dout), call)


@in_16_bits
@pytest.mark.parametrize("name", ["vit", "past_one_key_tile", "everything", "decode_split"])
def test_attention_backward_takes_out_in_float32(name: str, type_name: str) -> None:
    call = draw(name, type_name)
    query, key, value = call.inputs
    out, lse = heedful.attention(wide(query), key, value, **call.options, return_lse=True)
    assert out.dtype == np.float32
    assert_accurate(
        heedful.attention_backward(call.dout, *call.inputs, out, lse, **call.options), call
    )
    again = heedful.attention_backward(
        call.dout, *call.inputs, out.astype(np.float64), lse, **call.options
    )
    assert_accurate(again, call)


@in_16_bits
def test_merged_pieces_of_float32(type_name: str) -> None:
    call = draw("past_one_key_tile", type_name)
    query, key, value = call.inputs
    parts = (slice(0, 101), slice(101, None))
    pieces = [
        heedful.attention(wide(query), key[..., part, :], value[..., part, :], return_lse=True)
        for part in parts
    ]
    out, lse = heedful.merge_attention(*zip(*pieces, strict=True))
    found = [
        heedful.attention_backward(
            call.dout, query, key[..., part, :], value[..., part, :], out, lse
        )
        for part in parts
    ]
    for name in ("key", "value"):
        whole = np.concatenate([getattr(gradients, name) for gradients in found], axis=-2)
        assert_accurate(found[0]._replace(**{name: whole}), call, (name,))


@in_16_bits
@pytest.mark.parametrize("depth", [17, 32])
def test_packed_sequences(depth: int, type_name: str, rng: np.random.Generator) -> None:
    dtype = as_dtype(type_name)
    lengths = (97, 1, 43)
    ends = np.cumsum((0, *lengths))
    query, key, value, dout = (
        (rng.standard_normal((ends[-1], 2, width)) + offset).astype(dtype)
        for width, offset in ((depth, 0), (depth, 2), (32, 10), (32, 0))
    )
    out, pullback = heedful.attention_varlen_vjp(query, key, value, ends, ends)
    wide = heedful.attention_varlen(query.astype(np.float32), key, value, ends, ends)
    assert_same_bits(out, wide.astype(dtype))
    gradients = pullback(dout)
    for first, last in pairwise(ends):
        if last - first == 1:  # gradients of 0
            continue
        arrays = [array[first:last].swapaxes(0, 1)[None] for array in (query, key, value, dout)]
        call = Call(*arrays[:3], {}, arrays[3], *(np.zeros(0),) * 2)
        found = (array[first:last].swapaxes(0, 1)[None] for array in gradients[:3])
        assert_accurate(heedful.Gradients(*found, None, None), call)


@in_16_bits
@pytest.mark.parametrize("name", ["past_one_panel", "grouped", "lengths_and_sink"])
def test_additive_attention(name: str, type_name: str) -> None:
    call = draw(name, type_name)
    weight = np.linspace(-2, 2, call.query.shape[-1]).astype(call.query.dtype)
    out, pullback = call.run(
        lambda *inputs, **options: heedful.additive_attention_vjp(*inputs, weight, **options)
    )
    assert_same_bits(out, heedful.additive_attention(*call.inputs, weight, **call.options))
    found = pullback(call.dout)
    exact, plain = (
        additive_reference.attention_backward(
            call.dout, *call.inputs, weight, **call.options, dtype=dtype
        )
        for dtype in (np.float64, np.float32)
    )
    for name in ("query", "key", "value", "weight"):
        results = (getattr(gradients, name) for gradients in (found, plain, exact))
        assert_as_accurate_as_numpy(*results, f"gradient of {name}")


@in_16_bits
@pytest.mark.parametrize("queries", [1, 29])
def test_pooling_adds_both_gradients_of_x_before_it_rounds(
    queries: int, type_name: str, rng: np.random.Generator
) -> None:
    dtype = as_dtype(type_name)
    x = (rng.standard_normal((2, 97, 16)) + 10).astype(dtype)
    query = rng.standard_normal((queries, 16)).astype(dtype)
    y, pullback = heedful.attention_pool_vjp(x, query)
    assert_same_bits(y, heedful.attention_pool(x, query.astype(np.float32)).astype(dtype))
    dout = rng.standard_normal(y.shape).astype(dtype)
    dx, dquery = pullback(dout)
    one_head = x[:, None]
    exact, plain = (
        reference.attention_backward(dout[:, None], query[None], one_head, one_head, dtype=kind)
        for kind in (np.float64, np.float32)
    )
    of_x = [(gradients.key + gradients.value)[:, 0] for gradients in (plain, exact)]
    assert_as_accurate_as_numpy(dx, *of_x, "gradient of x")
    assert_as_accurate_as_numpy(dquery, plain.query[0], exact.query[0], "gradient of query")
