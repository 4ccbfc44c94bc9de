"""CacheItems: the items of a cache, which are continued, copied and removed, and their pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from heedful._checks import integer_array, size
from heedful.functional._dtypes import Array
from heedful.functional._int8_store import Int8Store
from heedful.functional._paged_store import PagedStore

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from heedful.functional._cache_policies import CachePolicy
    from heedful.functional._cache_store import CacheStore


class CacheItems:
    """The part of :class:`KVCache` that needs no keys and values."""

    policy: CachePolicy | None
    _store: CacheStore | None

    @property
    def lengths(self) -> Array:
        lengths = np.zeros(0, np.int64) if self._store is None else self._store.lengths.copy()
        return lengths

    @lengths.setter
    def lengths(self, given: ArrayLike) -> None:
        before = self.lengths
        fewer = checked_integers("lengths", given, int(before.max(initial=0)))
        if fewer.shape != before.shape:
            raise ValueError(f"lengths must have shape {before.shape}: got {fewer.shape}")
        if (fewer > before).any():
            item = int(np.argmax(fewer > before))
            raise ValueError(
                f"lengths must not be set to more rows than there are, {before[item]} of "
                f"item {item}: got {fewer[item]}"
            )
        if self._store is not None:
            self._store = self._store.shortened(fewer)

    @property
    def nbytes(self) -> int:
        return 0 if self._store is None else self._store.nbytes

    @property
    def page_table(self) -> Array:
        table: Array = self._paged().table.copy()
        return table

    @property
    def key_pages(self) -> Array:
        return read_only(self._paged().key.elements)

    @property
    def value_pages(self) -> Array:
        return read_only(self._paged().value.elements)

    @property
    def key_scales(self) -> Array | None:
        scales = self._paged().key.scales
        return None if scales is None else read_only(scales)

    @property
    def value_scales(self) -> Array | None:
        scales = self._paged().value.scales
        return None if scales is None else read_only(scales)

    def _filled(self) -> CacheStore:
        if self._store is None:
            raise ValueError("the cache is empty: append keys and values first")
        return self._store

    def _paged(self) -> PagedStore:
        store = self._filled()
        if not isinstance(store, PagedStore):
            held = f"no policy {self.policy!r}"
            if self.policy is None:
                held = "kind='paged'" + ", exact_rows=0" * isinstance(store, Int8Store)
            raise ValueError(f"the cache has no page table: it needs {held}")
        return store

    def reorder(self, items: ArrayLike) -> None:
        """Item i becomes a copy of the former item ``items[i]``, as beam search needs it.

        A paged cache copies no rows: the items share pages until one of them appends.

        Parameters
        ----------
        items : array_like of int, (N,)
            The former item, from 0 to B − 1, that each of the N new items continues. With N = 0
            the cache has no items left. An empty cache stays empty.
        """
        places = self._items(items)
        if self._store is not None:
            self._store = self._store.reordered(places)

    def fork(self, items: ArrayLike) -> None:
        """Adds an item after the last one for each of `items`, as a copy of it.

        Parameters
        ----------
        items : array_like of int, (N,)
            From 0 to B − 1.

        Examples
        --------
        >>> import numpy as np
        >>> import heedful
        >>> cache = heedful.KVCache(kind="paged")
        >>> before = cache.append(np.ones((1, 2, 40, 4)), np.ones((1, 2, 40, 4)))
        >>> cache.fork([0, 0])
        >>> cache.page_table[:, :3].tolist(), cache.lengths.tolist()
        ([[0, 1, 2], [0, 1, 2], [0, 1, 2]], [40, 40, 40])
        """
        places, store = self._items(items), self._filled()
        self._store = store.reordered(np.concatenate([np.arange(len(store.lengths)), places]))

    def share_prefix(self, item: int, rows: int, count: int = 1) -> None:
        """Adds `count` items that begin with the first `rows` rows of an item.

        Parameters
        ----------
        item : int
            From 0 to B − 1.
        rows : int
            From 0 to the item's length.
        count : int, default 1
        """
        store, count = self._filled(), size("count", count)
        (place,) = checked_integers("item", [item], len(store.lengths) - 1)
        (length,) = checked_integers("rows", [rows], int(store.lengths[place]))
        items = len(store.lengths)
        longer = store.reordered(np.concatenate([np.arange(items), np.full(count, place)]))
        lengths = longer.lengths.copy()
        lengths[items:] = length
        self._store = longer.shortened(lengths)

    def free(self, items: ArrayLike) -> None:
        """Removes items; those after them move up. Pages that no other item has are reused.

        Parameters
        ----------
        items : array_like of int, (N,)
            From 0 to B − 1.
        """
        places, store = self._items(items), self._filled()
        self._store = store.reordered(np.delete(np.arange(len(store.lengths)), places))

    def _items(self, items: ArrayLike) -> NDArray[np.int64]:
        places = integer_array("items", items)
        if places.ndim != 1:
            raise ValueError(f"items must have one axis: got shape {places.shape}")
        if self._store is None:
            return np.zeros(0, np.int64)
        return within("items", places, len(self._store.lengths) - 1)


def read_only(array: Array) -> Array:
    view: Array = array.view()
    view.flags.writeable = False
    return view


def checked_integers(name: str, given: Any, last: int) -> Array:
    return within(name, integer_array(name, given), last)


def within(name: str, array: Array, last: int) -> Array:
    """Integers from 0 to `last`; compared before they are narrowed to 64 bits."""
    if array.size and not 0 <= array.min() <= array.max() <= last:
        wrong = array.min() if array.min() < 0 else array.max()
        raise ValueError(f"{name} must lie in [0, {last}]: got {wrong}")
    found: Array = array.astype(np.int64)
    return found
