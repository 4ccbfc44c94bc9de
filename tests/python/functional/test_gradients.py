"""Gradients of every case against the formulas of the oracle, and against finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from case import Call, Case
from cases import CASE, CASES
from closeness import assert_as_accurate_as_numpy, assert_same_bits

import heedful
import reference

NAMES = ("query", "key", "value", "bias", "sink")


def assert_gradients_agree(call: Call, gradients: Any, **more: Any) -> None:
    exact = reference_gradients(call, np.longdouble, **more)
    plain = reference_gradients(call, np.float64, **more)
    for name in NAMES:
        given = name in ("query", "key", "value") or name in call.options
        assert (getattr(gradients, name) is not None) == given, name
        if given:
            arrays = (getattr(result, name) for result in (gradients, plain, exact))
            assert_as_accurate_as_numpy(*arrays, f"gradient of {name}")


def reference_gradients(call: Call, dtype: Any, **more: Any) -> reference.Gradients:
    options = {**call.options, **more, "dtype": dtype}
    return reference.attention_backward(call.dout, *call.inputs, **options)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_agree_with_the_reference(case: Case) -> None:
    call = case.draw()
    out, pullback = call.run(heedful.attention_vjp)
    assert_same_bits(out, call.run(heedful.attention))
    assert_gradients_agree(call, pullback(call.dout))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_through_lse_and_weights_agree_with_the_reference(case: Case) -> None:
    call = case.draw()
    returned, pullback = call.run(heedful.attention_vjp, return_lse=True, return_weights=True)
    assert len(returned) == 3
    gradients = pullback(call.dout, dlse=call.dlse, dweights=call.dweights)
    assert_gradients_agree(call, gradients, dlse=call.dlse, dweights=call.dweights)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_attention_backward_gives_the_bits_of_the_pullback(case: Case) -> None:
    call = case.draw(np.float32)
    (out, lse), pullback = call.run(heedful.attention_vjp, return_lse=True)
    gradients = heedful.attention_backward(call.dout, *call.inputs, out, lse, **call.options)
    for name, one, other in zip(NAMES, gradients, pullback(call.dout), strict=True):
        if other is None:
            assert one is None, name
        else:
            assert_same_bits(one, other, f"gradient of {name}")


def test_a_pullback_may_be_called_twice_and_is_linear() -> None:
    call = CASE["everything"].draw()
    _, pullback = call.run(heedful.attention_vjp)
    once, twice, doubled = pullback(call.dout), pullback(call.dout), pullback(2 * call.dout)
    for name, one, two, double in zip(NAMES, once, twice, doubled, strict=True):
        assert_same_bits(one, two, name)
        np.testing.assert_array_equal(2 * one, double, err_msg=name)


REPRESENTATIVE = [
    "tiny_and_odd", "broadcast_leading_axes", "grouped", "unscaled", "mask_full", "bias_heads",
    "bias_with_minus_infinity", "causal_tall_at_the_end", "window_both", "alibi_per_item",
    "lengths_and_sink", "softcap_bias_causal", "sink_and_empty_rows", "dropout", "everything",
    "decode_with_everything", "decode_three_rows", "top_k", "top_k_decode", "top_k_shared_bias",
    "top_k_bias_keys", "top_k_bias_queries", "top_k_with_everything",
]  # fmt: skip


@pytest.mark.parametrize("case", [CASE[name] for name in REPRESENTATIVE], ids=str)
def test_gradient_through_lse_alone(case: Case) -> None:
    call = case.draw()
    _, pullback = call.run(heedful.attention_vjp, return_lse=True)
    assert_gradients_agree(call, pullback(call.dout, call.dlse), dlse=call.dlse)


@pytest.mark.parametrize("case", [CASE[name] for name in REPRESENTATIVE], ids=str)
def test_gradients_match_finite_differences(case: Case) -> None:
    call = case.draw()
    _, pullback = call.run(heedful.attention_vjp, return_lse=True, return_weights=True)
    gradients = pullback(call.dout, dlse=call.dlse, dweights=call.dweights)
    rng = np.random.default_rng(3)
    arrays = {"query": call.query, "key": call.key, "value": call.value}
    arrays |= {name: call.options[name] for name in ("bias", "sink") if name in call.options}
    for name, array in arrays.items():
        direction = rng.standard_normal(array.shape)
        step = 1e-5
        above = objective(call, **{name: array + step * direction})
        below = objective(call, **{name: array - step * direction})
        expected = (getattr(gradients, name) * direction).sum()
        size = np.linalg.norm(getattr(gradients, name)) * np.linalg.norm(direction)
        assert abs((above - below) / (2 * step) - expected) < 1e-8 * (size + abs(above) + 1), name


def objective(call: Call, **changed: Any) -> float:
    """The scalar that is differentiated: Σ dout∘out + Σ dlse∘lse + Σ dweights∘weights."""
    inputs = [changed.pop(name, getattr(call, name)) for name in ("query", "key", "value")]
    options = {**call.options, **changed}
    out, lse, weights = heedful.attention(*inputs, **options, return_lse=True, return_weights=True)
    exists = lse > -np.inf
    of_lse = (lse[exists] * call.dlse[exists]).sum()
    return float((out * call.dout).sum() + of_lse + (weights * call.dweights).sum())


def test_every_single_derivative_of_a_tiny_problem(rng: np.random.Generator) -> None:
    shapes = {"query": (2, 3, 2), "key": (1, 4, 2), "value": (1, 4, 3)}
    arrays = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    dout = rng.standard_normal((2, 3, 3))
    options = {"causal": True, "align": "lower_right", "softcap": 2.0}
    _, pullback = heedful.attention_vjp(**arrays, **options)
    gradients = pullback(dout)
    for name, array in arrays.items():
        for index in np.ndindex(array.shape):
            nudge = np.zeros(array.shape)
            nudge[index] = 1e-5
            above, below = (
                (heedful.attention(**{**arrays, name: nudged}, **options) * dout).sum()
                for nudged in (array + nudge, array - nudge)
            )
            derivative = getattr(gradients, name)[index]
            assert abs((above - below) / 2e-5 - derivative) < 1e-9, (name, index)


@pytest.mark.parametrize("window", [None, (9, 0)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_of_keys_that_the_first_queries_do_not_see_start_from_zero(
    rng: np.random.Generator, dtype: Any, window: Any
) -> None:
    large = np.full((1, 300, 64), 1e4, dtype)
    heedful.attention_vjp(large, large, large)[1](large)  # leaves its sums in the scratch memory
    options = {"causal": True, "align": "lower_right", "window": window}
    shapes = ((2, 40, 64), (2, 300, 64), (2, 300, 48), (2, 40, 48))
    query, key, value, dout = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
    _, pullback = heedful.attention_vjp(query, key, value, **options)
    exact = reference.attention_backward(dout, query, key, value, **options)
    for name in ("query", "key", "value"):
        np.testing.assert_allclose(
            getattr(pullback(dout), name), getattr(exact, name), rtol=1e-5, atol=1e-5, err_msg=name
        )


@pytest.mark.parametrize("case", [case for case in CASES if case.bias], ids=str)
def test_a_constant_bias_has_no_gradient_and_changes_no_other(case: Case) -> None:
    call = case.draw()
    out, lse = call.run(heedful.attention, return_lse=True)
    arrays = (call.dout, *call.inputs, out, lse)
    gradients = heedful.attention_backward(*arrays, **call.options)
    constant = heedful.attention_backward(*arrays, **call.options, bias_gradient=False)
    _, pullback = call.run(heedful.attention_vjp)
    for with_bias, without in (
        (gradients, constant), (pullback(call.dout), pullback(call.dout, bias_gradient=False))
    ):  # fmt: skip
        assert without.bias is None
        assert with_bias.bias is not None
        for name in ("query", "key", "value"):
            found, expected = getattr(without, name), getattr(with_bias, name)
            np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12, err_msg=name)
    with pytest.raises(TypeError, match=r"^bias_gradient must be"):
        pullback(call.dout, bias_gradient="no")
