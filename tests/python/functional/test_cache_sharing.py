"""Paged caches whose items share pages: nothing that one item does changes another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import heedful

Array = NDArray[Any]


def rows(rng: np.random.Generator, items: int, count: int) -> Array:
    return rng.standard_normal((items, 2, count, 3))


def filled(rng: np.random.Generator, lengths: list[int], **options: Any) -> heedful.KVCache:
    cache = heedful.KVCache(kind="paged", page_size=4, **options)
    key = rows(rng, len(lengths), max(lengths))
    cache.append(key, -key, lengths)
    return cache


def pages(cache: heedful.KVCache) -> list[list[int]]:
    """The pages of each item that are in use."""
    return [
        table[: -(-length // 4)].tolist()
        for table, length in zip(cache.page_table, cache.lengths, strict=True)
    ]


def content(cache: heedful.KVCache) -> list[list[Any]]:
    return [
        [cache.key[item, :, :length].tolist(), cache.value[item, :, :length].tolist()]
        for item, length in enumerate(cache.lengths)
    ]


def test_a_fork_shares_pages_until_one_appends(rng: np.random.Generator) -> None:
    cache = filled(rng, [10, 6])
    before = content(cache)
    cache.fork([0, 0, 1])
    assert cache.lengths.tolist() == [10, 6, 10, 10, 6]
    assert [pages(cache)[i] for i in (2, 3, 4)] == [pages(cache)[i] for i in (0, 0, 1)]
    assert content(cache) == [before[i] for i in (0, 1, 0, 0, 1)]
    new = rows(rng, 5, 1)
    cache.append(new, -new)
    # full pages are still shared, the partial last one is each item's own
    table = pages(cache)
    assert table[0][:2] == table[2][:2] == table[3][:2]
    assert table[1][:1] == table[4][:1]
    assert len({table[0][2], table[2][2], table[3][2], table[1][1], table[4][1]}) == 5
    after = content(cache)
    for item, source in enumerate((0, 1, 0, 0, 1)):
        length = (10, 6)[source]
        assert np.array_equal(np.array(after[item][0])[:, :length], before[source][0])
        np.testing.assert_array_equal(cache.key[item, :, length], new[item, :, 0])


def test_a_shared_prefix_is_stored_once(rng: np.random.Generator) -> None:
    cache = filled(rng, [11])
    before = np.array(cache.key)
    cache.share_prefix(0, 7, count=3)
    assert cache.lengths.tolist() == [11, 7, 7, 7]
    assert pages(cache)[1:] == [pages(cache)[0][:2]] * 3
    new = rows(rng, 4, 6)
    cache.append(new, new, [0, 6, 1, 0])
    for item, count in ((1, 6), (2, 1), (3, 0)):
        np.testing.assert_array_equal(cache.key[item, :, :7], before[0, :, :7])
        np.testing.assert_array_equal(cache.key[item, :, 7 : 7 + count], new[item, :, :count])
    np.testing.assert_array_equal(cache.key[0, :, :11], before[0])
    cache.share_prefix(0, 0)
    assert cache.lengths.tolist() == [11, 13, 8, 7, 0]


def test_freed_pages_are_reused_and_shared_ones_are_kept(rng: np.random.Generator) -> None:
    cache = filled(rng, [16, 16, 16])
    cache.fork([1])
    kept = content(cache)
    size = cache.nbytes
    cache.free([0, 1])
    assert cache.lengths.tolist() == [16, 16]
    assert content(cache) == kept[2:]
    # the pages of item 0 are free, those of item 1 belong to its fork
    new = rows(rng, 2, 8)
    cache.append(new, new)
    assert cache.nbytes == size
    for item in range(2):
        np.testing.assert_array_equal(cache.key[item, :, :16], kept[2 + item][0])
        np.testing.assert_array_equal(cache.key[item, :, 16:], new[item])
    cache.free([0, 1])
    assert cache.lengths.tolist() == []


def test_removed_rows_free_their_pages(rng: np.random.Generator) -> None:
    cache = filled(rng, [16, 16])
    size, before = cache.nbytes, content(cache)
    for _ in range(20):
        cache.lengths = [3, 16]
        new = rows(rng, 2, 13)
        cache.append(new, new, [13, 0])
        np.testing.assert_array_equal(cache.key[0, :, 3:16], new[0])
    assert cache.nbytes == size
    assert content(cache)[1] == before[1]


def test_a_removed_row_of_a_shared_page_is_not_overwritten_for_others(
    rng: np.random.Generator,
) -> None:
    cache = filled(rng, [7])
    before = np.array(cache.key)
    cache.fork([0])
    cache.lengths = [5, 7]
    new = rows(rng, 2, 2)
    cache.append(new, new, [2, 0])
    np.testing.assert_array_equal(cache.key[1, :, :7], before[0])
    np.testing.assert_array_equal(cache.key[0, :, 5:7], new[0])


def test_beams_share_what_they_have_in_common(rng: np.random.Generator) -> None:
    cache = filled(rng, [400])
    cache.reorder([0] * 8)
    assert cache.nbytes < 2 * 2 * 2 * 3 * 8 * 450
    for _ in range(30):
        new = rows(rng, 8, 1)
        cache.append(new, new)
        cache.reorder(rng.integers(0, 8, 8))
    assert cache.nbytes < 2 * 2 * 2 * 3 * 8 * 1200  # eight copies would be 3,440 rows


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda cache: cache.fork([2]), ValueError, r"items must lie in \[0, 1\]: got 2"),
        (lambda cache: cache.fork([-1]), ValueError, r"items must lie in \[0, 1\]: got -1"),
        (lambda cache: cache.fork([[0]]), ValueError, "items must have one axis"),
        (lambda cache: cache.fork([0.5]), TypeError, "items must be integers"),
        (lambda cache: cache.free([0, 2]), ValueError, r"items must lie in \[0, 1\]: got 2"),
        (lambda cache: cache.free("0"), TypeError, "items must be integers"),
        (lambda cache: cache.share_prefix(2, 1), ValueError, r"item must lie in \[0, 1\]: got 2"),
        (lambda cache: cache.share_prefix(0, 8), ValueError, r"rows must lie in \[0, 7\]: got 8"),
        (lambda cache: cache.share_prefix(0, -1), ValueError, r"rows must lie in \[0, 7\]: got -1"),
        (lambda cache: cache.share_prefix(0, 1, 0), ValueError, "count must be at least 1"),
        (lambda cache: cache.share_prefix(0.0, 1), TypeError, "item must be integers: got 0.0"),
        (lambda cache: cache.append(np.ones((2, 3, 1, 3)), np.ones((2, 3, 1, 3))), ValueError,
         r"key must have shape \(2, 2, L, 3\) as before"),
        (lambda cache: cache.append(np.ones((2, 2, 1, 3)), np.ones((2, 2, 1, 3)), [2, 0]),
         ValueError, r"lengths must lie in \[0, 1\]: got 2"),
        (lambda cache: setattr(cache, "lengths", [8, 2]), ValueError, "lengths must lie in"),
    ],
)  # fmt: skip
def test_what_is_refused_changes_nothing(
    rng: np.random.Generator, call: Any, error: type[Exception], message: str
) -> None:
    cache = filled(rng, [7, 5])
    before, table = content(cache), cache.page_table.tolist()
    with pytest.raises(error, match=message):
        call(cache)
    assert content(cache) == before
    assert cache.page_table.tolist() == table


def test_without_memory_for_more_pages_nothing_changes(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    from heedful.functional import _cached_rows

    cache = filled(rng, [7, 5])
    before, table = content(cache), cache.page_table.tolist()
    calls = []

    def allocate(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 2:  # those of value
            raise MemoryError("no room")
        return np.zeros(arguments[1], arguments[2])

    monkeypatch.setattr(_cached_rows, "allocate", allocate)
    new = rows(rng, 2, 100)
    with pytest.raises(MemoryError):
        cache.append(new, new)
    assert content(cache) == before
    assert cache.page_table.tolist() == table


def test_an_empty_cache_has_nothing_to_share() -> None:
    cache = heedful.KVCache(kind="paged")
    for call in (cache.fork, cache.free):
        with pytest.raises(ValueError, match="the cache is empty"):
            call([0])
    with pytest.raises(ValueError, match="the cache is empty"):
        cache.share_prefix(0, 1)


def test_a_contiguous_cache_copies_instead(rng: np.random.Generator) -> None:
    cache = heedful.KVCache()
    key = rows(rng, 2, 5)
    cache.append(key, key)
    cache.fork([1])
    cache.share_prefix(0, 3)
    cache.free([0])
    assert cache.lengths.tolist() == [5, 5, 3]
    for item, source, length in ((0, 1, 5), (1, 1, 5), (2, 0, 3)):
        np.testing.assert_array_equal(cache.key[item, :, :length], key[source, :, :length])
