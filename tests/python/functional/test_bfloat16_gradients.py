"""Gradients in bfloat16 where their products may be computed on tiles: equal depths, from 16.

tests/python/_core/test_bfloat16_ways.py runs this file in every way of multiplying bfloat16.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from case import Call, Case
from cases import CASES
from closeness import assert_as_accurate_as_numpy, assert_same_bits
from memory_layouts import columns_apart, columns_first, heads_inside
from numpy.typing import NDArray

import heedful
import reference
from heedful import _core

Array = NDArray[Any]
NAMES = ("query", "key", "value", "bias", "sink")
TILES = heedful.show_config(mode="dicts")["bfloat16"] in ("tiles", "tiles-model")

# of a single key the gradients of query and key are 0, but for the rounding of a difference
DEEP = [
    replace(case, D=max(case.D, 19), Dv=max(case.D, 19))
    for case in CASES
    if not case.large and case.Lk > 1
]
SQUARE = Case("rows", B=(1,), H=2, Lq=53, Lk=97, D=32, Dv=32)
LENGTHS = [(1, 33), (2, 31), (5, 64), (17, 31), (48, 33), (49, 385), (193, 65), (97, 1025),
           (389, 197)]  # fmt: skip
DEPTHS = (15, 16, 17, 31, 32, 33, 40, 47, 63, 64, 65, 96, 97, 127, 128, 130)


def gradients(call: Call, threads: int = 1) -> dict[str, Array]:
    """As attention_vjp returns them, those of bias and sink if there are any."""
    with heedful.num_threads(threads):
        _, pullback = call.run(heedful.attention_vjp)
        found = pullback(call.dout)
    return {name: array for name in NAMES if (array := getattr(found, name)) is not None}


def exact_gradients(call: Call, dtype: Any) -> reference.Gradients:
    return reference.attention_backward(call.dout, *call.inputs, **call.options, dtype=dtype)


def assert_accurate(call: Call) -> None:
    exact, plain = exact_gradients(call, np.float64), exact_gradients(call, np.float32)
    for name, found in gradients(call).items():
        # one element is a sum that cancels: a single sample of the rounding of its terms
        if name != "bias" or found.size > 1:
            arrays = (found, getattr(plain, name), getattr(exact, name))
            assert_as_accurate_as_numpy(*arrays, f"gradient of {name}")


@pytest.mark.parametrize("case", DEEP, ids=str)
def test_every_case_is_as_accurate_as_numpy(case: Case) -> None:
    assert_accurate(case.draw(ml_dtypes.bfloat16))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("depth", DEPTHS)
def test_every_depth_is_as_accurate_as_numpy(depth: int, causal: bool) -> None:
    call = replace(SQUARE, Lq=97, D=depth, Dv=depth).draw(ml_dtypes.bfloat16)
    assert_accurate(replace(call, options={**call.options, "causal": causal}))


@pytest.mark.parametrize("options", [{}, {"causal": True}, {"window": (20, 9)}], ids=str)
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_every_length_is_as_accurate_as_numpy(
    lengths: tuple[int, int], options: dict[str, Any]
) -> None:
    call = replace(SQUARE, Lq=lengths[0], Lk=lengths[1]).draw(ml_dtypes.bfloat16)
    align = {"align": "lower_right"} if options else {}
    assert_accurate(replace(call, options={**call.options, **options, **align}))


@pytest.mark.parametrize("group", [2, 3])
def test_grouped_heads_are_as_accurate_as_numpy(group: int) -> None:
    case = replace(SQUARE, H=2 * group, Hkv=2, Lq=101, Lk=131)
    assert_accurate(case.draw(ml_dtypes.bfloat16))


def test_more_queries_than_are_summed_in_float() -> None:
    assert_accurate(replace(SQUARE, H=1, Lq=1600, Lk=40).draw(ml_dtypes.bfloat16))


@pytest.mark.parametrize("case", DEEP, ids=str)
def test_threads_do_not_change_a_bit(case: Case) -> None:
    call = case.draw(ml_dtypes.bfloat16)
    alone = gradients(call)
    for threads in (2, 3):
        for name, found in gradients(call, threads).items():
            assert_same_bits(found, alone[name], f"{name}, {threads} threads")


@pytest.mark.parametrize("options", [{}, {"causal": True, "align": "lower_right"}], ids=str)
def test_threads_do_not_change_a_bit_of_many_key_tiles(options: dict[str, Any]) -> None:
    call = replace(SQUARE, Lq=1100, Lk=1300).draw(ml_dtypes.bfloat16)
    call = replace(call, options={**call.options, **options})
    alone = gradients(call)
    for threads in (2, 3):
        for name, found in gradients(call, threads).items():
            assert_same_bits(found, alone[name], f"{name}, {threads} threads")


@pytest.mark.parametrize("layout", [heads_inside, columns_apart, columns_first])
@pytest.mark.parametrize("depth", [16, 32, 64, 97])
def test_the_layout_does_not_change_a_bit(layout: Callable[[Array], Array], depth: int) -> None:
    call = replace(SQUARE, D=depth, Dv=depth).draw(ml_dtypes.bfloat16)
    arrays = {name: layout(getattr(call, name)) for name in ("query", "key", "value", "dout")}
    expected = gradients(call)
    for name, found in gradients(replace(call, **arrays)).items():
        assert_same_bits(np.ascontiguousarray(found), expected[name], name)


@pytest.mark.parametrize("plant", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "options", [{"causal": True}, {"window": (20, 9)}, {"mask": True}], ids=str
)
def test_what_is_hidden_changes_nothing(plant: float, options: dict[str, Any]) -> None:
    """NaN and inf in a key and a value, then in a query and its dout."""
    clean = replace(SQUARE, Lq=97).draw(ml_dtypes.bfloat16)
    if "mask" in options:
        options = {"mask": np.random.default_rng(7).random((97, 97)) < 0.7}
    clean = replace(clean, options={**clean.options, **options})
    sees = clean.run(reference.steps).allowed[0, 0]
    before = gradients(clean)
    for row in (0, 31, 32, 50, 96):
        planted = replace(clean, key=clean.key.copy(), value=clean.value.copy())
        planted.key[..., row, :] = planted.value[..., row, 1::2] = plant
        found = gradients(planted)["query"]
        assert_same_bits(found[..., ~sees[:, row], :], before["query"][..., ~sees[:, row], :])
        if np.isnan(plant):
            assert np.isnan(found[..., sees[:, row], :]).all()

        planted = replace(clean, query=clean.query.copy(), dout=clean.dout.copy())
        planted.query[..., row, :] = planted.dout[..., row, 1::2] = plant
        found_of = gradients(planted)
        for name in ("key", "value"):
            hidden = ~sees[row]
            assert_same_bits(found_of[name][..., hidden, :], before[name][..., hidden, :], name)
        if np.isnan(plant):
            assert np.isnan(found_of["key"][..., sees[row], :]).all()


def test_an_infinite_dout_is_in_the_gradient_of_the_values_that_it_weighs() -> None:
    call = SQUARE.draw(ml_dtypes.bfloat16)
    call = replace(call, dout=call.dout.copy(), options={"kv_lengths": np.array([70])})
    call.dout[..., 40, 3] = np.inf
    found = gradients(call)["value"].astype(np.float32)
    assert (found[..., :70, 3] == np.inf).all()
    assert np.isfinite(np.delete(found, 3, axis=-1)).all()
    assert (found[..., 70:, :] == 0).all()


def test_sums_that_overflow_within_the_range_of_the_result() -> None:
    """Gradients of value that exceed float32 in part, and cancel."""
    call = replace(SQUARE, Lq=64, Lk=1).draw(ml_dtypes.bfloat16)
    large = np.array(2e38).astype(ml_dtypes.bfloat16)
    dout = np.broadcast_to(large, call.dout.shape).copy()
    dout[..., 32:, :] *= -1
    found = gradients(replace(call, dout=dout))["value"]
    assert (found.astype(np.float32) == 0).all()


@pytest.mark.skipif(not TILES, reason="the products are not on tiles")
@pytest.mark.parametrize("options", [{}, {"causal": True}, {"window": (20, 9)}], ids=str)
def test_products_are_on_tiles(options: dict[str, Any]) -> None:
    """Their rounding shows: float32's gradients are those of the reference but for a few ulp."""
    call = replace(SQUARE, Lq=97).draw(ml_dtypes.bfloat16)
    call = replace(call, options={**call.options, **options})
    exact, found = exact_gradients(call, np.float64), gradients(call)
    for name in ("key", "value"):
        once = getattr(exact, name).astype(ml_dtypes.bfloat16)
        assert (found[name] != once).mean() > 0.2, (name, _core.level)
