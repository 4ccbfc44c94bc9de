"""RelativePositionBias: a learned bias of scores for each bucket of distances, as in T5."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import ArrayLike, DTypeLike, NDArray

from heedful._checks import flag, integer_array, named, size
from heedful.base._mode import Mode
from heedful.base._parameter import Parameter
from heedful.base._types import Array, Backward, Rng, generator
from heedful.layers._typed import Typed
from heedful.layers.blocks._initial import normal

if TYPE_CHECKING:
    from heedful.base._parameter_types import Own


class RelativePositionBias(Typed):
    """bias[h, i, j] = weight[bucket(j − p), h], where p is the position of query i.

    ::

        bucket(x) = n · (x > 0) + half(abs(x))           bidirectional, n = num_buckets / 2
                  = half(max(−x, 0))                     else, n = num_buckets

        half(x)   = x                                                   where x < m = n div 2
                  = m + ⌊log(x / m) / log(max_distance / m) · (n − m)⌋  up to n − 1

    Each small distance has a bucket of its own, larger ones share buckets that grow with the
    distance, and all from `max_distance` on share the last.

    Parameters
    ----------
    num_heads : int
        H.
    num_buckets : int, default 32
        At least 2; bidirectional an even number from 4 on.
    max_distance : int, default 128
        More than the number of distances that have a bucket of their own.
    bidirectional : bool, default True
        Whether keys after the query have buckets of their own, as in an encoder; otherwise they
        have that of the query itself, for causal attention.
    dtype : {float32, float64}
    rng : None, int or numpy.random.Generator
        For the initial weight: normal with the standard deviation 0.02.

    Attributes
    ----------
    weight : numpy.ndarray, (num_buckets, H)

    Notes
    -----
    Raffel et al. 2020, https://arxiv.org/abs/1910.10683; named relative_attention_bias in
    transformers' T5, whose layers share that of the first. Give it to layers as
    :class:`SharedBias`, which has an example, or in a layer with `call` as it is.

    The result is a view of H · (Lq + Lk − 1) numbers, read-only, as it is constant along diagonals.
    Computes in `dtype`; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> from heedful.layers import RelativePositionBias
    >>> RelativePositionBias(2, rng=0)(5, 7).shape
    (2, 5, 7)
    """

    weight: Own

    def __init__(
        self, num_heads: int, num_buckets: int = 32, max_distance: int = 128, *,
        bidirectional: bool = True, dtype: DTypeLike = np.float32, rng: Rng = None,
    ) -> None:  # fmt: skip
        super().__init__(dtype)
        self.num_heads: int = size("num_heads", num_heads)
        self.num_buckets: int = size("num_buckets", num_buckets)
        self.max_distance: int = size("max_distance", max_distance)
        self.bidirectional: bool = flag("bidirectional", bidirectional)
        least = 4 if self.bidirectional else 2
        if self.num_buckets < least or (self.bidirectional and self.num_buckets % 2):
            even = "an even number " if self.bidirectional else ""
            raise ValueError(f"num_buckets must be {even}from {least} on: got {num_buckets}")
        half = self.num_buckets // 2 if self.bidirectional else self.num_buckets
        if self.max_distance <= half // 2:
            raise ValueError(
                f"max_distance must be above {half // 2}, the number of distances that have a "
                f"bucket of their own: got {max_distance}"
            )
        self._starts = _starts(half, self.max_distance)
        shape = (self.num_buckets, self.num_heads)
        self.weight = Parameter(normal(generator(rng), shape, 0.02, self.dtype))

    def buckets(self, distance: ArrayLike) -> NDArray[np.int64]:
        """The bucket of each distance j − p, integers of any shape."""
        x = integer_array("distance", distance).astype(np.int64)
        far = np.abs(x) if self.bidirectional else np.maximum(-x, 0)
        found = np.searchsorted(self._starts, far, side="right") - 1
        if self.bidirectional:
            found = np.where(x > 0, found + len(self._starts), found)
        return np.asarray(found, np.int64)

    def compute(
        self, mode: Mode, query_length: int, key_length: int, *, first: Any = 0
    ) -> tuple[Array, Backward]:
        """Lengths Lq and Lk → bias (H, Lq, Lk).

        Parameters
        ----------
        query_length, key_length : int
        first : int or array_like of int (B,), default 0
            The position of the first query, where that of the first key is 0: the number of keys
            in a cache before this call. With a number for each item bias is (B, H, Lq, Lk).
        """
        rows, keys = _length("query_length", query_length), _length("key_length", key_length)
        firsts = integer_array("first", first)
        if firsts.ndim > 1 or (firsts < 0).any():
            raise ValueError(f"first must be a position, or one of each item: got {named(first)}")
        if firsts.ndim:
            return self._of_items(firsts.astype(np.int64), rows, keys)
        # of key 0 from the last query to key Lk − 1 from the first: a row of bias is a part of it
        distance = np.arange(1 - rows, keys) - int(firsts)
        buckets = self.buckets(distance)
        by_distance = np.ascontiguousarray(self.weight[buckets].T)  # (H, Lq + Lk − 1)
        bias = _diagonals(by_distance, rows, keys)

        def backward(dbias: Any) -> None:
            sums = _sums_of_diagonals(self.gradient(dbias, bias.shape))
            self._add(buckets, sums.T)

        return bias, backward

    def _of_items(self, firsts: Array, rows: int, keys: int) -> tuple[Array, Backward]:
        positions = firsts[:, None] + np.arange(rows)
        buckets = self.buckets(np.arange(keys) - positions[..., None])  # (B, Lq, Lk)
        bias = np.ascontiguousarray(np.moveaxis(self.weight[buckets], -1, 1))

        def backward(dbias: Any) -> None:
            self._add(buckets, np.moveaxis(self.gradient(dbias, bias.shape), 1, -1))

        return bias, backward

    def _add(self, buckets: Array, gradients: Array) -> None:
        """Adds gradients (…, H) of the rows of weight that buckets (…) name."""
        total = np.zeros((self.num_buckets, self.num_heads))  # in float64: there may be many
        with np.errstate(all="ignore"):
            np.add.at(total, buckets, gradients)
            self.add_gradient("weight", total.astype(self.dtype))

    def extra_repr(self) -> str:
        shown = f"{self.num_heads}, {self.num_buckets}, {self.max_distance}"
        return shown + ("" if self.bidirectional else ", bidirectional=False")


def _length(name: str, given: Any) -> int:
    length = integer_array(name, given)  # a tape makes an array of NumPy's integers
    if length.ndim or length < 0:
        raise ValueError(f"{name} must be a number from 0 on: got {named(given)}")
    return int(length)


def _starts(buckets: int, max_distance: int) -> NDArray[np.int64]:
    """The first distance of each bucket, of those on one side of the query."""
    own = buckets // 2
    shared = np.arange(buckets - own) / (buckets - own)
    # a distance that is the start of a bucket exactly must not be rounded up to the next
    starts = np.ceil(own * (max_distance / own) ** shared - 1e-9)
    return np.concatenate([np.arange(own), starts.astype(np.int64)])


def _diagonals(by_distance: Array, rows: int, keys: int) -> Array:
    """bias[h, i, j] = by_distance[h, Lq − 1 − i + j], a view."""
    heads, step = by_distance.shape[0], by_distance.itemsize
    if not rows or not keys:
        return np.zeros((heads, rows, keys), by_distance.dtype)
    row = by_distance[:, rows - 1 :]
    return as_strided(
        row, (heads, rows, keys), (by_distance.strides[0], -step, step), writeable=False
    )


@np.errstate(all="ignore")
def _sums_of_diagonals(dbias: Array) -> NDArray[np.float64]:
    """The gradient of `_diagonals`' argument."""
    heads, rows, keys = dbias.shape
    total = np.zeros((heads, max(rows + keys - 1, 0)))
    for row in range(rows):
        total[:, rows - 1 - row :][:, :keys] += dbias[:, row]
    return total
