"""attention_paged: attention over keys and values on pages, as servers of language models store
them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from heedful._checks import flag, integer_array
from heedful.functional._cached_rows import INT8, CachedRows
from heedful.functional._dtypes import (
    FLOAT32,
    Array,
    accepted_type,
    as_array,
    common_type,
    is_floating,
)
from heedful.functional._options import unexpected
from heedful.functional._packed import check_cu_seqlens
from heedful.functional._pages import Pages, check_pages_call, forward_on_pages
from heedful.functional._results import overlap

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from typing_extensions import Never, Unpack

    from heedful.functional._option_types import Align, CacheOptions, LayoutName, Window


@overload
def attention_paged(
    query: ArrayLike, key_pages: ArrayLike, value_pages: ArrayLike, page_table: ArrayLike,
    kv_lengths: ArrayLike, cu_seqlens_q: ArrayLike | None = None, *,
    key_scales: ArrayLike | None = None, value_scales: ArrayLike | None = None,
    return_lse: Literal[False] = False, **options: Unpack[CacheOptions],
) -> Array: ...  # fmt: skip
@overload
def attention_paged(
    query: ArrayLike, key_pages: ArrayLike, value_pages: ArrayLike, page_table: ArrayLike,
    kv_lengths: ArrayLike, cu_seqlens_q: ArrayLike | None = None, *,
    key_scales: ArrayLike | None = None, value_scales: ArrayLike | None = None,
    return_lse: Literal[True], **options: Unpack[CacheOptions],
) -> tuple[Array, Array]: ...  # fmt: skip
@overload
def attention_paged(
    query: ArrayLike, key_pages: ArrayLike, value_pages: ArrayLike, page_table: ArrayLike,
    kv_lengths: ArrayLike, cu_seqlens_q: ArrayLike | None = None, *,
    key_scales: ArrayLike | None = None, value_scales: ArrayLike | None = None,
    return_lse: bool = False, **options: Unpack[CacheOptions],
) -> Any: ...  # fmt: skip
def attention_paged(
    query: ArrayLike,
    key_pages: ArrayLike,
    value_pages: ArrayLike,
    page_table: ArrayLike,
    kv_lengths: ArrayLike,
    cu_seqlens_q: ArrayLike | None = None,
    *,
    key_scales: ArrayLike | None = None,
    value_scales: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    causal: bool = False,
    window: Window = None,
    exclude_self: bool = False,
    align: Align = None,
    q_lengths: ArrayLike | None = None,
    scale: float | None = None,
    softcap: float | None = None,
    alibi_slopes: ArrayLike | None = None,
    sink: ArrayLike | None = None,
    layout: LayoutName = "bhld",
    out: Array | None = None,
    return_lse: bool = False,
    **foreign: Never,
) -> Any:
    """Attention over keys and values on pages of R rows, which are read in place.

    ::

        page_table = [[5, 0, 2],      kv_lengths = [10, 3]      R = 4
                      [1, 0, 0]]

        rows of item 0      0 1 2 3   4 5 6 7   8 9        those of item 1      0 1 2
        lie on              page 5    page 0    page 2                          page 1

    Row r of item b is row r mod R of page page_table[b, r // R]; otherwise the result is that of
    :func:`attention`, bit for bit. Items may share pages, as requests with the same prefix do.

    Parameters
    ----------
    query : array_like, (B, H, Lq, D), or (tokens, H, D) with `cu_seqlens_q`
    key_pages : array_like, (pages, Hkv, R, D)
    value_pages : array_like, (pages, Hkv, R, Dv)
        In any memory order: transpose pages that have their rows before the heads, and slice those
        that have keys and values side by side. Entries of type int8 need scales.
    page_table : array_like of int, (B, n)
        The pages of each item, in order. The first ⌈kv_lengths / R⌉ entries of an item must be
        different pages from 0 to pages − 1; the others mean nothing. Copied, then checked.
    kv_lengths : array_like of int, (B,)
        Number of rows of each item, with those of the queries.
    cu_seqlens_q : array_like of int, (B + 1,), optional
        Where the queries of each item start among packed ones, and the last ones end, as in
        :func:`attention_varlen`: one call then has items with one new query and others with many.
    key_scales, value_scales : array_like of floats, (pages, Hkv, R), optional
        For pages of int8: row = scale · elements. Read in place if float32. Few queries are rounded
        to 16 bits, as :class:`KVCache` says.
    mask : array_like of bool, optional
        As in :func:`attention`, for the n · R rows of an item's pages; not with `cu_seqlens_q`.
    bias : array_like of floats, optional
        Likewise.
    align : {"upper_left", "lower_right"}, int or array_like of int (B,), optional
        As in :func:`attention`, but None is "lower_right": the queries are the last rows.
    causal, window, exclude_self, q_lengths, scale, softcap, alibi_slopes, sink
        As in :func:`attention`.
    layout, out, return_lse
        As in :func:`attention`. `layout` is that of query and out.

    Returns
    -------
    out : numpy.ndarray, (B, H, Lq, Dv), or (tokens, H, Dv) with `cu_seqlens_q`
    lse : numpy.ndarray, (B, H, Lq) or (H, tokens), if `return_lse`

    Raises
    ------
    ValueError
        As :func:`attention` does, and for a page that does not exist, or that one item has twice.
    TypeError, MemoryError
        As :func:`attention` does. Pages must be floating or int8, aligned, and in native byte
        order: they are never converted.

    Notes
    -----
    Kwon et al. 2023, https://arxiv.org/abs/2309.06180. The arguments are those of vLLM's attention:
    query, key_cache, value_cache, block_table, seq_lens, query_start_loc.

    Examples
    --------
    >>> import numpy as np
    >>> import heedful
    >>> rng = np.random.default_rng(0)
    >>> key_pages, value_pages = rng.standard_normal((2, 6, 2, 4, 8), dtype=np.float32)
    >>> query = rng.standard_normal((2, 4, 1, 8), dtype=np.float32)
    >>> out = heedful.attention_paged(
    ...     query, key_pages, value_pages, page_table=[[5, 0, 2], [1, 0, 0]], kv_lengths=[10, 3]
    ... )
    >>> key, value = (
    ...     np.concatenate(pages[[5, 0, 2]], axis=1)[:, :10] for pages in (key_pages, value_pages)
    ... )
    >>> np.array_equal(out[0], heedful.attention(query[0], key, value))
    True
    """
    if foreign:
        raise unexpected(attention_paged, foreign)
    return_lse = flag("return_lse", return_lse)
    query = as_array("query", query)
    key = _pages_of("key", key_pages, key_scales)
    value = _pages_of("value", value_pages, value_scales)
    if key.shape[:3] != value.shape[:3]:
        raise ValueError(
            "key_pages and value_pages must be (pages, Hkv, R, D) and (pages, Hkv, R, Dv): "
            f"got shapes {key.shape} and {value.shape}"
        )
    table = integer_array("page_table", page_table)
    if table.ndim != 2:
        raise ValueError(f"page_table must have shape (B, n): got {table.shape}")
    if kv_lengths is None:
        raise TypeError("kv_lengths must be integers: got None")
    starts = None
    if cu_seqlens_q is not None:
        starts = _starts_of(cu_seqlens_q, query, len(table))
        if mask is not None or bias is not None:
            raise ValueError("mask and bias cannot be combined with cu_seqlens_q")
    elif query.ndim != 4 or len(query) != len(table):
        raise ValueError(
            "query must have four axes, the first as long as that of page_table, "
            f"{len(table)}: got shape {query.shape}"
        )
    by_rows = starts is not None or layout == "blhd"
    _check_together(query, query.shape[-2 if by_rows else -3], key, value)
    options: dict[str, Any] = {
        "mask": mask, "bias": bias, "causal": causal, "window": window,
        "exclude_self": exclude_self,
        "align": "lower_right" if align is None else align, "q_lengths": q_lengths,
        "kv_lengths": kv_lengths, "scale": scale, "softcap": softcap,
        "alibi_slopes": alibi_slopes, "sink": sink, "layout": layout,
    }  # fmt: skip
    pages = Pages(key, value, np.zeros(table.shape, np.int64))
    call = check_pages_call(query, pages, options, starts)
    assert call.items is not None
    pages.table[...] = _checked_table(table, call.items[:, 3], key.shape[2], key.shape[0])
    for name, rows in (("key_pages", key), ("value_pages", value)):
        if isinstance(out, np.ndarray) and overlap(out, rows.elements):
            raise ValueError(f"out must not overlap an input: it shares memory with {name}")
    result, lse = forward_on_pages(call, pages, out, return_lse)
    return (result, lse) if return_lse else result


def _pages_of(name: str, given: Any, given_scales: Any) -> CachedRows:
    elements = as_array(f"{name}_pages", given)
    dtype = elements.dtype
    if dtype != INT8 and not (is_floating(dtype) and dtype.isnative):
        raise TypeError(
            f"{name}_pages must be of type float32, float64, float16, bfloat16 or int8, in native "
            f"byte order: got {dtype}"
        )
    if elements.ndim != 4 or not elements.shape[2]:
        raise ValueError(
            f"{name}_pages must have shape (pages, Hkv, R, depth) with a row in every page: "
            f"got {elements.shape}"
        )
    if not elements.flags.aligned:
        raise ValueError(f"{name}_pages must be aligned: got an unaligned array")
    if dtype != INT8:
        if given_scales is not None:
            raise ValueError(f"{name}_scales belong to pages of int8: {name}_pages are {dtype}")
        return CachedRows(elements)
    if given_scales is None:
        raise ValueError(f"{name}_pages of int8 need {name}_scales: got None")
    scales = as_array(f"{name}_scales", given_scales)
    if not is_floating(scales.dtype):
        raise TypeError(f"{name}_scales must be floating numbers: got type {scales.dtype}")
    if scales.shape != elements.shape[:3]:
        raise ValueError(f"{name}_scales must have shape {elements.shape[:3]}: got {scales.shape}")
    return CachedRows(elements, np.require(scales, FLOAT32, ["ALIGNED"]))


def _check_together(query: Array, heads: int, key: CachedRows, value: CachedRows) -> None:
    depth = query.shape[-1]
    if depth != key.shape[3]:
        raise ValueError(
            "key_pages and query must have the same depth: "
            f"query has {depth}, key_pages have {key.shape[3]}"
        )
    if heads != key.shape[1] and (key.shape[1] == 0 or heads % key.shape[1]):
        raise ValueError(
            "the heads of query must be a multiple of the heads of key_pages: "
            f"query has {heads}, key_pages have {key.shape[1]}"
        )
    types = [rows.dtype for rows in (key, value) if rows.dtype != INT8]
    common_type("query, key_pages and value_pages", [accepted_type("query", query), *types])


def _starts_of(cu_seqlens_q: Any, query: Array, items: int) -> NDArray[np.int64]:
    if query.ndim != 3:
        raise ValueError(
            f"query must have shape (tokens, H, D) with cu_seqlens_q: got {query.shape}"
        )
    starts = check_cu_seqlens("cu_seqlens_q", cu_seqlens_q, "query", query.shape[0])
    if len(starts) != items + 1:
        raise ValueError(
            f"cu_seqlens_q must have shape ({items + 1},), one more than the items of page_table: "
            f"got {starts.shape}"
        )
    return starts


def _checked_table(
    table: Array, lengths: NDArray[np.int64], page_rows: int, pages: int
) -> NDArray[np.int64]:
    """Every entry that is used names a page, and another one than the others of its item."""
    used = np.arange(table.shape[1]) * page_rows < lengths[:, None]
    wrong = used & ((table < 0) | (table >= pages))
    if wrong.any():
        item, place = np.argwhere(wrong)[0]
        raise ValueError(
            f"page_table must name pages from 0 to {pages - 1}: "
            f"got {int(table[item, place])} at {place} of item {item}"
        )
    checked: NDArray[np.int64] = np.zeros(table.shape, np.int64)
    checked[...] = -1 - np.arange(table.shape[1])  # each different
    checked[used] = table[used]
    ordered = np.sort(checked, axis=1)
    twice = ordered[:, 1:] == ordered[:, :-1]
    if twice.any():
        item, place = np.argwhere(twice)[0]
        raise ValueError(
            "page_table must name different pages for an item: "
            f"got {ordered[item, place]} twice for item {item}"
        )
    return checked
