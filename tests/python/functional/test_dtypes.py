"""Every case in every type: as accurate as plain NumPy, and the types of the results.

float64 is left to test_forward.py and test_gradients.py, which hold it to the same rule.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from case import Call, Case
from cases import CASES, SMALL_CASES
from closeness import assert_as_accurate_as_numpy
from conftest import as_dtype

import heedful
import reference

NAMES = ("query", "key", "value", "bias", "sink")
in_types_below_float64 = pytest.mark.parametrize("type_name", ["float32", "float16", "bfloat16"])


@in_types_below_float64
@pytest.mark.parametrize("case", CASES, ids=str)
def test_forward_is_as_accurate_as_numpy(case: Case, type_name: str) -> None:
    dtype = as_dtype(type_name)
    call = case.draw(dtype)
    exact = call.run(reference.attention)
    plain = call.run(reference.attention, dtype=np.float32)
    out, lse, weights = call.run(heedful.attention, return_lse=True, return_weights=True)
    assert out.dtype == dtype
    assert lse.dtype == weights.dtype == np.float32
    assert_as_accurate_as_numpy(out, plain.out, exact.out, "out")
    assert_as_accurate_as_numpy(lse, plain.lse, exact.lse, "lse")
    assert_as_accurate_as_numpy(weights, plain.weights, exact.weights, "weights")


@in_types_below_float64
@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_are_as_accurate_as_numpy(case: Case, type_name: str) -> None:
    dtype = as_dtype(type_name)
    call = case.draw(dtype)
    exact = gradients_of_the_reference(call, np.float64)
    plain = gradients_of_the_reference(call, np.float32)
    _, pullback = call.run(heedful.attention_vjp)
    # Scores divided by a low temperature have errors of 1e-5, here and in NumPy: over 40 seeds the
    # largest error of a gradient is 1.4 times NumPy's in the median, 10 times at most.
    ratio = 4.0 if "gumbel_temperature" in call.options else 2.0
    for name, gradient, of_numpy, truth in zip(
        NAMES, pullback(call.dout), plain, exact, strict=True
    ):
        if truth is not None:
            assert gradient.dtype == dtype, name
            assert_as_accurate_as_numpy(gradient, of_numpy, truth, f"gradient of {name}", ratio)


def gradients_of_the_reference(call: Call, dtype: Any, **more: Any) -> reference.Gradients:
    options = {**call.options, **more, "dtype": dtype}
    return reference.attention_backward(call.dout, *call.inputs, **options)


@pytest.mark.parametrize("narrow", ["float16", "bfloat16"])
@pytest.mark.parametrize("case", SMALL_CASES, ids=str)
def test_a_float32_query_may_meet_keys_and_values_of_16_bits(case: Case, narrow: str) -> None:
    call = case.draw(np.float32)
    key, value = (array.astype(as_dtype(narrow)) for array in (call.key, call.value))
    inputs = (call.query, key, value)
    wide = (call.query, key.astype(np.float32), value.astype(np.float32))
    exact = reference.attention(*wide, **call.options)
    plain = reference.attention(*wide, **call.options, dtype=np.float32)
    (out, lse), pullback = heedful.attention_vjp(*inputs, **call.options, return_lse=True)
    assert out.dtype == lse.dtype == np.float32
    assert_as_accurate_as_numpy(out, plain.out, exact.out, "out")
    assert_as_accurate_as_numpy(lse, plain.lse, exact.lse, "lse")
    exact_gradients, plain_gradients = (
        reference.attention_backward(call.dout, *wide, **call.options, dtype=dtype)
        for dtype in (np.float64, np.float32)
    )
    gradients = pullback(call.dout)
    for name, array in zip(("query", "key", "value"), inputs, strict=True):
        gradient = getattr(gradients, name)
        assert gradient.dtype == array.dtype
        plain_gradient, exact_gradient = (
            getattr(result, name) for result in (plain_gradients, exact_gradients)
        )
        assert_as_accurate_as_numpy(gradient, plain_gradient, exact_gradient, name)


@pytest.mark.parametrize("integer", ["int8", "uint8", "int32", "int64", "uint64", "bool"])
def test_integers_and_bools_become_float64(integer: str, rng: np.random.Generator) -> None:
    query, key, value = (rng.integers(0, 2, (1, 5, 7)).astype(integer) for _ in range(3))
    out = heedful.attention(query, key, value)
    assert out.dtype == np.float64
    expected = heedful.attention(*(array.astype(np.float64) for array in (query, key, value)))
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize(
    ("types", "result"),
    [
        (("float32", "float64", "float64"), "float64"),
        (("float64", "float32", "float32"), "float64"),
        (("float16", "float32", "float32"), "float32"),
        (("float32", "float32", "float64"), "float64"),
        (("float32", "int64", "float32"), "float64"),
        (("float16", "float16", "float32"), "float32"),
        (("bfloat16", "float32", "float32"), "float32"),
    ],
)
def test_other_mixes_follow_numpy_promotion(
    types: tuple[str, str, str], result: str, rng: np.random.Generator
) -> None:
    arrays = [(4 * rng.standard_normal((2, 5, 7))).astype(as_dtype(name)) for name in types]
    out = heedful.attention(*arrays)
    assert out.dtype == result
    expected = heedful.attention(*(array.astype(result) for array in arrays))
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("of_bias", ["float16", "float32", "float64", "bfloat16"])
def test_bias_and_sink_may_have_any_floating_type(
    of_bias: str, wide_dtype: np.dtype[Any], rng: np.random.Generator
) -> None:
    query, key, value = (rng.standard_normal((2, 3, 17, 9)).astype(wide_dtype) for _ in range(3))
    bias = rng.standard_normal((3, 17, 17)).astype(as_dtype(of_bias))
    sink = rng.standard_normal(3).astype(as_dtype(of_bias))
    out, pullback = heedful.attention_vjp(query, key, value, bias=bias, sink=sink)
    dout = rng.standard_normal(out.shape).astype(wide_dtype)
    gradients = pullback(dout)
    assert out.dtype == gradients.query.dtype == wide_dtype
    assert gradients.bias.dtype == gradients.sink.dtype == bias.dtype
    options = {"bias": bias.astype(np.float64), "sink": sink.astype(np.float64)}
    exact = reference.attention(query, key, value, **options)
    exact_gradients = reference.attention_backward(dout, query, key, value, **options)
    tolerance = 1e-5 if wide_dtype == np.float32 else 1e-12
    np.testing.assert_allclose(out, exact.out, atol=tolerance)
    rounding = 2.0**-8 if of_bias == "bfloat16" else float(np.finfo(of_bias).eps)
    for name in ("bias", "sink"):
        gradient, truth = (
            np.asarray(getattr(result, name), np.float64) for result in (gradients, exact_gradients)
        )
        np.testing.assert_allclose(gradient, truth, rtol=rounding, atol=5 * tolerance)
