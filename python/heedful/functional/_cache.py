"""KVCache: keys and values of earlier tokens, which attention reads in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from heedful._checks import integer_array, size
from heedful.functional._dtypes import (
    Array,
    DType,
    accepted_type,
    as_array,
    common_type,
    converted,
    floating_dtype,
)
from heedful.functional._results import allocate

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

_INITIAL_ROWS = 64  # of capacity


class KVCache:
    """Keys and values of a batch, appended to at the end of each item.

    The capacity is doubled when it runs out, so a step copies the new rows and, on average, as many
    again. Attention reads views of the storage, no copies.

    Parameters
    ----------
    capacity : int, optional
        Expected number of rows, if known: then no row is ever copied to larger storage.
    dtype : {float32, float64, float16, bfloat16}, optional
        The type keys and values are stored in; appended rows are rounded to it. float16 or, with
        ml_dtypes, bfloat16 halve the memory that a step reads. None is the common type of all
        appended rows, as :func:`attention` decides it: integers and bools count as float64, and
        where a later row is of a wider type, the rows before are widened to it, without loss.

    Attributes
    ----------
    key : numpy.ndarray, (B, Hkv, L, D)
        A read-only view; L is the length of the longest item, and rows past an item's own length
        have no meaning. The valid rows of a view that was taken before an `append` or a `reorder`
        stay unchanged; only where `lengths` was set are they overwritten.
    value : numpy.ndarray, (B, Hkv, L, Dv)
    lengths : numpy.ndarray, (B,)
        Number of rows of each item, to be passed as `kv_lengths`; a copy. It may be set to smaller
        numbers, which removes the last rows.

    Notes
    -----
    An `append` or `reorder` that raises leaves the cache as it was. ``copy.copy``,
    ``copy.deepcopy`` and a pickle copy the filled rows: a prefix that was processed once can be
    copied for each of its continuations.

    Examples
    --------
    >>> import numpy as np
    >>> import heedful
    >>> rng = np.random.default_rng(0)
    >>> query, key, value = rng.standard_normal((3, 1, 2, 5, 4), dtype=np.float32)
    >>> whole = heedful.attention(query, key, value, causal=True)
    >>> cache = heedful.KVCache()
    >>> for i in range(5):
    ...     row = slice(i, i + 1)
    ...     before = cache.append(key[:, :, row], value[:, :, row])
    ...     out = heedful.attention(
    ...         query[:, :, row], cache.key, cache.value, kv_lengths=cache.lengths,
    ...         causal=True, align=before,
    ...     )
    ...     assert np.allclose(out, whole[:, :, row], atol=1e-6)
    """

    def __init__(self, capacity: int | None = None, dtype: DTypeLike | None = None) -> None:
        self._wanted = None if capacity is None else size("capacity", capacity)
        self._dtype = None if dtype is None else floating_dtype("dtype", dtype)
        self._key: Array | None = None  # (B, Hkv, room, D)
        self._value: Array | None = None
        self._lengths: Array = np.zeros(0, np.int64)

    @property
    def key(self) -> Array:
        return self._filled(self._key)

    @property
    def value(self) -> Array:
        return self._filled(self._value)

    @property
    def lengths(self) -> Array:
        lengths: Array = self._lengths.copy()
        return lengths

    @lengths.setter
    def lengths(self, given: ArrayLike) -> None:
        fewer = _checked("lengths", given, self._longest)
        if fewer.shape != self._lengths.shape:
            raise ValueError(f"lengths must have shape {self._lengths.shape}: got {fewer.shape}")
        if (fewer > self._lengths).any():
            item = int(np.argmax(fewer > self._lengths))
            raise ValueError(
                f"lengths must not be set to more rows than there are, {self._lengths[item]} of "
                f"item {item}: got {fewer[item]}"
            )
        self._lengths = fewer

    @property
    def _longest(self) -> int:
        return int(self._lengths.max(initial=0))

    def _filled(self, room: Array | None) -> Array:
        if room is None:
            raise ValueError("the cache is empty: append keys and values first")
        view = room[:, :, : self._longest]
        view.flags.writeable = False
        return view

    def append(self, key: ArrayLike, value: ArrayLike, lengths: ArrayLike | None = None) -> Array:
        """Append rows to each item.

        Parameters
        ----------
        key : array_like, (B, Hkv, L, D)
        value : array_like, (B, Hkv, L, Dv)
        lengths : array_like of int (B,), optional
            How many of the L rows of each item are valid, counted from the first.

        Returns
        -------
        before : numpy.ndarray of int, (B,)
            Rows of each item before, which is the position of the first new one: pass it as
            `align`.

        Raises
        ------
        ValueError
            Shapes that do not match each other or the rows before, lengths out of range.
        TypeError
            Types that :func:`attention` refuses, float16 and bfloat16 in one cache among them.
        MemoryError
            No room for the rows.
        """
        key, value = as_array("key", key), as_array("value", value)
        if key.ndim != 4 or value.ndim != 4 or key.shape[:3] != value.shape[:3]:
            raise ValueError(
                "key and value must be (B, Hkv, L, D) and (B, Hkv, L, Dv): "
                f"got shapes {key.shape} and {value.shape}"
            )
        batch, _, rows, _ = key.shape
        count = np.full(batch, rows, np.int64)
        if lengths is not None:
            count = _checked("lengths", lengths, rows)
            if count.shape != (batch,):
                raise ValueError(f"lengths must have shape ({batch},): got {count.shape}")
        _check_like_before("key", self._key, key)
        _check_like_before("value", self._value, value)
        dtype = self._type_with(key, value)
        before = np.zeros(batch, np.int64) if self._key is None else self.lengths
        after = before + count
        longest = int(after.max(initial=0))
        # no valid row is written before everything has succeeded
        rooms = (
            self._room(self._key, key, dtype, longest),
            self._room(self._value, value, dtype, longest),
        )
        with np.errstate(all="ignore"):  # rounding to 16 bits is expected
            for room, new in zip(rooms, (key, value), strict=True):
                _put(room, converted(new, dtype), before, after)
        (self._key, self._value), self._lengths = rooms, after
        return before

    def _type_with(self, key: Array, value: Array) -> DType:
        """The type that the rows, these included, are stored in."""
        types = [accepted_type("key", key), accepted_type("value", value)]
        if self._dtype is not None:
            return self._dtype
        if self._key is not None:
            types.append(self._key.dtype)
        return common_type("key, value and the rows before", types)

    def _room(self, old: Array | None, new: Array, dtype: DType, rows: int) -> Array:
        """The array itself if type and capacity suffice, otherwise a larger one with its rows."""
        batch, heads, _, depth = new.shape
        if old is None:
            room = max(rows, self._wanted or _INITIAL_ROWS)
            return allocate("the cache", (batch, heads, room, depth), dtype, 0)
        room = old.shape[2]
        if old.dtype == dtype and rows <= room:
            return old
        if rows > room:
            room = max(rows, 2 * room, self._wanted or 0)
        larger = allocate("the cache", (batch, heads, room, depth), dtype, 0)
        larger[:, :, : self._longest] = old[:, :, : self._longest]
        return larger

    def reorder(self, items: ArrayLike) -> None:
        """Item i becomes a copy of the former item ``items[i]``, as beam search needs it.

        Parameters
        ----------
        items : array_like of int, (N,)
            The former item, from 0 to B − 1, that each of the N new items continues. With N = 0
            the cache has no items left. An empty cache stays empty.
        """
        places = integer_array("items", items)
        if places.ndim != 1:
            raise ValueError(f"items must have one axis: got shape {places.shape}")
        if self._key is None or self._value is None:
            return
        places, filled = _within("items", places, len(self._lengths) - 1), self._longest
        rooms = []
        for old in (self._key, self._value):
            room = allocate("the cache", (len(places), *old.shape[1:]), old.dtype, 0)
            room[:, :, :filled] = old[places, :, :filled]
            rooms.append(room)
        (self._key, self._value), self._lengths = rooms, self._lengths[places]

    def __getstate__(self) -> dict[str, Any]:
        """The state of a copy or a pickle, with the filled rows copied."""
        state = vars(self).copy()
        if self._key is not None and self._value is not None:
            state["_key"], state["_value"] = np.array(self.key), np.array(self.value)
        state["_lengths"] = self.lengths
        return state

    def __repr__(self) -> str:
        if self._key is None:
            return "KVCache(empty)"
        shape = self._key.shape
        return f"KVCache(lengths={self._lengths.tolist()}, room={shape[2]}, {self._key.dtype})"


def _check_like_before(name: str, old: Array | None, new: Array) -> None:
    if old is not None and (*old.shape[:2], old.shape[3]) != (*new.shape[:2], new.shape[3]):
        raise ValueError(
            f"{name} must have shape ({old.shape[0]}, {old.shape[1]}, L, {old.shape[3]}) "
            f"as before: got {new.shape}"
        )


def _put(room: Array, new: Array, first: Array, last: Array) -> None:
    """The rows [first, last) of each item from the first ones of `new`."""
    rows = new.shape[2]
    if len(first) and (first == first[0]).all() and (last - first == rows).all():
        room[:, :, first[0] : last[0]] = new
        return
    for item, (begin, end) in enumerate(zip(first, last, strict=True)):
        room[item, :, begin:end] = new[item, :, : end - begin]


def _checked(name: str, given: Any, last: int) -> Array:
    return _within(name, integer_array(name, given), last)


def _within(name: str, array: Array, last: int) -> Array:
    """Integers from 0 to `last`; compared before they are narrowed to 64 bits."""
    if array.size and not 0 <= array.min() <= array.max() <= last:
        wrong = array.min() if array.min() < 0 else array.max()
        raise ValueError(f"{name} must lie in [0, {last}]: got {wrong}")
    return array.astype(np.int64)
