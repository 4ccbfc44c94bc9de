"""bfloat16 where its products may be computed in pairs or tiles: equal depths of keys and values.

tests/python/_core/test_bfloat16_ways.py runs this file in every way of multiplying bfloat16.
"""

from __future__ import annotations

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

Array = NDArray[Any]

EQUAL = [replace(case, Dv=case.D) for case in CASES if not case.large]
SQUARE = Case("rows", B=(1,), H=2, Lq=53, Lk=97, D=16, Dv=16)
DEPTHS = (1, 2, 3, 5, 8, 15, 16, 17, 31, 32, 33, 40, 47, 63, 64, 65, 96, 127, 128, 129, 130)


def forward(call: Call, threads: int = 1) -> tuple[Array, Array]:
    with heedful.num_threads(threads):
        out, lse = call.run(heedful.attention, return_lse=True)
    return out, lse


def assert_accurate(call: Call) -> None:
    exact = call.run(reference.attention)
    plain = call.run(reference.attention, dtype=np.float32)
    out, lse = forward(call)
    assert_as_accurate_as_numpy(out, plain.out, exact.out, "out")
    assert_as_accurate_as_numpy(lse, plain.lse, exact.lse, "lse")


@pytest.mark.parametrize("case", EQUAL, ids=str)
def test_every_case_is_as_accurate_as_numpy(case: Case) -> None:
    assert_accurate(case.draw(ml_dtypes.bfloat16))


@pytest.mark.parametrize("depth", DEPTHS)
def test_every_depth_is_as_accurate_as_numpy(depth: int) -> None:
    case = replace(SQUARE, D=depth, Dv=depth, Lk=2 * depth + 1)
    assert_accurate(case.draw(ml_dtypes.bfloat16))


@pytest.mark.parametrize("lengths", [(17, 31), (48, 33), (49, 385), (193, 65), (97, 1025)], ids=str)
def test_every_length_is_as_accurate_as_numpy(lengths: tuple[int, int]) -> None:
    case = replace(SQUARE, Lq=lengths[0], Lk=lengths[1])
    assert_accurate(case.draw(ml_dtypes.bfloat16))


@pytest.mark.parametrize("case", EQUAL, ids=str)
def test_threads_do_not_change_a_bit(case: Case) -> None:
    call = case.draw(ml_dtypes.bfloat16)
    alone = forward(call)
    for threads in (2, 3):
        for result, expected in zip(forward(call, threads), alone, strict=True):
            assert_same_bits(result, expected, f"{threads} threads")


@pytest.mark.parametrize("layout", [heads_inside, columns_apart, columns_first])
@pytest.mark.parametrize("depth", [5, 16, 32, 64, 97])
def test_the_layout_does_not_change_a_bit(layout: Any, depth: int) -> None:
    call = replace(SQUARE, D=depth, Dv=depth).draw(ml_dtypes.bfloat16)
    other = replace(call, query=layout(call.query), key=layout(call.key), value=layout(call.value))
    for result, expected in zip(forward(other), forward(call), strict=True):
        assert_same_bits(result, expected)


@pytest.mark.parametrize("plant", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "options", [{"causal": True}, {"window": (20, 9)}, {"mask": True}], ids=str
)
def test_what_a_hidden_key_holds_changes_nothing(plant: float, options: dict[str, Any]) -> None:
    clean = replace(SQUARE, Lq=97).draw(ml_dtypes.bfloat16)
    options = dict(options)
    if "mask" in options:
        options["mask"] = np.random.default_rng(7).random((97, 97)) < 0.7
    clean = replace(clean, options={**clean.options, **options})
    sees = clean.run(reference.steps).allowed[0, 0]
    before, _ = forward(clean)
    for key in (0, 31, 32, 50, 96):
        planted = replace(clean, key=clean.key.copy(), value=clean.value.copy())
        planted.key[..., key, :] = planted.value[..., key, 1::2] = plant
        out, _ = forward(planted)
        assert_same_bits(out[..., ~sees[:, key], :], before[..., ~sees[:, key], :])
        if np.isnan(plant):
            assert np.isnan(out[..., sees[:, key], :]).all()


def test_an_attended_infinity_is_the_result() -> None:
    call = SQUARE.draw(ml_dtypes.bfloat16)
    call.value[..., 40, 3] = np.inf
    call = replace(call, options={"kv_lengths": np.array([70])})
    out, _ = forward(call)
    assert (out[..., 3] == np.inf).all()
    assert np.isfinite(np.delete(out.astype(np.float32), 3, axis=-1)).all()


def test_a_row_has_the_same_bits_whatever_its_neighbours_see() -> None:
    """In a window: sums begin at other keys than those of the row's panel. Rounding out hides most
    differences of sums, hence many rows."""
    case = replace(SQUARE, B=(8,), H=8, Lq=97, D=64, Dv=64)
    query, key, value = case.draw(ml_dtypes.bfloat16).inputs
    whole = heedful.attention(query, key, value, window=(37, 9))
    part = heedful.attention(query[..., 48:, :], key, value, window=(37, 9), align=48)
    assert_same_bits(part, whole[..., 48:, :])
