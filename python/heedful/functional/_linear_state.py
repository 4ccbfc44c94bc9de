"""LinearState: what linear attention keeps of earlier tokens, of a size that does not grow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from heedful._checks import integer_array
from heedful.functional._dtypes import Array
from heedful.functional._linear_attention import KeySums

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class LinearState:
    """Sums over the keys of a batch: a cache of linear attention whose size is constant.

    ::

        values[b, h] = Σ_j φ(key[b, h, j]) value[b, h, j]ᵀ      features[b, h] = Σ_j φ(key[b, h, j])

    over all earlier tokens j of item b. A step of generation costs as much after a million tokens
    as after one, and nothing can be removed from the sums again.

    Attributes
    ----------
    values : numpy.ndarray of float64, (B, Hkv, D, Dv)
        In float64, so that tokens are not lost to rounding after millions of others.
    features : numpy.ndarray of float64, (B, Hkv, D)
    lengths : numpy.ndarray of int, (B,)
        Number of tokens of each item; a copy.

    Notes
    -----
    Katharopoulos et al. 2020, https://arxiv.org/abs/2006.16236, section 3.4. ``copy.copy`` and
    ``copy.deepcopy`` copy a state: a prefix that was processed once can be copied for each of its
    continuations.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import LinearAttention, LinearState
    >>> layer = LinearAttention(8, 2, causal=True, rng=0)
    >>> x = np.random.default_rng(0).standard_normal((1, 5, 8), dtype=np.float32)
    >>> state = LinearState()
    >>> rows = [layer(x[:, i : i + 1], cache=state) for i in range(5)]
    >>> np.allclose(np.concatenate(rows, 1), layer(x), atol=1e-6)
    True
    >>> state
    LinearState(lengths=[5], 2 heads of 4 × 4)
    """

    def __init__(self) -> None:
        self._sums: KeySums | None = None
        self._lengths: Array = np.zeros(0, np.int64)

    @property
    def sums(self) -> KeySums | None:
        """values and features; None for an empty state."""
        return self._sums

    @property
    def values(self) -> Array:
        return self._filled().values

    @property
    def features(self) -> Array:
        return self._filled().features

    @property
    def lengths(self) -> Array:
        lengths: Array = self._lengths.copy()
        return lengths

    def _filled(self) -> KeySums:
        if self._sums is None:
            raise ValueError("the state is empty: no layer has read tokens into it")
        return self._sums

    def add(self, sums: KeySums, lengths: Array) -> None:
        """Add the sums over further tokens, `lengths` (B,) of them in each item."""
        with np.errstate(all="ignore"):
            if self._sums is None:
                found = [array.astype(np.float64) for array in sums]
            else:
                pairs = zip(self._sums, sums, strict=True)
                found = [before + added for before, added in pairs]
        count = self._lengths if len(self._lengths) else 0
        # replaced together, never written in place: a copy of the attributes is a snapshot
        self._sums, self._lengths = KeySums(*found), count + lengths.astype(np.int64)

    def reorder(self, items: ArrayLike) -> None:
        """Item i becomes a copy of the former item ``items[i]``, as beam search needs it.

        Parameters
        ----------
        items : array_like of int, (N,)
            The former item, from 0 to B − 1, that each of the N new items continues. An empty state
            stays empty.
        """
        places = integer_array("items", items)
        if places.ndim != 1:
            raise ValueError(f"items must have one axis: got shape {places.shape}")
        if self._sums is None:
            return
        last = len(self._lengths) - 1
        for place in (places.min(), places.max()) if places.size else ():
            if not 0 <= place <= last:
                raise ValueError(f"items must lie in [0, {last}]: got {place}")
        places = places.astype(np.int64)
        self._sums = KeySums(*(array[places] for array in self._sums))
        self._lengths = self._lengths[places]

    def __repr__(self) -> str:
        if self._sums is None:
            return "LinearState(empty)"
        _, heads, depth, value_depth = self._sums.values.shape
        return (
            f"LinearState(lengths={self._lengths.tolist()}, {heads} heads of "
            f"{depth} × {value_depth})"
        )
