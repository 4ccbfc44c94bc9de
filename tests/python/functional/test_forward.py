"""out, lse and weights of every case against the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from case import Case
from cases import CASES
from closeness import assert_as_accurate_as_numpy, assert_same_bits

import heedful
import reference


@pytest.mark.parametrize("case", CASES, ids=str)
def test_out_lse_and_weights_agree_with_the_reference(case: Case) -> None:
    call = case.draw()
    exact = call.run(reference.attention, dtype=np.longdouble)
    plain = call.run(reference.attention)
    out, lse, weights = call.run(heedful.attention, return_lse=True, return_weights=True)
    assert_as_accurate_as_numpy(out, plain.out, exact.out, "out")
    assert_as_accurate_as_numpy(lse, plain.lse, exact.lse, "lse")
    assert_as_accurate_as_numpy(weights, plain.weights, exact.weights, "weights")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_returned_beside_it_does_not_change_out(case: Case) -> None:
    call = case.draw(np.float32)
    out = call.run(heedful.attention)
    with_lse = call.run(heedful.attention, return_lse=True)
    with_weights = call.run(heedful.attention, return_weights=True)
    with_both = call.run(heedful.attention, return_lse=True, return_weights=True)
    assert [len(result) for result in (with_lse, with_weights, with_both)] == [2, 2, 3]
    for result in (with_lse[0], with_weights[0], with_both[0]):
        assert_same_bits(result, out)
    assert_same_bits(with_both[1], with_lse[1])
    assert_same_bits(with_both[2], with_weights[1])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_inputs_are_left_alone(case: Case) -> None:
    call = case.draw(np.float32)
    untouched = case.draw(np.float32)
    call.run(heedful.attention, return_weights=True)
    _, pullback = call.run(heedful.attention_vjp)
    pullback(call.dout)
    arrays = [*call.inputs, call.dout, *call.options.values()]
    before = [*untouched.inputs, untouched.dout, *untouched.options.values()]
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)
