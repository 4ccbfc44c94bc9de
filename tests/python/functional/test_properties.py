"""What must hold for any input, whatever the sizes and options."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import heedful

pytest.importorskip("hypothesis")
from hypothesis import given
from hypothesis import strategies as st

Array = NDArray[Any]
CLOSE = {"rtol": 1e-10, "atol": 1e-12}


@dataclass(frozen=True)
class Problem:
    query: Array
    key: Array
    value: Array
    options: dict[str, Any]
    rng: np.random.Generator

    @property
    def inputs(self) -> tuple[Array, Array, Array]:
        return self.query, self.key, self.value

    def attend(self, **changed: Any) -> Any:
        options = {**self.options, **changed}
        inputs = [options.pop(name, getattr(self, name)) for name in ("query", "key", "value")]
        return heedful.attention(*inputs, **options)


@st.composite
def problems(draw: st.DrawFn, **fixed: Any) -> Problem:
    """Float64 arrays of modest but awkward sizes, and any mixture of options."""
    lengths = st.sampled_from([1, 2, 3, 5, 7, 13, 17, 33, 50])
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    items, kv_heads, group = (draw(st.integers(1, 3)) for _ in range(3))
    num_queries = draw(lengths)
    num_keys = draw(st.one_of(lengths, st.sampled_from([97, 260, 385, 1030])))
    depth, value_depth = (draw(st.sampled_from([1, 2, 3, 5, 8, 17])) for _ in range(2))
    heads = kv_heads * group
    query = rng.standard_normal((items, heads, num_queries, depth))
    key = rng.standard_normal((items, kv_heads, num_keys, depth))
    value = rng.standard_normal((items, kv_heads, num_keys, value_depth))
    shape = (items, heads, num_queries, num_keys)
    options: dict[str, Any] = {
        "scale": draw(st.sampled_from([None, 1.0, 0.1, -0.5])),
        "softcap": draw(st.sampled_from([None, 2.0])),
        "align": draw(st.sampled_from(["upper_left", "lower_right", 3])),
        "causal": draw(st.booleans()),
    }
    if draw(st.booleans()):
        options["window"] = (draw(st.integers(0, 40)), draw(st.sampled_from([None, 0, 9])))
    if draw(st.booleans()):
        sizes = [size if draw(st.booleans()) else 1 for size in shape]
        options["mask"] = rng.random(sizes) < draw(st.sampled_from([0.1, 0.5, 0.9]))
    if draw(st.booleans()):
        sizes = [size if draw(st.booleans()) else 1 for size in shape]
        options["bias"] = rng.standard_normal(sizes)
    if draw(st.booleans()):
        options["kv_lengths"] = rng.integers(0, num_keys + 1, items)
    if draw(st.booleans()):
        options["q_lengths"] = rng.integers(0, num_queries + 1, items)
    if draw(st.booleans()):
        options["alibi_slopes"] = rng.random(heads)
    if draw(st.booleans()):
        options["sink"] = rng.standard_normal(heads)
    options.update(fixed)
    return Problem(query, key, value, options, rng)


NO_POSITIONS = {"causal": False, "window": None, "alibi_slopes": None, "kv_lengths": None}


@given(problems(**NO_POSITIONS, mask=None, bias=None))
def test_permuting_keys_with_their_values_changes_nothing(problem: Problem) -> None:
    order = problem.rng.permutation(problem.key.shape[-2])
    out = problem.attend(key=problem.key[..., order, :], value=problem.value[..., order, :])
    np.testing.assert_allclose(out, problem.attend(), **CLOSE)


@given(problems(sink=None), st.floats(-50, 50))
def test_adding_a_constant_to_all_scores_of_a_row_changes_nothing(
    problem: Problem, constant: float
) -> None:
    out, lse = problem.attend(return_lse=True)
    rows = constant * problem.rng.standard_normal((*lse.shape, 1))
    shifted, shifted_lse = problem.attend(
        bias=problem.options.get("bias", 0.0) + rows, return_lse=True
    )
    np.testing.assert_allclose(shifted, out, **CLOSE)
    some = lse > -np.inf
    np.testing.assert_allclose(shifted_lse[some], (lse + rows[..., 0])[some], **CLOSE)


@given(problems())
def test_weights_are_not_negative_and_sum_to_one(problem: Problem) -> None:
    _, weights = problem.attend(return_weights=True)
    assert (weights >= 0).all()
    sums = weights.sum(axis=-1)
    if "sink" in problem.options:
        assert (sums < 1 + 1e-12).all()
    else:
        nothing = (weights == 0).all(axis=-1)
        np.testing.assert_allclose(sums[~nothing], 1, rtol=1e-12)


@given(problems(sink=None))
def test_outputs_lie_within_the_range_of_the_values(problem: Problem) -> None:
    out, lse = problem.attend(return_lse=True)
    group = problem.query.shape[-3] // problem.key.shape[-3]
    value = np.repeat(problem.value, group, axis=-3)
    some = (lse > -np.inf)[..., None]
    assert (out <= value.max(axis=-2, keepdims=True) + 1e-12)[some[..., 0]].all()
    assert (out >= value.min(axis=-2, keepdims=True) - 1e-12)[some[..., 0]].all()


@given(problems())
def test_a_batch_equals_a_loop(problem: Problem) -> None:
    out = problem.attend()
    for item in range(len(out)):
        one = {}
        for name in ("mask", "bias"):
            if problem.options.get(name) is not None:
                array = problem.options[name]
                one[name] = array[item : item + 1] if len(array) > 1 else array
        for name in ("q_lengths", "kv_lengths"):
            if problem.options.get(name) is not None:
                one[name] = problem.options[name][item : item + 1]
        for name in ("query", "key", "value"):
            one[name] = getattr(problem, name)[item : item + 1]
        np.testing.assert_array_equal(problem.attend(**one), out[item : item + 1])


@given(problems(**NO_POSITIONS, mask=None, bias=None, sink=None), st.data())
def test_any_split_of_the_keys_merged_equals_the_whole(problem: Problem, data: Any) -> None:
    num_keys = problem.key.shape[-2]
    cuts = data.draw(st.lists(st.integers(0, num_keys), max_size=4).map(sorted))
    borders = [0, *cuts, num_keys]
    pieces = [
        problem.attend(
            key=problem.key[..., start:end, :],
            value=problem.value[..., start:end, :],
            return_lse=True,
        )
        for start, end in pairwise(borders)
    ]
    out, lse = heedful.merge_attention(*zip(*pieces, strict=True))
    expected, expected_lse = problem.attend(return_lse=True)
    np.testing.assert_allclose(out, expected, **CLOSE)
    np.testing.assert_allclose(lse, expected_lse, **CLOSE)


@given(
    problems(causal=True, window=None, align="upper_left", kv_lengths=None, mask=None, bias=None),
    st.data(),
)
def test_a_causal_prefix_never_depends_on_later_keys(problem: Problem, data: Any) -> None:
    length = data.draw(st.integers(1, problem.key.shape[-2]))
    key, value = problem.key.copy(), problem.value.copy()
    key[..., length:, :] = np.nan
    value[..., length:, :] = 1e300
    out = problem.attend()
    changed = problem.attend(key=key, value=value)
    np.testing.assert_array_equal(changed[..., :length, :], out[..., :length, :])


@given(problems())
def test_grouped_heads_equal_repeated_heads(problem: Problem) -> None:
    group = problem.query.shape[-3] // problem.key.shape[-3]
    repeated = problem.attend(
        key=np.repeat(problem.key, group, axis=-3), value=np.repeat(problem.value, group, axis=-3)
    )
    np.testing.assert_allclose(problem.attend(), repeated, **CLOSE)


@given(problems(), st.floats(-3, 3), st.floats(-3, 3))
def test_the_result_is_linear_in_the_values(problem: Problem, a: float, b: float) -> None:
    other = problem.rng.standard_normal(problem.value.shape)
    combined = problem.attend(value=a * problem.value + b * other)
    expected = a * problem.attend() + b * problem.attend(value=other)
    np.testing.assert_allclose(combined, expected, rtol=1e-9, atol=1e-11)


@given(problems(), st.booleans())
def test_the_pullback_is_the_transpose_of_the_derivative(
    problem: Problem, with_dropout: bool
) -> None:
    """⟨dout, J δ⟩ = ⟨Jᵀ dout, δ⟩, J δ by central differences."""
    options = {**problem.options, "dropout_p": 0.3 * with_dropout, "rng": 11}
    out, pullback = heedful.attention_vjp(*problem.inputs, **options)
    dout = problem.rng.standard_normal(out.shape)
    gradients = pullback(dout)
    arrays = {"query": problem.query, "key": problem.key, "value": problem.value}
    arrays |= {name: options[name] for name in ("bias", "sink") if options.get(name) is not None}
    step = 1e-5
    directions = {name: problem.rng.standard_normal(array.shape) for name, array in arrays.items()}
    above, below = (
        problem.attend(
            **{name: array + sign * step * directions[name] for name, array in arrays.items()},
            dropout_p=options["dropout_p"],
            rng=11,
        )
        for sign in (1, -1)
    )
    forward = (dout * (above - below)).sum() / (2 * step)
    backward = sum((getattr(gradients, name) * directions[name]).sum() for name in arrays)
    size = sum(np.linalg.norm(getattr(gradients, name)) for name in arrays)
    assert abs(forward - backward) < 1e-7 * (1 + size) * max(1, np.sqrt(dout.size) / 10)


@given(problems())
def test_bias_of_minus_infinity_equals_mask_false(problem: Problem) -> None:
    shape = (*problem.query.shape[:-1], problem.key.shape[-2])
    hidden = problem.rng.random(shape) < 0.3
    bias = problem.options.get("bias", 0.0)
    by_bias = problem.attend(bias=np.where(hidden, -np.inf, bias), return_lse=True)
    mask = problem.options.get("mask", True) & ~hidden
    by_mask = problem.attend(mask=mask, bias=bias + np.zeros(shape), return_lse=True)
    for one, other in zip(by_bias, by_mask, strict=True):
        np.testing.assert_array_equal(one, other)


@given(problems(), st.sampled_from([np.nan, np.inf, -np.inf, 1e308]))
def test_garbage_in_hidden_keys_has_no_effect(problem: Problem, garbage: float) -> None:
    num_keys = problem.key.shape[-2]
    hidden = problem.rng.random(num_keys) < 0.4
    options = {"mask": problem.options.get("mask", True) & ~hidden, "return_lse": True}
    expected = problem.attend(**options)
    key, value = problem.key.copy(), problem.value.copy()
    key[..., hidden, :] = garbage
    value[..., hidden, :] = garbage
    for one, other in zip(problem.attend(key=key, value=value, **options), expected, strict=True):
        np.testing.assert_array_equal(one, other)
