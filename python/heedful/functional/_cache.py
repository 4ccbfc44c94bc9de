"""KVCache: keys and values of what was read before, which attention reads where they lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from heedful._checks import integer_array, size
from heedful.functional._dtypes import Array, as_array, finite_cast

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

_FIRST = 64  # rows of room


class KVCache:
    """Keys and values of a batch that grow at the end, each item at its own.

    Room is doubled when it runs out, so a step copies what is new and, on average, as much again.
    What attention reads are views of the room, no copies.

    Parameters
    ----------
    capacity : int, optional
        Rows that are expected, if known: then nothing is ever moved.
    dtype : optional
        What keys and values are stored as; None is the type of the first ones. float16 or, with
        ml_dtypes, bfloat16 halve the memory that a step reads.

    Attributes
    ----------
    key : numpy.ndarray, (B, Hkv, L, D)
        Views; L is the length of the longest item.
    value : numpy.ndarray, (B, Hkv, L, Dv)
    lengths : numpy.ndarray, (B,)
        Rows of each item, what `kv_lengths` wants.

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
        self._dtype = dtype
        self._key: Array | None = None  # (B, Hkv, room, D)
        self._value: Array | None = None
        self.lengths: Array = np.zeros(0, np.int64)

    @property
    def key(self) -> Array:
        return self._filled(self._key)

    @property
    def value(self) -> Array:
        return self._filled(self._value)

    def _filled(self, room: Array | None) -> Array:
        if room is None:
            raise ValueError("the cache is empty: append keys and values first")
        return room[:, :, : int(self.lengths.max(initial=0))]

    def append(self, key: ArrayLike, value: ArrayLike, lengths: ArrayLike | None = None) -> Array:
        """Puts rows behind those of each item.

        Parameters
        ----------
        key : array_like, (B, Hkv, L, D)
        value : array_like, (B, Hkv, L, Dv)
        lengths : array_like of int (B,), optional
            How many of the L rows of each item count, the first ones.

        Returns
        -------
        before : numpy.ndarray of int, (B,)
            Rows of each item before, where the first new one stands: what `align` wants.
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
        self._check_like_before("key", self._key, key)
        self._check_like_before("value", self._value, value)
        if self._key is None:
            self.lengths = np.zeros(batch, np.int64)
        before, after = self.lengths, self.lengths + count
        self._key = self._with_room(self._key, key, int(after.max(initial=0)))
        self._value = self._with_room(self._value, value, int(after.max(initial=0)))
        for room, given in ((self._key, key), (self._value, value)):
            new = given
            if new.dtype != room.dtype:
                new = finite_cast(new, room.dtype)
            if batch and (before == before[0]).all() and (count == rows).all():
                room[:, :, before[0] : before[0] + rows] = new
                continue
            for item in range(batch):
                room[item, :, before[item] : after[item]] = new[item, :, : count[item]]
        self.lengths = after
        return before

    @staticmethod
    def _check_like_before(name: str, old: Array | None, new: Array) -> None:
        if old is not None and (*old.shape[:2], old.shape[3]) != (*new.shape[:2], new.shape[3]):
            raise ValueError(
                f"{name} must have shape ({old.shape[0]}, {old.shape[1]}, L, {old.shape[3]}) "
                f"as before: got {new.shape}"
            )

    def _with_room(self, old: Array | None, new: Array, rows: int) -> Array:
        """The array itself if it has room, otherwise one of twice the size with its rows."""
        batch, heads, _, depth = new.shape
        if old is None:
            room = max(rows, self._wanted or _FIRST)
            return np.empty((batch, heads, room, depth), self._dtype or new.dtype)
        if rows <= old.shape[2]:
            return old
        larger = np.empty((batch, heads, max(rows, 2 * old.shape[2]), depth), old.dtype)
        filled = int(self.lengths.max(initial=0))
        larger[:, :, :filled] = old[:, :, :filled]
        return larger

    def reorder(self, items: Any) -> None:
        """Item i becomes a copy of what item ``items[i]`` was, as beam search needs it."""
        if self._key is None or self._value is None:
            return
        items = _checked("items", items, len(self.lengths) - 1)
        filled = int(self.lengths.max(initial=0))
        for name in ("_key", "_value"):
            old: Array = getattr(self, name)
            new = np.empty((len(items), *old.shape[1:]), old.dtype)
            new[:, :, :filled] = old[items, :, :filled]
            setattr(self, name, new)
        self.lengths = self.lengths[items]

    def __repr__(self) -> str:
        if self._key is None:
            return "KVCache(empty)"
        shape = self._key.shape
        return f"KVCache(lengths={self.lengths.tolist()}, room={shape[2]}, {self._key.dtype})"


def _checked(name: str, given: Any, last: int) -> Array:
    """Integers from 0 to `last`; compared before they are narrowed to 64 bits."""
    array = integer_array(name, given)
    if array.size and not 0 <= array.min() <= array.max() <= last:
        wrong = array.min() if array.min() < 0 else array.max()
        raise ValueError(f"{name} must lie in [0, {last}]: got {wrong}")
    return array.astype(np.int64)
