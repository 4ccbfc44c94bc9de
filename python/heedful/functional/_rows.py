"""The requested query rows, and their log-sum-exps without computing all others."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful._checks import integer_array
from heedful.functional._call import Call
from heedful.functional._dtypes import Array
from heedful.functional._forward import run
from heedful.functional._results import allocate_lse

_DENSE = 8  # with one row in this many requested, the rows between are computed too


def check_rows(rows: Any, length: int) -> NDArray[np.int64] | None:
    """Indices counted from 0, None for all rows."""
    if rows is None:
        return None
    if isinstance(rows, slice):
        return np.arange(*rows.indices(length), dtype=np.int64)
    indices = integer_array("rows", rows)
    if indices.ndim > 1:
        raise ValueError(f"rows must have one axis at most: got shape {indices.shape}")
    wrong = (indices < -length) | (indices >= length)
    if np.any(wrong):
        index = int(indices[wrong].ravel()[0])
        raise IndexError(f"rows must lie between {-length} and {length - 1}: got {index}")
    indices = indices.astype(np.int64).reshape(-1)
    indices[indices < 0] += length
    return indices


def lse_of_rows(call: Call, rows: NDArray[np.int64] | None) -> Array:
    """lse (*batch, H, Lq): correct for the requested rows, −inf or correct for the others.

    With entmax the thresholds, and ∞.
    """
    axes, dtype = call.plan.axes, call.plan.dtype
    lse = allocate_lse(call)
    lse.fill(-math.inf if call.normalizer is None else math.inf)
    no_value = call.key[..., :0]  # a value of depth 0: no output, only lse
    if call.block_mask is not None and call.block_mask.min_weight > 0:
        rows = None  # what is dropped depends on all rows of a block
    if call.changes_scores:
        rows = None  # queries are counted from the first
    for first, last in spans(rows, axes.query_length):
        if call.block_mask is not None:
            first -= first % call.block_mask.rows
        piece = call if last - first == axes.query_length else slice_rows(call, first, last)
        out = np.empty(axes.layout.shape(axes.batch, axes.heads, last - first, 0), dtype)
        piece = piece._replace(value=no_value, dropout_p=0.0)
        own = lse[..., first:last] if call.normalizer is None else lse[..., first:last, :]
        run(piece, out, own)
    return lse


def spans(rows: NDArray[np.int64] | None, length: int) -> Iterator[tuple[int, int]]:
    """Ranges [first, last) that cover the requested rows: runs of neighbours, or one if dense."""
    if rows is None:
        yield 0, length
        return
    requested = np.unique(rows)
    if not requested.size:
        return
    first, last = int(requested[0]), int(requested[-1]) + 1
    if requested.size * _DENSE >= last - first:
        yield first, last
        return
    gaps = np.flatnonzero(np.diff(requested) > 1)
    starts = (first, *(int(row) for row in requested[gaps + 1]))
    stops = (*(int(row) + 1 for row in requested[gaps]), last)
    yield from zip(starts, stops, strict=True)


def slice_rows(call: Call, first: int, last: int) -> Call:
    """The same call for the query rows [first, last): positions of queries begin `first` later.

    With a block mask, `first` begins a block.
    """
    items, mask, bias, blocks = call.items, call.mask, call.bias, call.block_mask
    if items is not None:
        items = items.copy()
        items[:, 1] = np.clip(items[:, 1] - first, 0, last - first)
        items[:, 4] += first
    if mask is not None and mask.ndim > 1 and mask.shape[-2] != 1:
        mask = mask[..., first:last, :]
    if bias is not None and bias.ndim > 1 and bias.shape[-2] != 1:
        bias = bias[..., first:last, :]
    if blocks is not None:
        kinds = blocks.kinds[..., first // blocks.rows : -(-last // blocks.rows), :]
        blocks = blocks._replace(kinds=kinds)
    return call._replace(
        query=call.plan.axes.layout.rows(call.query, first, last),
        geometry=call.geometry._replace(offset=call.geometry.offset + first),
        items=items,
        mask=mask,
        bias=bias,
        block_mask=blocks,
    )
