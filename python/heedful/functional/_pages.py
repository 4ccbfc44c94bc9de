"""Pages: keys and values on pages of equal size, which a table assigns to items."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heedful._core import native
from heedful.functional._cached_rows import INT8, CachedRows
from heedful.functional._call import Call, check_call
from heedful.functional._dtypes import Array, DType, accepted_type, as_array
from heedful.functional._forward import run
from heedful.functional._results import allocate_lse, allocate_out, check_out


class Pages(NamedTuple):
    """Row r of item b is row r % R of page table[b, r // R]."""

    key: CachedRows  # (pages, Hkv, R, D)
    value: CachedRows  # (pages, Hkv, R, Dv)
    table: NDArray[np.int64]  # (B, n), contiguous; entries past an item's rows are not read

    @property
    def rows(self) -> int:
        """Of all pages that an item has room for."""
        return int(self.table.shape[1]) * int(self.key.shape[2])


def check_pages_call(
    query: Array, pages: Pages, options: dict[str, Any], cu_seqlens_q: Array | None = None
) -> Call:
    """The call as if keys and values lay one after another.

    `options` are those of `check_call`, with kv_lengths. Packed queries have cu_seqlens_q.
    """
    items, layout = len(pages.table), options.pop("layout", "bhld")
    packed = cu_seqlens_q is not None
    key, value = (
        _stand_in(rows.shape, _type_beside(query, rows), items, pages.rows, layout, packed)
        for rows in (pages.key, pages.value)
    )
    if not packed:
        return check_call(query, key, value, layout=layout, **options)
    starts = cu_seqlens_q, np.arange(items + 1) * pages.rows
    call = check_call(query, key, value, layout="blhd", starts=starts, **options)
    assert call.items is not None
    call.items[:, 2] = 0  # rows are counted from each item's first
    return call


def forward_on_pages(
    call: Call, pages: Pages, out: Array | None, with_lse: bool
) -> tuple[Array, Array | None]:
    """The output, and the log-sum-exp if requested, in the caller's layout."""
    key, value = pages.key.elements, pages.value.elements
    if call.geometry.length_first:
        key, value = key.swapaxes(1, 2), value.swapaxes(1, 2)
    result = allocate_out(call) if out is None else check_out(out, call)
    lse = allocate_lse(call) if with_lse else None
    compute = partial(native.paged_forward, pages.table, pages.key.scales, pages.value.scales)
    run(call._replace(key=key, value=value), result, lse, compute)
    return result, lse


def attend_to_pages(query: Array, pages: Pages, options: dict[str, Any]) -> Any:
    """The output, or (output, log-sum-exp); `options` are those of attention but for weights.

    A mask or a bias has the length of the longest item.
    """
    options = {name: option for name, option in options.items() if name != "return_weights"}
    out, with_lse = options.pop("out"), options.pop("return_lse")
    longest = int(options["kv_lengths"].max(initial=0))
    for name, fill in (("mask", False), ("bias", 0)):
        if options[name] is not None:
            options[name] = _padded(name, options[name], fill, longest, pages.rows)
    call = check_pages_call(query, pages, options)
    result, lse = forward_on_pages(call, pages, out, with_lse)
    return (result, lse) if with_lse else result


def _padded(name: str, given: Any, fill: Any, length: int, room: int) -> Array:
    """A mask or a bias for `length` keys, for those that the pages have room for."""
    array = as_array(name, given)
    if not array.ndim or array.shape[-1] == 1:
        return array
    if array.shape[-1] != length:
        raise ValueError(
            f"{name} must have a last axis of 1 or of the longest item's rows, {length}: "
            f"got shape {array.shape}"
        )
    missing = np.full((*array.shape[:-1], room - length), fill, array.dtype)
    return np.concatenate([array, missing], axis=-1)


def _type_beside(query: Array, rows: CachedRows) -> DType:
    """int8 stands for numbers of the query's type."""
    return accepted_type("query", query) if rows.dtype == INT8 else rows.dtype


@lru_cache(maxsize=256)
def _stand_in(
    shape: tuple[int, ...], dtype: DType, items: int, rows: int, layout: str, packed: bool
) -> Array:
    """An array without memory that has the shape of all rows one after another."""
    heads, depth = shape[1], shape[3]
    full = (
        (items * rows, heads, depth) if packed
        else (items, rows, heads, depth) if layout == "blhd"
        else (items, heads, rows, depth)
    )  # fmt: skip
    return np.broadcast_to(np.zeros((), dtype), full)
