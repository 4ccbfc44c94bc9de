"""CacheStore: the rows of a batch, and attention to them, as all kinds of caches have them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from heedful._checks import int64_array, named
from heedful.functional._attention import attention
from heedful.functional._cached_rows import CachedRows
from heedful.functional._dtypes import Array, DType
from heedful.functional._positions import ALIGNMENTS

Lengths = NDArray[np.int64]
Rows = tuple[CachedRows, CachedRows]  # keys and values
Self = TypeVar("Self", bound="CacheStore")


class CacheStore(ABC):
    """Rows of the items of a batch.

    A change returns another store and leaves this one as it was: no row that it holds is
    overwritten, so a caller may go back to it.

    key, value : the rows in memory, in the order of the kind
    lengths : number of rows that were appended to each item, and not removed by the caller
    """

    key: CachedRows
    value: CachedRows
    lengths: Lengths

    @property
    def dtype(self) -> DType:
        return self.key.dtype

    @property
    def heads_and_depths(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Hkv and D of keys, Hkv and Dv of values."""
        key, value = self.key.shape, self.value.shape
        return (key[1], key[3]), (value[1], value[3])

    @property
    def nbytes(self) -> int:
        return self.key.nbytes + self.value.nbytes

    @property
    def longest(self) -> int:
        return int(self.lengths[0]) if len(self.lengths) == 1 else int(self.lengths.max(initial=0))

    def changed(self: Self, **attributes: Any) -> Self:
        """The same but for these attributes."""
        made = object.__new__(type(self))  # copy.copy takes five times as long
        vars(made).update(vars(self), **attributes)
        return made

    @abstractmethod
    def appended(self, key: Array, value: Array, counts: Lengths, dtype: DType) -> CacheStore:
        """With the first `counts` rows of each item of key and value (B, Hkv, L, D) added."""

    def shortened(self, lengths: Lengths) -> CacheStore:
        """With the first `lengths` rows of each item."""
        raise ValueError("lengths cannot be set where a policy removes rows")

    @abstractmethod
    def reordered(self, items: NDArray[np.int64]) -> CacheStore:
        """With item items[i] of this one as item i."""

    @abstractmethod
    def copied(self) -> CacheStore:
        """With memory of its own, for the rows that there are."""

    @abstractmethod
    def read(self) -> tuple[Array, Array]:
        """Key and value (B, Hkv, L, D) of the longest item's length, as floating numbers."""

    @abstractmethod
    def attend(
        self, query: Array, options: dict[str, Any], query_of_sinks: Array | None = None
    ) -> tuple[CacheStore, Any]:
        """The store afterwards, and the result of :func:`attention` with these options."""

    def first_positions(self, rows: int, options: dict[str, Any]) -> Lengths:
        """The position of each item's first query, of `rows`, by `align`."""
        align, q_lengths = options["align"], options["q_lengths"]
        if align is None or isinstance(align, str):
            if align not in (None, *ALIGNMENTS):
                raise ValueError(f"align must be one of {ALIGNMENTS} or integers: got {align!r}")
            count = rows if q_lengths is None else int64_array("q_lengths", q_lengths)
            own: Lengths = 0 * self.lengths if align == "upper_left" else self.lengths - count
            return own
        offsets = int64_array("align", align)
        if offsets.shape not in ((), self.lengths.shape):
            raise ValueError(
                f"align must be a single integer or have shape {self.lengths.shape}: "
                f"got shape {offsets.shape}"
            )
        return np.broadcast_to(offsets, self.lengths.shape)


def attend_to_all(read: tuple[Array, Array], query: Array, options: dict[str, Any]) -> Any:
    """The result of :func:`attention` over what a store has read."""
    key, value = read
    if options["layout"] == "blhd":
        key, value = key.swapaxes(1, 2), value.swapaxes(1, 2)
    return attention(query, key, value, **options)


def common(lengths: Lengths) -> int | None:
    """The number that all items have, None if they differ or there are none.

    A step of generation asks often, mostly of one item: a reduction takes longer than a product of
    a small model.
    """
    if not len(lengths):
        return None
    first = int(lengths[0])
    return first if len(lengths) == 1 or bool((lengths == first).all()) else None


def into(out: Any, result: Array) -> Array:
    """The result, written into the caller's array if there is one."""
    if out is None:
        return result
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a numpy array: got {named(out)}")
    if out.shape != result.shape:
        raise ValueError(f"out must have shape {result.shape}: got {out.shape}")
    if out.dtype != result.dtype:
        raise ValueError(f"out must have type {result.dtype}: got {out.dtype}")
    if not out.flags.writeable:
        raise ValueError("out must be writeable: got a read-only array")
    out[...] = result
    return out


def refuse(policy: str, options: dict[str, Any], *names: str) -> None:
    """Options that have no meaning with a policy."""
    for name in names:
        if options[name] is not None and options[name] is not False:
            raise ValueError(f"{name} cannot be combined with {policy}")


def row_places(
    first: Lengths, counts: Lengths
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Of rows first … first + counts − 1 of every item: the item, the row, and its index from 0."""
    items = np.repeat(np.arange(len(counts)), counts)
    ends = np.cumsum(counts)
    index = np.arange(len(items)) - np.repeat(ends - counts, counts)
    return items, first[items] + index, index
