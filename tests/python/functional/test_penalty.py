"""attention_penalty against the dense reference, finite differences and itself on other threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from case import Case
from cases import CASE, CASES
from closeness import assert_as_accurate_as_numpy, assert_same_bits
from numpy.typing import NDArray
from penalty_reference import KINDS, gradients, value

import heedful
import reference
from heedful.functional import penalised_attention_vjp

Array = NDArray[Any]
NOT_TAKEN = {"sink", "top_k", "dropout_p", "key_dropout_p", "gumbel_temperature", "rng",
             "min_weight"}  # fmt: skip
TAKEN = [case for case in CASES if not case.sink and not NOT_TAKEN & set(case.options)]
SOME = ["tiny_and_odd", "past_one_panel", "broadcast_leading_axes", "many_queries", "many_tiles"]


def draw(case: Case, kind: str, dtype: Any) -> tuple[tuple[Array, Array], dict[str, Any]]:
    call = case.draw(dtype)
    options = dict(call.options)
    if kind == "target":
        rng = np.random.default_rng(5)
        shape = (*call.dweights.shape[:-3], 1, *call.dweights.shape[-2:])
        target = rng.random(shape) * (rng.random(shape) < 0.8)
        options["target"] = target.astype(call.dlse.dtype)
    return (call.query, call.key), options


def spread(found: Array) -> float:
    return float(abs(found).max(initial=0)) or 1.0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", TAKEN, ids=str)
def test_the_penalty_and_its_gradients_are_the_dense_ones(case: Case, kind: str) -> None:
    inputs, options = draw(case, kind, np.float64)
    penalty, pullback = heedful.attention_penalty(*inputs, kind, **options)
    expected, exact = gradients(kind, *inputs, **options)
    assert penalty == pytest.approx(expected, rel=1e-11, abs=1e-12)
    found = pullback()
    assert len(found) == len(exact)
    for name, one, other in zip(("dquery", "dkey", "dbias"), found, exact, strict=False):
        assert one.shape == other.shape
        # relative to the terms of the sums, which cancel in rows of one key
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-13 + 1e-10 * spread(other),
                                   err_msg=name)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["past_one_panel", "many_tiles", "many_queries"])
def test_float32_is_as_accurate_as_numpy(name: str, kind: str) -> None:
    inputs, options = draw(CASE[name], kind, np.float32)
    penalty, pullback = heedful.attention_penalty(*inputs, kind, **options)
    plain, rounded = gradients(kind, *inputs, **options, dtype=np.float32)
    expected, exact = gradients(kind, *inputs, **options)
    assert penalty == pytest.approx(expected, rel=2e-6)
    for what, one, other, right in zip("qkb", pullback(), rounded, exact, strict=False):
        assert one.dtype == np.float32
        # γ + β s is a difference of terms that are larger than it; those of scores have no
        # exponential, so that the order of the sums of keys makes most of the error
        ratio = 8.0 if kind in ("scores_l1", "scores_l2") else 4.0
        assert_as_accurate_as_numpy(one, other, right, f"d{what} of {kind}", ratio=ratio)
    assert plain == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_formulas_are_those_of_finite_differences(kind: str, rng: np.random.Generator) -> None:
    query, key = rng.standard_normal((2, 4, 5, 6)), rng.standard_normal((2, 2, 7, 6))
    bias = rng.standard_normal((4, 5, 7))
    options: dict[str, Any] = {"causal": True, "align": 1, "softcap": 2.0, "kv_lengths": [7, 3]}
    if kind == "target":
        options["target"] = rng.random((5, 7))
    _, pullback = heedful.attention_penalty(query, key, kind, bias=bias, **options)
    steps = [rng.standard_normal(array.shape) for array in (query, key, bias)]
    slope = sum((one * step).sum() for one, step in zip(pullback(3.0), steps, strict=True))
    h = 1e-6
    ends = [
        value(kind, *(array + sign * h * step for array, step in
                      zip((query, key), steps, strict=False)), bias=bias + sign * h * steps[2],
              **options)
        for sign in (1, -1)
    ]  # fmt: skip
    assert slope == pytest.approx(3 * (ends[0] - ends[1]) / (2 * h), rel=1e-6)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("kind", KINDS)
def test_random_calls_agree_with_the_reference(kind: str, seed: int) -> None:
    rng = np.random.default_rng((seed, KINDS.index(kind)))
    items, kv_heads, group = rng.integers(1, 4, 3)
    lq, lk, depth = rng.choice([1, 3, 17, 49, 97, 260, 390], 3)
    depth = min(int(depth), 40)
    query = rng.standard_normal((items, kv_heads * group, lq, depth))
    key = rng.standard_normal((items, kv_heads, lk, depth))
    options: dict[str, Any] = {"align": "lower_right"}
    some = rng.random(8) < 0.4
    if some[0]:
        options["causal"] = True
    if some[1]:
        options["window"] = (int(rng.integers(0, 60)), None)
    if some[2]:
        options["mask"] = rng.random((items, 1, lq, lk)) < 0.7
    if some[3]:
        options["bias"] = rng.standard_normal((kv_heads * group, lq, lk))
    if some[4]:
        options["kv_lengths"] = rng.integers(0, lk + 1, items)
    if some[5]:
        options["q_lengths"] = rng.integers(0, lq + 1, items)
    if some[6]:
        options["softcap"] = 3.0
    if some[7]:
        options["alibi_slopes"] = rng.random(kv_heads * group)
    if kind == "target":
        options["target"] = rng.random((lq, lk))
    penalty, pullback = heedful.attention_penalty(query, key, kind, **options)
    expected, exact = gradients(kind, query, key, **options)
    assert penalty == pytest.approx(expected, rel=1e-11, abs=1e-12)
    for one, other in zip(pullback(), exact, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-13 + 1e-10 * spread(other))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SOME)
def test_threads_do_not_change_a_bit(name: str, kind: str, wide_dtype: np.dtype[Any]) -> None:
    inputs, options = draw(CASE[name], kind, wide_dtype)

    def run(threads: int) -> list[Array]:
        with heedful.num_threads(threads):
            penalty, pullback = heedful.attention_penalty(*inputs, kind, **options)
            return [np.array(penalty), *pullback(0.5)]

    alone = run(1)
    for threads in (2, 3):
        for one, other in zip(run(threads), alone, strict=True):
            assert_same_bits(one, other, f"{kind}, {threads} threads")


@pytest.mark.parametrize("blocks", [(), (16, 8)], ids=["", "block mask"])
def test_a_target_by_rows_is_the_whole_one(
    blocks: tuple[int, int], rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heedful.functional._penalty_rows._MAX_ELEMENTS", 5000)
    query, key = rng.standard_normal((2, 4, 99, 6)), rng.standard_normal((2, 2, 37, 6))
    target = rng.random((2, 4, 99, 37))
    for bias in (rng.standard_normal((99, 37)), rng.standard_normal((4, 1, 37)), None):
        options: dict[str, Any] = {
            "causal": True, "align": 2, "q_lengths": [80, 99], "mask": rng.random((99, 37)) < 0.8,
            "bias": bias,
        }  # fmt: skip
        if blocks:
            kinds = rng.random((7, 5)) < 0.7
            options["block_mask"] = heedful.BlockMask(kinds, blocks, (99, 37))
        whole, of_whole = heedful.attention_penalty(query, key, "target", target=target, **options)
        asked: list[slice] = []

        def by_rows(rows: slice, asked: list[slice] = asked) -> Array:
            asked.append(rows)
            return target[:, :, rows]

        found, of_rows = heedful.attention_penalty(query, key, "target", target=by_rows, **options)
        assert len(asked) > 2
        assert found == pytest.approx(whole, rel=1e-13)
        for one, other in zip(of_rows(), of_whole(), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("kind", KINDS)
def test_types_layouts_and_few_axes(kind: str, rng: np.random.Generator, dtype: Any) -> None:
    query, key = (rng.standard_normal((2, n, 3, 8)).astype(dtype) for n in (5, 7))
    options = {"target": rng.random((5, 7))} if kind == "target" else {}
    penalty, pullback = heedful.attention_penalty(query, key, kind, layout="blhd", **options)
    wide = [array.astype(np.float64).swapaxes(1, 2) for array in (query, key)]
    expected, exact = gradients(kind, *wide, **options)
    narrow = dtype.itemsize == 2
    assert penalty == pytest.approx(expected, rel=1e-5)
    for one, other in zip(pullback(), exact, strict=True):
        assert one.dtype == dtype
        found = one.astype(np.float64).swapaxes(1, 2)
        tolerance = (2**-7 if narrow else 1e-5) * spread(other)
        np.testing.assert_allclose(found, other, rtol=0, atol=tolerance)
    single, _ = heedful.attention_penalty(
        wide[0][0, 0, 0], wide[1][0, 0], kind, **({"target": np.ones(7)} if options else {})
    )
    one_row = value(kind, wide[0][0, 0, :1], wide[1][0, 0], **(
        {"target": np.ones((1, 7))} if options else {}))  # fmt: skip
    assert single == pytest.approx(one_row, rel=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_hidden_keys_and_rows_without_keys_count_for_nothing(
    kind: str, rng: np.random.Generator
) -> None:
    query, key = rng.standard_normal((1, 2, 6, 4)), rng.standard_normal((1, 2, 9, 4))
    target = {"target": rng.random((6, 9))} if kind == "target" else {}
    mask = np.ones((6, 9), bool)
    mask[:, 4:], mask[2] = False, False
    expected, of_expected = heedful.attention_penalty(query, key, kind, mask=mask, **target)
    key[:, :, 4:] = np.nan
    if target:
        target["target"][:, 4:] = np.nan
    found, of_found = heedful.attention_penalty(query, key, kind, mask=mask, **target)
    assert found == expected
    dquery, dkey = of_found()
    assert not dquery[:, :, 2].any()
    assert not dkey[:, :, 4:].any()
    np.testing.assert_array_equal(dquery, of_expected()[0])
    nothing, of_nothing = heedful.attention_penalty(
        query, key, kind, mask=np.zeros((6, 9), bool), **target
    )
    assert nothing == 0
    assert not any(one.any() for one in of_nothing())


@pytest.mark.parametrize("options", [
    {}, {"gumbel_temperature": 0.7, "rng": 3}, {"dropout_p": 0.3, "rng": 3},
    {"key_dropout_p": 0.3, "rng": 3}, {"softcap": 2.0, "causal": True, "align": 3},
], ids=str)  # fmt: skip
def test_the_gradients_of_attention_and_of_penalties_add_up(
    options: dict[str, Any], rng: np.random.Generator
) -> None:
    query, key, inner = (rng.standard_normal((2, n, 19, 5)) for n in (4, 2, 2))
    bias, dout = rng.standard_normal((19, 19)), rng.standard_normal((2, 4, 19, 5))
    weights = {"entropy": rng.random(4), "z": 0.3, "scores_l2": 0.1, "l2": 2.0}
    out, penalty, pullback = penalised_attention_vjp(
        query, key, inner, weights, bias=bias, **options
    )
    plain, of_plain = heedful.attention_vjp(query, key, inner, bias=bias, **options)
    np.testing.assert_array_equal(out, plain)
    of_scores = {name: one for name, one in options.items() if name != "dropout_p"}
    total, sums = 0.0, [0.0, 0.0, 0.0]
    for kind, weight in weights.items():
        for head, factor in enumerate(np.broadcast_to(weight, 4)):
            # the noise of a head depends on its index: all heads, of which one counts
            one, found = of_head(kind, query, key, bias, head, of_scores)
            total += factor * one
            sums = [before + factor * more for before, more in zip(sums, found, strict=True)]
    assert penalty == pytest.approx(total, rel=1e-10)
    gradient, without = pullback(dout), of_plain(dout)
    for name, more in zip(("query", "key", "bias"), sums, strict=True):
        np.testing.assert_allclose(
            getattr(gradient, name), getattr(without, name) + more, rtol=1e-8, atol=1e-11
        )
    np.testing.assert_allclose(gradient.value, without.value, rtol=1e-12)


def of_head(
    kind: str, query: Array, key: Array, bias: Array, head: int, options: dict[str, Any]
) -> tuple[float, list[Array]]:
    """The part of one head in the mean over all rows, and its gradients."""
    mask = np.zeros((1, 4, 1, 1), bool)
    mask[:, head] = True
    penalty, found = gradients(kind, query, key, bias=bias, mask=mask, **options)
    lses = (
        reference.attention(query, key, key, bias=bias, mask=one, **options).lse
        for one in (mask, None)
    )
    own, all_heads = (np.count_nonzero(lse != -np.inf) for lse in lses)
    share = own / all_heads
    return penalty * share, [one * share for one in found]
