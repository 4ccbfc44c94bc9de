"""The same bits for every number of threads, every time, and for an item alone or among others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from case import Call, Case
from cases import CASE, CASES
from closeness import assert_same_bits
from numpy.typing import NDArray

import heedful

NAMES = ("out", "lse", "weights", "dquery", "dkey", "dvalue", "dbias", "dsink")


def everything(call: Call, threads: int, **more: Any) -> list[NDArray[Any] | None]:
    """All results of a call and of its pullback."""
    with heedful.num_threads(threads):
        returned, pullback = call.run(
            heedful.attention_vjp, return_lse=True, return_weights=True, **more
        )
        return [*returned, *pullback(call.dout, dlse=call.dlse)]


def outputs(call: Call, threads: int) -> list[NDArray[Any]]:
    """out and lse of a call that keeps no scores."""
    with heedful.num_threads(threads):
        return [*call.run(heedful.attention, return_lse=True)]


def assert_all_the_same(results: list[Any], expected: list[Any], when: str) -> None:
    for name, result, other in zip(NAMES[: len(expected)], results, expected, strict=True):
        if other is not None:
            assert_same_bits(result, other, f"{name}, {when}")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_threads_do_not_change_a_bit(case: Case, wide_dtype: np.dtype[Any]) -> None:
    call = case.draw(wide_dtype)
    alone = everything(call, 1)
    for threads in (2, 3, 8):
        assert_all_the_same(everything(call, threads), alone, f"{threads} threads")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_threads_do_not_change_a_bit_without_weights(case: Case, wide_dtype: np.dtype[Any]) -> None:
    call = case.draw(wide_dtype)
    alone = outputs(call, 1)
    for threads in (2, 3, 8):
        assert_all_the_same(outputs(call, threads), alone, f"{threads} threads")


REPEATED = [
    "vit", "grouped_past_a_tile", "decode_grouped_split", "causal_past_tiles", "bias_past_a_tile",
    "dropout_half_past_tiles", "everything", "many_queries", "few_rows_split",
    "decode_with_everything", "top_k_past_tiles", "top_k_with_everything",
    "gumbel_past_tiles", "gumbel_with_everything",
]  # fmt: skip


@pytest.mark.parametrize("name", REPEATED)
def test_twenty_repeats_with_one_to_eight_threads(name: str, dtype: np.dtype[Any]) -> None:
    call = CASE[name].draw(dtype)
    alone = everything(call, 1)
    for repeat in range(20):
        threads = repeat % 8 + 1
        when = f"{threads} threads, repeat {repeat}"
        assert_all_the_same(everything(call, threads), alone, when)


def one_item(call: Call, case: Case, item: int) -> Call:
    """The call with this item of the first leading axis alone."""

    def pick(array: Any, axes: int) -> Any:
        has_items = isinstance(array, np.ndarray) and array.ndim == axes and array.shape[0] > 1
        return array[item : item + 1] if has_items else array

    options = {}
    for name, option in call.options.items():
        if isinstance(option, heedful.BlockMask) and option.blocks.ndim == 4:
            own = option.to_dense()[item : item + 1]
            options[name] = heedful.BlockMask.from_mask(own, block_size=option.block_size)
            continue
        if name in ("q_lengths", "kv_lengths") or (name == "align" and isinstance(option, tuple)):
            options[name] = option[item : item + 1]
        else:
            axes = {"mask": 4, "bias": 4, "alibi_slopes": 2}.get(name, 0)
            options[name] = pick(option, axes)
    query, key, value = (pick(array, 4) for array in call.inputs)
    rest = (array[item : item + 1] for array in (call.dout, call.dlse, call.dweights))
    return Call(query, key, value, options, *rest)


SEVERAL_ITEMS = [
    case for case in CASES
    if len(case.B) == 1 and case.B[0] > 1 and not case.batches and "rng" not in case.options
]  # fmt: skip


@pytest.mark.parametrize("case", SEVERAL_ITEMS, ids=str)
def test_an_item_alone_has_the_bits_it_has_among_others(case: Case) -> None:
    call = case.draw(np.float32)
    together = everything(call, 2)
    for item in range(case.B[0]):
        alone = everything(one_item(call, case, item), 2)
        for name, result, expected in zip(NAMES[:6], alone, together, strict=False):
            assert_same_bits(result, expected[item : item + 1], f"{name} of item {item}")
    together = outputs(call, 2)
    for item in range(case.B[0]):
        for result, expected in zip(outputs(one_item(call, case, item), 2), together, strict=True):
            assert_same_bits(result, expected[item : item + 1], f"item {item} without weights")


def test_dropout_alone_depends_on_the_place_in_the_batch() -> None:
    call = CASE["dropout"].draw(np.float32)
    repeated = [np.broadcast_to(array[:1], array.shape) for array in call.inputs]
    out = heedful.attention(*repeated, **call.options)
    assert (out[0] != out[1]).any()


@pytest.mark.parametrize("name", ["vit", "decode_grouped_split", "grouped_past_a_tile"])
def test_a_head_alone_has_the_bits_it_has_among_others(name: str) -> None:
    call = CASE[name].draw(np.float32)
    together = everything(call, 2)
    group = call.query.shape[1] // call.key.shape[1]
    for head in range(call.key.shape[1]):
        queries = slice(head * group, (head + 1) * group)
        alone = replace(
            call,
            query=call.query[:, queries],
            key=call.key[:, head : head + 1],
            value=call.value[:, head : head + 1],
            dout=call.dout[:, queries],
            dlse=call.dlse[:, queries],
        )
        results = everything(alone, 2)
        for place in range(4):  # out, lse, weights, dquery
            assert_same_bits(results[place], together[place][:, queries], NAMES[place])
        for place in (4, 5):  # dkey, dvalue
            assert_same_bits(results[place], together[place][:, head : head + 1], NAMES[place])


def test_scores_and_averaged_weights_have_the_same_bits_too(wide_dtype: np.dtype[Any]) -> None:
    call = CASE["causal_past_tiles"].draw(wide_dtype)
    results = []
    for threads in range(1, 9):
        with heedful.num_threads(threads):
            scores = heedful.attention_scores(call.query, call.key, **call.options)
            weights = heedful.attention_weights(
                call.query, call.key, **call.options, average_heads=True
            )
        results.append((scores, weights))
    for scores, weights in results[1:]:
        assert_same_bits(scores, results[0][0])
        assert_same_bits(weights, results[0][1])


@pytest.mark.parametrize("depth", [24, 64, 73])
@pytest.mark.parametrize("length", [86, 197, 380, 391])
@pytest.mark.parametrize("name", ["plain", "causal", "window", "mask", "dropped_keys"])
def test_a_head_alone_is_split_finer_and_keeps_its_bits(name: str, length: int, depth: int) -> None:
    """One head has too few tiles of rows for all threads, twenty-four have enough."""
    rng = np.random.default_rng(length)
    arrays = rng.standard_normal((3, 6, 4, length, depth)).astype(np.float32)
    options: dict[str, Any] = {
        "plain": {},
        "causal": {"causal": True},
        "window": {"window": (40, 3)},
        "mask": {"mask": rng.random((length, length)) < 0.3},
        "dropped_keys": {"mask": np.arange(length) % 50 > 9},
    }[name]
    whole, lse = heedful.attention(*arrays, return_lse=True, **options)
    for item, head in ((0, 0), (5, 3)):
        alone = arrays[:, item : item + 1, head : head + 1]
        out, own_lse = heedful.attention(*alone, return_lse=True, **options)
        np.testing.assert_array_equal(out[0, 0], whole[item, head])
        np.testing.assert_array_equal(own_lse[0, 0], lse[item, head])
