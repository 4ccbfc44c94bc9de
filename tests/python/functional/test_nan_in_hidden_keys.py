"""The contents of a hidden key change nothing, NaN included; those of an attended one do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from case import Call, Case
from cases import CASE
from closeness import assert_same_bits
from numpy.typing import NDArray

import heedful
import reference

Array = NDArray[Any]
PLANTS = [np.nan, np.inf, -np.inf]

# Restrictions under which some keys are hidden from some queries, others from all.
HIDING = [
    "mask_keys", "mask_square", "mask_padding", "mask_full", "mask_with_empty_rows",
    "bias_with_minus_infinity", "bias_and_mask", "causal_square", "causal_wide",
    "causal_wide_at_the_end", "causal_tall_at_the_end", "causal_past_tiles", "causal_offsets",
    "window_both", "window_left", "window_at_the_end", "window_of_one", "lengths",
    "lengths_causal_at_the_end", "lengths_past_a_tile", "sink_and_empty_rows", "everything",
    "decode_three_rows", "decode_with_everything",
]  # fmt: skip
hiding = pytest.mark.parametrize("case", [CASE[name] for name in HIDING], ids=str)


def run(call: Call) -> tuple[Array, ...]:
    (out, lse), pullback = call.run(heedful.attention_vjp, return_lse=True)
    gradients = pullback(call.dout, dlse=call.dlse)
    return (out, lse, *(gradient for gradient in gradients if gradient is not None))


def allowed_pairs(call: Call) -> NDArray[np.bool_]:
    """(B…, H, Lq, Lk), by the oracle."""
    return call.run(reference.steps).allowed


def per_kv_head(pairs: NDArray[np.bool_], kv_heads: int) -> NDArray[np.bool_]:
    """(B…, Hkv, Lk): whether any query sees the key."""
    *batch, heads, num_queries, num_keys = pairs.shape
    return pairs.reshape(*batch, kv_heads, heads // kv_heads, num_queries, num_keys).any((-3, -2))


@hiding
@pytest.mark.parametrize("plant", PLANTS)
def test_keys_that_no_query_sees_may_hold_anything(
    case: Case, plant: float, dtype: np.dtype[Any]
) -> None:
    clean = case.draw(dtype)
    hidden = ~per_kv_head(allowed_pairs(clean), clean.key.shape[-3])
    if not hidden.any():  # then hide the last five keys as well
        shown = np.arange(case.Lk) < case.Lk - 5
        mask = clean.options.get("mask", True) & shown
        clean = replace(clean, options={**clean.options, "mask": mask})
        hidden = ~per_kv_head(allowed_pairs(clean), clean.key.shape[-3])
    assert hidden.any()
    key, value = clean.key.copy(), clean.value.copy()
    key[hidden] = plant
    value[hidden] = plant
    planted = replace(clean, key=key, value=value)
    for result, expected in zip(run(planted), run(clean), strict=True):
        assert_same_bits(result, expected)


@hiding
@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.parametrize("where", ["key", "value"])
def test_queries_do_not_depend_on_keys_that_are_hidden_from_them(
    case: Case, where: str, plant: float, wide_dtype: np.dtype[Any]
) -> None:
    clean = case.draw(wide_dtype)
    pairs = allowed_pairs(clean)
    group = case.H // (case.Hkv or case.H)
    expected = run(clean)
    positions = {0, 1, case.Lk // 2, case.Lk // 2 + 1, case.Lk - 1}
    for position in sorted(positions):
        array = getattr(clean, where).copy()
        array[..., position, :1] = plant  # one element is enough
        planted = replace(clean, **{where: array})
        results = run(planted)
        unconcerned = ~pairs[..., position]  # (B…, H, Lq)
        for place, name in ((0, "out"), (1, "lse"), (2, "dquery")):
            message = f"{name}, {where} {position} is {plant}"
            np.testing.assert_array_equal(
                results[place][unconcerned], expected[place][unconcerned], err_msg=message
            )
        # keys that share no query with the planted one keep their gradients
        concerned = pairs & ~unconcerned[..., None]
        untouched = ~per_kv_head(concerned, case.H // group)
        for place, name in ((3, "dkey"), (4, "dvalue")):
            message = f"{name}, {where} {position} is {plant}"
            np.testing.assert_array_equal(
                results[place][untouched], expected[place][untouched], err_msg=message
            )


@hiding
@pytest.mark.parametrize("where", ["key", "value"])
def test_a_nan_that_is_attended_reaches_the_output(
    case: Case, where: str, dtype: np.dtype[Any]
) -> None:
    clean = case.draw(dtype)
    if "dropout_p" in clean.options:  # a dropped weight would hide it
        options = {**clean.options, "dropout_p": 0.0}
        clean = replace(clean, options=options)
    pairs = allowed_pairs(clean)
    for position in sorted({0, 1, case.Lk // 2, case.Lk // 2 + 1, case.Lk - 1}):
        array = getattr(clean, where).copy()
        array[..., position, :1] = np.nan
        out, lse = replace(clean, **{where: array}).run(heedful.attention, return_lse=True)
        concerned = pairs[..., position]
        np.testing.assert_array_equal(np.isnan(out[..., 0].astype(np.float64)), concerned)
        if where == "key":
            np.testing.assert_array_equal(np.isnan(lse), concerned)
            np.testing.assert_array_equal(np.isnan(out[..., -1].astype(np.float64)), concerned)


@hiding
@pytest.mark.parametrize("where", ["query", "key", "value", "dout"])
def test_nan_spreads_through_the_gradients_as_in_the_reference(
    case: Case, where: str, wide_dtype: np.dtype[Any]
) -> None:
    clean = case.draw(wide_dtype)
    if "dropout_p" in clean.options:
        clean = replace(clean, options={**clean.options, "dropout_p": 0.0})
    array = getattr(clean, where).copy()
    array[..., array.shape[-2] // 2, :1] = np.nan
    call = replace(clean, **{where: array})
    _, pullback = call.run(heedful.attention_vjp)
    exact = reference.attention_backward(call.dout, *call.inputs, **call.options)
    tolerance = 1e-4 if wide_dtype == np.float32 else 1e-10
    for name, gradient, expected in zip(exact._fields, pullback(call.dout), exact, strict=True):
        if expected is not None and name != "sink":
            np.testing.assert_allclose(
                gradient, expected, rtol=tolerance, atol=tolerance, err_msg=name
            )


@pytest.mark.parametrize("position", range(13))
@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.parametrize("num_queries", [1, 3, 13])
def test_every_position_past_every_causal_row(
    position: int, plant: float, num_queries: int, dtype: np.dtype[Any]
) -> None:
    rng = np.random.default_rng(position)
    query, key, value = (
        rng.standard_normal((1, 1, length, 5)).astype(dtype) for length in (num_queries, 13, 13)
    )
    options = {"causal": True, "align": "lower_right"}
    expected = heedful.attention(query, key, value, **options)
    key[:, :, position] = plant
    value[:, :, position] = plant
    out = heedful.attention(query, key, value, **options)
    before = np.arange(num_queries) + 13 - num_queries < position
    np.testing.assert_array_equal(out[:, :, before], expected[:, :, before])
    if np.isnan(plant):
        assert np.isnan(out[:, :, ~before].astype(np.float64)).all()


def test_rows_past_the_lengths_are_never_read(dtype: np.dtype[Any]) -> None:
    call = CASE["lengths"].draw(dtype)
    expected = run(call)
    arrays = {name: getattr(call, name).copy() for name in ("query", "key", "value", "dout")}
    for item, (rows, keys) in enumerate(
        zip(call.options["q_lengths"], call.options["kv_lengths"], strict=True)
    ):
        arrays["query"][item, :, rows:] = np.nan
        arrays["dout"][item, :, rows:] = np.nan
        arrays["key"][item, :, keys:] = np.nan
        arrays["value"][item, :, keys:] = np.inf
    for result, other in zip(run(replace(call, **arrays)), expected, strict=True):
        assert_same_bits(result, other)


def test_a_nan_in_bias_counts_only_where_the_mask_lets_it(wide_dtype: np.dtype[Any]) -> None:
    call = CASE["bias_and_mask"].draw(wide_dtype)
    hidden = ~np.broadcast_to(call.options["mask"], (3, 2, 33, 97)).any(axis=(0, 1))
    bias = call.options["bias"].copy()
    bias[:, hidden] = np.nan
    planted = replace(call, options={**call.options, "bias": bias})
    for result, expected in zip(run(planted)[:5], run(call)[:5], strict=True):
        assert_same_bits(result, expected)
    bias[:, :, :] = np.nan
    assert np.isnan(planted.run(heedful.attention)).any()
