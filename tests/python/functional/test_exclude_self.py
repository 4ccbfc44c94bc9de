"""exclude_self: the same as a mask without its diagonal, which is never built."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from closeness import assert_same_bits
from numpy.typing import NDArray

import heedful
from heedful import HeavyHitters, QuestPages, SinksAndWindow

Array = NDArray[Any]
SHAPES = [(1, 1, 1, 1, 0), (2, 3, 5, 7, 1), (1, 2, 33, 97, -4), (1, 1, 101, 389, 250),
          (3, 4, 1, 1025, 513), (2, 2, 197, 65, -30), (1, 2, 9, 9, 40)]  # fmt: skip


def draw(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> list[Array]:
    items, heads, queries, keys = shape[:4]
    shapes = (items, heads, queries, 16), (items, 1, keys, 16), (items, 1, keys, 16)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def others(queries: int, keys: int, offset: int) -> NDArray[np.bool_]:
    return ~np.eye(queries, keys, offset, dtype=bool)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_it_is_a_mask_without_its_diagonal(
    shape: tuple[int, ...], rng: np.random.Generator
) -> None:
    inputs, (queries, keys, offset) = draw(rng, shape, np.float64), shape[2:]
    wanted = {"return_lse": True, "return_weights": True}
    found, pullback = heedful.attention_vjp(*inputs, exclude_self=True, align=offset, **wanted)
    mask = others(queries, keys, offset)
    expected, of_mask = heedful.attention_vjp(*inputs, mask=mask, **wanted)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-13)
    dout = rng.standard_normal(found[0].shape)
    for one, other in zip(pullback(dout)[:3], of_mask(dout)[:3], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)
    scores = heedful.attention_scores(*inputs[:2], exclude_self=True, align=offset)
    np.testing.assert_array_equal(np.isinf(scores), np.broadcast_to(~mask, scores.shape))


@pytest.mark.parametrize("normalizer", ["softmax", "entmax15"])
def test_a_query_that_sees_itself_alone_attends_to_nothing(
    normalizer: Any, rng: np.random.Generator, dtype: np.dtype[Any]
) -> None:
    query, key, value = draw(rng, (2, 3, 41, 41), dtype)
    options = {"exclude_self": True, "causal": True, "normalizer": normalizer}
    out, pullback = heedful.attention_vjp(query, key, value, **options)
    assert (np.asarray(out[..., 0, :], np.float32) == 0).all()
    assert (np.asarray(out[..., 1:, :], np.float32) != 0).any(-1).all()
    assert (np.asarray(pullback(np.ones_like(out)).query[..., 0, :], np.float32) == 0).all()
    # the second sees the first alone, whose value it is
    np.testing.assert_array_equal(out[:, :, 1], np.repeat(value[..., 0, :], 3, axis=1))


@pytest.mark.parametrize("queries", [1, 3, 120])
def test_what_the_own_key_holds_does_not_matter(
    queries: int, rng: np.random.Generator, dtype: np.dtype[Any]
) -> None:
    query, key, value = draw(rng, (1, 2, queries, 131), dtype)
    options = {"exclude_self": True, "align": 7}
    out, pullback = heedful.attention_vjp(query[..., :1, :], key, value, **options)
    spoiled_key, spoiled_value = key.copy(), value.copy()
    spoiled_key[..., 7, :], spoiled_value[..., 7, :] = np.nan, np.inf
    again, of_spoiled = heedful.attention_vjp(
        query[..., :1, :], spoiled_key, spoiled_value, **options
    )
    assert_same_bits(again, out)
    gradient, of_clean = (pull(np.ones_like(out)).query for pull in (of_spoiled, pullback))
    np.testing.assert_allclose(
        gradient.astype(np.float64), of_clean.astype(np.float64), rtol=0.02, atol=1e-3
    )
    # in a call of many queries the others do see it
    whole = heedful.attention(query, spoiled_key, spoiled_value, **options)
    np.testing.assert_array_equal(
        np.isnan(whole.astype(np.float64)).any(-1)[0, 0], np.arange(queries) > 0
    )


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_bits_are_those_of_one_thread(threads: int, rng: np.random.Generator) -> None:
    inputs = draw(rng, (1, 4, 300, 300), np.float32)

    def run() -> list[Array]:
        out, pullback = heedful.attention_vjp(*inputs, exclude_self=True)
        return [out, *pullback(np.ones_like(out))[:3]]

    with heedful.num_threads(1):
        expected = run()
    with heedful.num_threads(threads):
        for one, other in zip(run(), expected, strict=True):
            assert_same_bits(one, other)


def test_each_sequence_of_a_packed_call_excludes_its_own(rng: np.random.Generator) -> None:
    starts = [0, 1, 6, 40]
    query, key, value = (rng.standard_normal((40, 2, 8)) for _ in range(3))
    out = heedful.attention_varlen(query, key, value, starts, starts, exclude_self=True)
    for begin, end in pairwise(starts):
        rows = slice(begin, end)
        parts = (array[rows].swapaxes(0, 1) for array in (query, key, value))
        mask = others(end - begin, end - begin, 0)
        expected = heedful.attention(*parts, mask=mask).swapaxes(0, 1)
        np.testing.assert_allclose(out[rows], expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", ["l2", "entropy", "scores_l2", "z"])
def test_penalties_are_of_the_others_alone(kind: Any, rng: np.random.Generator) -> None:
    query, key, _ = draw(rng, (2, 3, 33, 33), np.float64)
    found, pullback = heedful.attention_penalty(query, key, kind, exclude_self=True)
    expected, of_mask = heedful.attention_penalty(query, key, kind, mask=others(33, 33, 0))
    assert found == pytest.approx(expected, rel=1e-12)
    for one, other in zip(pullback(), of_mask(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-14)


def test_block_masks_and_dropped_blocks_go_with_it(rng: np.random.Generator) -> None:
    query, key, value = draw(rng, (1, 2, 260, 260), np.float64)
    blocks = heedful.BlockMask.window((260, 260), 64, 64, block_size=32)
    out, skipped = heedful.attention(
        query, key, value, block_mask=blocks, min_weight=1e-9, exclude_self=True,
        return_skipped=True,
    )  # fmt: skip
    mask = blocks.to_dense() & others(260, 260, 0)
    np.testing.assert_allclose(out, heedful.attention(query, key, value, mask=mask), atol=1e-8)
    assert 0 <= skipped < 1


@pytest.mark.parametrize("kind", ["contiguous", "paged", "int8", "sinks"])
def test_caches_exclude_the_row_of_the_query(kind: str, rng: np.random.Generator) -> None:
    query, key, value = draw(rng, (2, 2, 60, 60), np.float32)
    options: dict[str, Any] = {
        "contiguous": {}, "paged": {"kind": "paged"}, "int8": {"dtype": "int8"},
        "sinks": {"policy": SinksAndWindow(4, 1000)},
    }[kind]  # fmt: skip
    cache, parts = heedful.KVCache(**options), []
    for begin in range(0, 60, 20):
        rows = slice(begin, begin + 20)
        before = cache.append(key[:, :, rows], value[:, :, rows])
        parts.append(cache.attend(query[:, :, rows], causal=True, align=before, exclude_self=True))
    expected = heedful.attention(query, key, value, causal=True, exclude_self=True)
    atol = 0.05 if kind == "int8" else 1e-6
    np.testing.assert_allclose(np.concatenate(parts, axis=2), expected, atol=atol)


@pytest.mark.parametrize("policy", [HeavyHitters(4, 4), QuestPages(2)], ids=str)
def test_policies_say_what_they_do_with_it(policy: Any, rng: np.random.Generator) -> None:
    query, key, value = draw(rng, (1, 1, 60, 60), np.float32)
    cache = heedful.KVCache(policy=policy)
    before = cache.append(key, value)
    options = {"causal": True, "align": before, "exclude_self": True}
    if isinstance(policy, HeavyHitters):
        with pytest.raises(ValueError, match="exclude_self cannot be combined with HeavyHitters"):
            cache.attend(query, **options)
    else:  # it reads all pages
        expected = heedful.attention(query, key, value, causal=True, exclude_self=True)
        np.testing.assert_allclose(cache.attend(query, **options), expected, atol=1e-6)


@pytest.mark.once
def test_different_lengths_need_an_alignment() -> None:
    query, key = np.ones((3, 2)), np.ones((5, 2))
    with pytest.raises(ValueError, match=r"align must be given .* and exclude_self is used"):
        heedful.attention(query, key, key, exclude_self=True)
    with pytest.raises(TypeError, match="exclude_self must be"):
        heedful.attention(key, key, key, exclude_self=1)  # type: ignore[call-overload]
