"""KVCache: keys and values of earlier tokens, which attention reads in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from heedful._checks import count, flag, named, one_of, size
from heedful.functional._cache_checks import check_query, check_rows
from heedful.functional._cache_items import CacheItems, checked_integers, read_only
from heedful.functional._cache_policies import POLICIES
from heedful.functional._cached_rows import INT8, stored_type
from heedful.functional._dtypes import Array, DType, accepted_type, common_type
from heedful.functional._empty_store import empty_store

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike
    from typing_extensions import Unpack

    from heedful.functional._cache_policies import CachePolicy
    from heedful.functional._cache_store import CacheStore
    from heedful.functional._option_types import Align, CacheOptions, LayoutName, Window


class KVCache(CacheItems):
    """Keys and values of a batch, appended to at the end of each item.

    Attention reads them where they are::

        kind           rows of an item are           memory of B items
        "contiguous"   one after another             B · capacity, which doubles when it runs out
        "paged"        on pages of equal size        that of the rows, up to a page for each item;
                                                     items with the same first rows share pages

    Parameters
    ----------
    capacity : int, optional
        Expected number of rows of an item, if known: then no row is ever copied to larger storage.
    dtype : {float32, float64, float16, bfloat16, "int8"}, optional
        The type keys and values are stored in; appended rows are rounded to it. float16 or, with
        ml_dtypes, bfloat16 halve the memory that a step reads, int8 quarters it, see Notes. None is
        the common type of all appended rows, as :func:`attention` decides it: integers and bools
        count as float64, and where a later row is of a wider type, the rows before are widened to
        it, without loss.
    kind : {"contiguous", "paged"}, optional
        None is "paged" with a policy and "contiguous" without.
    page_size : int, default 16
        Rows of a page.
    policy : SinksAndWindow, HeavyHitters or QuestPages, optional
        Which rows are kept or read. None: all.
    exact_rows : int, default 16
        With dtype="int8" and no policy: at least so many last rows of each item stay in float32,
        and fewer than twice as many. 0 makes all rows int8 at once.

    Attributes
    ----------
    key : numpy.ndarray, (B, Hkv, L, D)
        L is the length of the longest item, and rows past an item's own length have no meaning.
        A read-only view of a contiguous cache in a floating type: its valid rows that were taken
        before an `append` or a `reorder` stay unchanged; only where `lengths` was set are they
        overwritten. Otherwise a copy, of the rows that are kept; :meth:`attend` needs none.
    value : numpy.ndarray, (B, Hkv, L, Dv)
    lengths : numpy.ndarray, (B,)
        Number of rows that were appended to each item, to be passed as `kv_lengths`; a copy. It may
        be set to smaller numbers, which removes the last rows, unless a policy removes others.
    page_table, key_pages, value_pages : numpy.ndarray
        Of a paged cache, for :func:`attention_paged`: a copy of the table, and views of the pages,
        which hold until the next change. Pages of int8 have key_scales and value_scales.
    nbytes : int
        Memory of the cache, with the rows that it has room for.

    Notes
    -----
    A change that raises leaves the cache as it was. ``copy.copy``, ``copy.deepcopy`` and a pickle
    copy the filled rows: a prefix that was processed once can be copied for each of its
    continuations. A paged cache shares it instead, see :meth:`fork`.

    int8: ``row = scale · elements``, with a float32 scale, ``max |row| / 127``, of each head and
    token. Products read the elements as they are and apply scales to scores and weights; few
    queries (and their weights) are rounded to 16 bits for it, by at most 1 / 65534 of the largest
    element, which is 1/256 of the rounding of the rows. Rows that hold NaN or inf become NaN, and
    the result has the query's type. Most weight goes to the last rows: a few of these in float32
    remove most of the error (KIVI, Liu et al. 2024, https://arxiv.org/abs/2402.02750).
    Pages: Kwon et al. 2023, https://arxiv.org/abs/2309.06180.

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

    Caches of any kind attend by themselves:

    >>> cache = heedful.KVCache(kind="paged", dtype="int8")
    >>> before = cache.append(key, value)
    >>> out = cache.attend(query, causal=True, align=before)
    >>> bool(np.abs(out - whole).max() < 0.02)
    True
    """

    def __init__(
        self,
        capacity: int | None = None,
        dtype: DTypeLike | None = None,
        *,
        kind: str | None = None,
        page_size: int = 16,
        policy: CachePolicy | None = None,
        exact_rows: int = 16,
    ) -> None:
        self._wanted = None if capacity is None else size("capacity", capacity)
        self._dtype = None if dtype is None else stored_type(dtype)
        self._page_size = size("page_size", page_size)
        self._exact_rows = count("exact_rows", exact_rows)
        if policy is not None and not isinstance(policy, POLICIES):
            names = " or ".join(one.__name__ for one in POLICIES)
            raise TypeError(f"policy must be a {names}: got {named(policy)}")
        self.policy: CachePolicy | None = policy
        default = "contiguous" if policy is None else "paged"
        self.kind: str = default if kind is None else one_of("kind", kind, ("contiguous", "paged"))
        if policy is not None and self.kind != "paged":
            raise ValueError(f"kind must be 'paged' with a policy: got {kind!r}")
        self._store: CacheStore | None = None

    def like(self, capacity: int | None = None) -> KVCache:
        """An empty cache of the same kind, type and policy."""
        return KVCache(
            self._wanted if capacity is None else capacity,
            "int8" if self._dtype == INT8 else self._dtype,
            kind=self.kind, page_size=self._page_size, policy=self.policy,
            exact_rows=self._exact_rows,
        )  # fmt: skip

    @property
    def key(self) -> Array:
        return self._read()[0]

    @property
    def value(self) -> Array:
        return self._read()[1]

    def _read(self) -> tuple[Array, Array]:
        key, value = self._filled().read()
        return read_only(key), read_only(value)

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
        key, value = check_rows(self._store, key, value)
        batch, _, rows, _ = key.shape
        counts = np.full(batch, rows, np.int64)
        if lengths is not None:
            counts = checked_integers("lengths", lengths, rows)
            if counts.shape != (batch,):
                raise ValueError(f"lengths must have shape ({batch},): got {counts.shape}")
        dtype = self._type_with(key, value)
        store = self._store
        if store is None:
            store = empty_store(
                key, value, dtype, page_size=self._page_size if self.kind == "paged" else None,
                policy=self.policy, capacity=self._wanted, exact_rows=self._exact_rows,
            )  # fmt: skip
        before: Array = store.lengths.copy()
        self._store = store.appended(key, value, counts, dtype)
        return before

    def _type_with(self, key: Array, value: Array) -> DType:
        """The type that the rows, these included, are stored in."""
        types = [accepted_type("key", key), accepted_type("value", value)]
        if self._dtype is not None:
            return self._dtype
        if self._store is not None:
            types.append(self._store.dtype)
        return common_type("key, value and the rows before", types)

    @overload
    def attend(
        self, query: ArrayLike, *, query_of_sinks: ArrayLike | None = None,
        return_lse: Literal[False] = False, return_weights: Literal[False] = False,
        **options: Unpack[CacheOptions],
    ) -> Array: ...  # fmt: skip
    @overload
    def attend(
        self, query: ArrayLike, *, query_of_sinks: ArrayLike | None = None,
        return_lse: Literal[True], return_weights: Literal[False] = False,
        **options: Unpack[CacheOptions],
    ) -> tuple[Array, Array]: ...  # fmt: skip
    @overload
    def attend(
        self, query: ArrayLike, *, query_of_sinks: ArrayLike | None = None,
        return_lse: Literal[False] = False, return_weights: Literal[True],
        **options: Unpack[CacheOptions],
    ) -> tuple[Array, Array]: ...  # fmt: skip
    @overload
    def attend(
        self, query: ArrayLike, *, query_of_sinks: ArrayLike | None = None,
        return_lse: Literal[True], return_weights: Literal[True], **options: Unpack[CacheOptions],
    ) -> tuple[Array, Array, Array]: ...  # fmt: skip
    @overload
    def attend(
        self, query: ArrayLike, *, query_of_sinks: ArrayLike | None = None,
        return_lse: bool = False, return_weights: bool = False, **options: Unpack[CacheOptions],
    ) -> Any: ...  # fmt: skip
    def attend(
        self, query: ArrayLike, *, mask: ArrayLike | None = None, bias: ArrayLike | None = None,
        causal: bool = False, window: Window = None, exclude_self: bool = False,
        align: Align = None, q_lengths: ArrayLike | None = None, scale: float | None = None,
        softcap: float | None = None, alibi_slopes: ArrayLike | None = None,
        sink: ArrayLike | None = None, query_of_sinks: ArrayLike | None = None,
        layout: LayoutName = "bhld", out: Array | None = None, return_lse: bool = False,
        return_weights: bool = False,
    ) -> Any:  # fmt: skip
        """Attention of queries to the rows of the cache, which are read in place.

        Parameters
        ----------
        query : array_like, (B, H, Lq, D), or (B, Lq, H, D) with layout="blhd"
        align : {"upper_left", "lower_right"}, int or array_like of int (B,), optional
            As in :func:`attention`: the rows of each item before its first query, which `append`
            returns. None is "lower_right": the queries are the last rows.
        query_of_sinks : array_like, like query, optional
            The queries as the sinks of :class:`SinksAndWindow` see them, if they differ: rotated by
            its `positions`.
        mask, bias, causal, window, exclude_self, q_lengths, scale, softcap, alibi_slopes, sink
            As in :func:`attention`.
        layout, out
            As in :func:`attention`.
        return_lse, return_weights
            As in :func:`attention`. Weights of a paged cache and of int8 are computed from a copy
            of the rows.

        Returns
        -------
        out, or a tuple (out, lse?, weights?), as :func:`attention` does

        Raises
        ------
        ValueError
            As :func:`attention` does, and for an empty cache, or what a policy cannot do.
        """
        store = self._filled()
        query, query_of_sinks = check_query(store, self.policy, query, query_of_sinks, layout)
        options: dict[str, Any] = {
            "mask": mask, "bias": bias, "causal": causal, "window": window,
            "exclude_self": exclude_self,
            "align": "lower_right" if align is None else align, "q_lengths": q_lengths,
            "scale": scale, "softcap": softcap, "alibi_slopes": alibi_slopes, "sink": sink,
            "layout": layout, "out": out, "return_lse": flag("return_lse", return_lse),
            "return_weights": flag("return_weights", return_weights),
        }  # fmt: skip
        self._store, result = store.attend(query, options, query_of_sinks)
        return result

    def __getstate__(self) -> dict[str, Any]:
        """The state of a copy or a pickle, with the filled rows copied."""
        state = vars(self).copy()
        if self._store is not None:
            state["_store"] = self._store.copied()
        return state

    def __repr__(self) -> str:
        policy = "" if self.policy is None else f", {self.policy!r}"
        kind = "paged, " if self.kind == "paged" and self.policy is None else ""
        if self._store is None:
            return f"KVCache({kind}empty{policy})"
        return f"KVCache({kind}lengths={self.lengths.tolist()}, {self._store.dtype}{policy})"
