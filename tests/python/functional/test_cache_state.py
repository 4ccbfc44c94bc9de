"""KVCache: copies are independent, and neither failures nor reads change anything."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import heedful

COPIES = [copy.copy, copy.deepcopy, lambda cache: pickle.loads(pickle.dumps(cache))]
NAMES = ["copy", "deepcopy", "pickle"]


def filled(rng: np.random.Generator, **options: Any) -> heedful.KVCache:
    cache = heedful.KVCache(**options)
    cache.append(rng.standard_normal((3, 2, 5, 7)), rng.standard_normal((3, 2, 5, 11)), [5, 2, 3])
    return cache


def content(cache: heedful.KVCache) -> tuple[Any, ...]:
    return cache.lengths.tolist(), cache.key.dtype, cache.key.tolist(), cache.value.tolist()


@pytest.mark.parametrize("copied", COPIES, ids=NAMES)
@pytest.mark.parametrize("options", [{}, {"capacity": 97}, {"capacity": 5}])
def test_copies_are_independent_in_what_they_append(
    rng: np.random.Generator, copied: Callable[[Any], Any], options: dict[str, int]
) -> None:
    prefix = filled(rng, **options)
    before = content(prefix)
    one, two = copied(prefix), copied(prefix)
    assert content(one) == content(two) == before
    for cache, number in ((one, 7.0), (two, -9.0), (prefix, 1.0)):
        cache.append(np.full((3, 2, 1, 7), number), np.full((3, 2, 1, 11), -number))
    for cache, number in ((one, 7.0), (two, -9.0), (prefix, 1.0)):
        assert cache.lengths.tolist() == [6, 3, 4]
        for item, row in enumerate((5, 2, 3)):
            assert (cache.key[item, :, row] == number).all()
            assert (cache.value[item, :, row] == -number).all()
    two.reorder([2, 0])
    assert len(one.lengths) == len(prefix.lengths) == 3


@pytest.mark.parametrize("copied", COPIES, ids=NAMES)
def test_a_copy_keeps_what_the_cache_was_made_with(copied: Callable[[Any], Any]) -> None:
    cache = copied(heedful.KVCache(capacity=97, dtype=np.float16))
    with pytest.raises(ValueError, match="the cache is empty"):
        _ = cache.key
    cache.append(np.ones((1, 1, 1, 2)), np.ones((1, 1, 1, 2)))
    cache = copied(cache)
    cache.append(np.ones((1, 1, 1, 2)), np.ones((1, 1, 1, 2)))
    where = cache.key.__array_interface__["data"]
    for _ in range(95):
        cache.append(np.ones((1, 1, 1, 2)), np.ones((1, 1, 1, 2)))
    assert cache.key.__array_interface__["data"] == where
    assert cache.key.dtype == np.float16


def test_a_pickle_holds_the_filled_rows_alone() -> None:
    cache = heedful.KVCache(capacity=100_000)
    cache.append(np.ones((1, 1, 3, 2)), np.ones((1, 1, 3, 2)))
    assert len(pickle.dumps(cache)) < 2_000


def test_lengths_are_a_copy(rng: np.random.Generator) -> None:
    cache = filled(rng)
    cache.lengths[:] = 1
    cache.lengths.sort()
    assert cache.lengths.tolist() == [5, 2, 3]
    before = cache.append(np.ones((3, 2, 1, 7)), np.ones((3, 2, 1, 11)))
    before[:] = 0
    assert cache.lengths.tolist() == [6, 3, 4]


def test_the_last_rows_can_be_removed(rng: np.random.Generator) -> None:
    cache = filled(rng)
    key = cache.key.copy()
    given = np.array([3, 2, 0])
    cache.lengths = given
    given[:] = 5  # not the caller's array
    assert cache.lengths.tolist() == [3, 2, 0]
    assert cache.key.shape[2] == 3
    assert cache.append(np.ones((3, 2, 1, 7)), np.ones((3, 2, 1, 11))).tolist() == [3, 2, 0]
    np.testing.assert_array_equal(cache.key[0, :, :3], key[0, :, :3])
    assert (cache.key[2, :, 0] == 1).all()


@pytest.mark.parametrize(
    ("lengths", "kind", "message"),
    [
        ([6, 2, 3], ValueError, r"lengths must lie in \[0, 5\]: got 6"),
        ([5, 3, 3], ValueError, "more rows than there are, 2 of item 1: got 3"),
        ([-1, 2, 3], ValueError, "got -1"),
        ([2**70, 2, 3], ValueError, f"got {2**70}"),
        ([5, 2], ValueError, r"lengths must have shape \(3,\): got \(2,\)"),
        (5, ValueError, r"lengths must have shape \(3,\): got \(\)"),
        ([5.0, 2.0, 3.0], TypeError, "lengths must be integers: got 5.0"),
        ([True, True, True], TypeError, "lengths must be integers: got True"),
        (np.ma.array([5, 2, 3], mask=[0, 1, 0]), TypeError, "lengths must be a plain array"),
    ],
)
def test_lengths_are_set_to_what_there_is(
    rng: np.random.Generator, lengths: Any, kind: type[Exception], message: str
) -> None:
    cache = filled(rng)
    before = content(cache)
    with pytest.raises(kind, match=message):
        cache.lengths = lengths
    assert content(cache) == before


@pytest.mark.parametrize(
    ("items", "kind", "message"),
    [
        ([[0, 1, 2]], ValueError, r"items must have one axis: got shape \(1, 3\)"),
        (1, ValueError, r"items must have one axis: got shape \(\)"),
        ([True, False, True], TypeError, "items must be integers: got True"),
        (np.array([True, False, True]), TypeError, "items must be integers: got type bool"),
        (np.array([0.0, 1.0]), TypeError, "items must be integers: got type float64"),
        ([0, 1.0], TypeError, "items must be integers: got 1.0"),
        (["0"], TypeError, "items must be integers: got '0'"),
        (None, TypeError, "items must be integers: got type object"),
        ([0, 3], ValueError, r"items must lie in \[0, 2\]: got 3"),
        ([-1, 0], ValueError, r"items must lie in \[0, 2\]: got -1"),
        ([2**63], ValueError, f"got {2**63}"),
        (np.array([2**64 - 1], np.uint64), ValueError, f"got {2**64 - 1}"),
        ([[0], [1, 2]], TypeError, "items must be integers"),
        (np.ma.array([0, 1, 2], mask=[0, 1, 0]), TypeError, "items must be a plain array"),
        ([0, np.ma.masked], TypeError, "items must be"),
    ],
)
def test_items_are_checked_before_anything_changes(
    rng: np.random.Generator, items: Any, kind: type[Exception], message: str
) -> None:
    cache = filled(rng)
    before = content(cache)
    with pytest.raises(kind, match=message):
        cache.reorder(items)
    assert content(cache) == before


def test_an_empty_cache_checks_items_and_stays_empty() -> None:
    cache = heedful.KVCache()
    cache.reorder([2, 0])
    assert repr(cache) == "KVCache(empty)"
    with pytest.raises(ValueError, match="items must have one axis"):
        cache.reorder([[2, 0]])
    with pytest.raises(TypeError, match="items must be integers"):
        cache.reorder([True])


@pytest.mark.parametrize("none", [[], np.zeros(0, np.int32)])
def test_no_items_leave_no_items(rng: np.random.Generator, none: Any) -> None:
    cache = filled(rng)
    cache.reorder(none)
    assert cache.key.shape == (0, 2, 0, 7)
    assert cache.lengths.tolist() == []


ROW, WIDE = np.ones((3, 2, 1, 7)), np.ones((3, 2, 1, 11))


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ((ROW[0], WIDE), ValueError),
        ((ROW[:2], WIDE[:2]), ValueError),
        ((ROW[:, :1], WIDE[:, :1]), ValueError),
        ((ROW, WIDE[..., :7]), ValueError),
        ((WIDE, ROW), ValueError),
        ((ROW, np.concatenate([WIDE, WIDE], 2)), ValueError),
        ((ROW, WIDE, [1, 1]), ValueError),
        ((ROW, WIDE, [1, 2, 1]), ValueError),
        ((ROW, WIDE, [1, -1, 1]), ValueError),
        ((ROW, WIDE, [[1, 1, 1]]), ValueError),
        ((ROW, WIDE, [1, 1, 1.0]), TypeError),
        ((ROW, WIDE, np.ma.array([1, 1, 1], mask=[0, 0, 1])), TypeError),
        ((ROW, WIDE.astype(complex)), TypeError),
    ],
)
def test_an_append_that_is_refused_changes_nothing(
    rng: np.random.Generator, arguments: tuple[Any, ...], kind: type[Exception]
) -> None:
    cache = filled(rng)
    before, where = content(cache), cache.key.__array_interface__["data"]
    with pytest.raises(kind):
        cache.append(*arguments)
    assert content(cache) == before
    assert cache.key.__array_interface__["data"] == where


@pytest.mark.parametrize("call", ["append", "reorder"])
def test_without_memory_for_both_arrays_nothing_changes(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    from heedful.functional import _cached_rows

    cache = filled(rng, capacity=5)
    before, calls = content(cache), []

    def allocate(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 2:  # that of value, when key has its own
            raise MemoryError("no room")
        return np.zeros(arguments[1], arguments[2])

    monkeypatch.setattr(_cached_rows, "allocate", allocate)
    with pytest.raises(MemoryError):
        cache.append(ROW, WIDE) if call == "append" else cache.reorder([0, 1, 2])
    assert content(cache) == before


def test_a_capacity_beyond_memory_is_a_memory_error() -> None:
    cache = heedful.KVCache(capacity=2**62)
    with pytest.raises(MemoryError, match="no room for the cache"):
        cache.append(ROW, WIDE)
    assert repr(cache) == "KVCache(empty)"


def test_views_are_read_only_and_keep_the_valid_rows(rng: np.random.Generator) -> None:
    cache = filled(rng, capacity=97)
    views = cache.key, cache.value
    rows = [view[0].copy() for view in views]
    for view in views:
        with pytest.raises(ValueError, match="read-only"):
            view[...] = 0
    cache.append(ROW, WIDE)
    cache.reorder([1, 1, 1])
    cache.append(ROW, WIDE)
    for view, before in zip(views, rows, strict=True):
        np.testing.assert_array_equal(view[0], before)


def test_what_attention_reads_is_not_copied(rng: np.random.Generator) -> None:
    cache = filled(rng)
    query = rng.standard_normal((3, 2, 1, 7))
    out, pullback = heedful.attention_vjp(query, cache.key, cache.value, kv_lengths=cache.lengths)
    expected = heedful.attention(
        query, cache.key.copy(), cache.value.copy(), kv_lengths=cache.lengths
    )
    np.testing.assert_array_equal(out, expected)
    assert pullback(out).key.flags.writeable
