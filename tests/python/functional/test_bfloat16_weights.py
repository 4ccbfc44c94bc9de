"""Scores and weights of bfloat16, whose products may be computed in pairs or tiles.

tests/python/_core/test_bfloat16_ways.py runs this file in every way of multiplying bfloat16.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from case import Call, Case
from cases import CASE, CASES
from closeness import assert_as_accurate_as_numpy, assert_same_bits
from memory_layouts import columns_apart, heads_inside
from numpy.typing import NDArray

import heedful
import reference

Array = NDArray[Any]

SMALL = [case for case in CASES if not case.large and not case.batches]
SQUARE = Case("rows", B=(1,), H=2, Lq=53, Lk=97, D=16, Dv=16)
NOT_OF_SCORES = ("top_k", "dropout_p", "key_dropout_p", "gumbel_temperature", "rng")


def scores_of(call: Call, **more: Any) -> Array:
    options = {name: value for name, value in call.options.items() if name not in NOT_OF_SCORES}
    return heedful.attention_scores(call.query, call.key, **options, **more)


def weights_of(call: Call, **more: Any) -> Array:
    return heedful.attention_weights(call.query, call.key, **call.options, **more)


def assert_accurate(call: Call) -> None:
    exact = call.run(reference.attention)
    plain = call.run(reference.attention, dtype=np.float32)
    assert_as_accurate_as_numpy(scores_of(call), plain.scores, exact.scores, "scores")
    assert_as_accurate_as_numpy(weights_of(call), plain.weights, exact.weights, "weights")


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_every_case_is_as_accurate_as_numpy(case: Case) -> None:
    assert_accurate(case.draw(ml_dtypes.bfloat16))


@pytest.mark.parametrize("depth", [1, 2, 3, 15, 16, 31, 32, 33, 47, 63, 64, 65, 96, 127, 130])
def test_every_depth_is_as_accurate_as_numpy(depth: int) -> None:
    assert_accurate(replace(SQUARE, D=depth, Lk=2 * depth + 1).draw(ml_dtypes.bfloat16))


@pytest.mark.parametrize("lengths", [(1, 7), (17, 31), (48, 33), (49, 385), (97, 1025)], ids=str)
def test_every_length_is_as_accurate_as_numpy(lengths: tuple[int, int]) -> None:
    assert_accurate(replace(SQUARE, Lq=lengths[0], Lk=lengths[1]).draw(ml_dtypes.bfloat16))


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_threads_do_not_change_a_bit(case: Case) -> None:
    call = case.draw(ml_dtypes.bfloat16)

    def results(threads: int) -> tuple[Array, ...]:
        with heedful.num_threads(threads):
            return scores_of(call), weights_of(call), weights_of(call, average_heads=True)

    alone = results(1)
    for threads in (2, 3):
        for result, expected in zip(results(threads), alone, strict=True):
            assert_same_bits(result, expected, f"{threads} threads")


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_averaged_heads_are_the_mean_over_heads(case: Case) -> None:
    call = case.draw(ml_dtypes.bfloat16)
    expected = weights_of(call).mean(axis=-3, dtype=np.float64)
    averaged = weights_of(call, average_heads=True)
    np.testing.assert_allclose(averaged, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_selected_rows_are_rows_of_the_whole(case: Case) -> None:
    call = case.draw(ml_dtypes.bfloat16)
    rows = np.random.default_rng(1).integers(0, case.Lq, 4)  # any order, repeats allowed
    assert_same_bits(scores_of(call, rows=rows), scores_of(call)[..., rows, :])
    some = weights_of(call, rows=rows)
    np.testing.assert_allclose(some, weights_of(call)[..., rows, :], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_weights_are_those_of_attention(case: Case) -> None:
    call = replace(case, Dv=case.D).draw(ml_dtypes.bfloat16)
    out, weights = call.run(heedful.attention, return_weights=True)
    np.testing.assert_allclose(weights_of(call), weights, rtol=1e-5, atol=1e-7)
    value = np.repeat(call.value, case.H // (case.Hkv or case.H), axis=-3).astype(np.float64)
    exact = call.run(reference.attention)
    plain = call.run(reference.attention, dtype=np.float32)
    assert_as_accurate_as_numpy((weights @ value).astype(out.dtype), plain.out, exact.out)


def test_rows_sum_to_1() -> None:
    weights = weights_of(replace(SQUARE, D=64, Lk=1025).draw(ml_dtypes.bfloat16))
    np.testing.assert_allclose(weights.sum(axis=-1, dtype=np.float64), 1, rtol=3e-6)


def test_rows_of_large_scores_sum_to_1() -> None:
    """Rounding errors of these scores exceed 1: only lse of the very same scores is right."""
    call = replace(SQUARE, D=64, Lk=1025).draw(ml_dtypes.bfloat16)
    query = (call.query.astype(np.float32) * 2.0**40).astype(ml_dtypes.bfloat16)
    weights = weights_of(replace(call, query=query))
    np.testing.assert_allclose(weights.sum(axis=-1, dtype=np.float64), 1, rtol=3e-6)


@pytest.mark.parametrize("layout", [heads_inside, columns_apart])
@pytest.mark.parametrize("depth", [5, 16, 32, 64, 97])
def test_the_layout_does_not_change_a_bit(layout: Any, depth: int) -> None:
    call = replace(SQUARE, D=depth).draw(ml_dtypes.bfloat16)
    other = replace(call, query=layout(call.query), key=layout(call.key))
    assert_same_bits(scores_of(other), scores_of(call))
    assert_same_bits(weights_of(other), weights_of(call))


@pytest.mark.parametrize("plant", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["causal_square", "mask_square", "window_both"])
def test_what_a_hidden_key_holds_changes_nothing(plant: float, name: str) -> None:
    clean = CASE[name].draw(ml_dtypes.bfloat16)
    sees = clean.run(reference.steps).allowed[0, 0]
    before = weights_of(clean)
    for key in (0, 31, 32, 50, 96):
        planted = replace(clean, key=clean.key.copy())
        planted.key[..., key, :] = plant
        weights = weights_of(planted)
        assert_same_bits(weights[0, 0, ~sees[:, key]], before[0, 0, ~sees[:, key]])
        if np.isnan(plant):
            visible = weights[0, 0, sees[:, key]]
            assert np.isnan(visible[sees[sees[:, key]]]).all()
