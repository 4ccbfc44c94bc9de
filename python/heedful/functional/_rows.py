"""The query rows of interest, and their log-sum-exps without the work for all others."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful._checks import integer_array
from heedful.functional._call import Call
from heedful.functional._dtypes import Array
from heedful.functional._forward import run
from heedful.functional._results import allocate

_DENSE = 8  # one row wanted in this many: the rows between are computed too


def check_rows(rows: Any, length: int) -> NDArray[np.int64] | None:
    """Positions counted from 0, None for all of them."""
    if rows is None:
        return None
    if isinstance(rows, slice):
        return np.arange(*rows.indices(length), dtype=np.int64)
    numbers = integer_array("rows", rows)
    if numbers.ndim > 1:
        raise ValueError(f"rows must have one axis at most: got shape {numbers.shape}")
    wrong = (numbers < -length) | (numbers >= length)
    if np.any(wrong):
        number = int(numbers[wrong].ravel()[0])
        raise IndexError(f"rows must lie between {-length} and {length - 1}: got {number}")
    numbers = numbers.astype(np.int64).reshape(-1)
    numbers[numbers < 0] += length
    return numbers


def log_sums(call: Call, rows: NDArray[np.int64] | None) -> Array:
    """lse (*batch, H, Lq); right for the rows wanted, −inf or right for the others."""
    axes, dtype = call.plan.axes, call.plan.dtype
    lse = allocate("lse", axes.rows, call.plan.computing, -math.inf)
    nothing = call.key[..., :0]  # a value of depth 0: there is no output, only its lse
    for first, last in spans(rows, axes.query_length):
        part = call if last - first == axes.query_length else _cut(call, first, last)
        out = np.empty(axes.layout.shape(axes.batch, axes.heads, last - first, 0), dtype)
        part = part._replace(value=nothing, dropout_p=0.0, seed=0)
        run(part, out, lse[..., first:last])
    return lse


def spans(rows: NDArray[np.int64] | None, length: int) -> Iterator[tuple[int, int]]:
    """Stretches [first, last) with all rows wanted: runs of neighbours, or one for all if many."""
    if rows is None:
        yield 0, length
        return
    wanted = np.unique(rows)
    if not wanted.size:
        return
    first, last = int(wanted[0]), int(wanted[-1]) + 1
    if wanted.size * _DENSE >= last - first:
        yield first, last
        return
    gaps = np.flatnonzero(np.diff(wanted) > 1)
    starts = (first, *(int(row) for row in wanted[gaps + 1]))
    stops = (*(int(row) + 1 for row in wanted[gaps]), last)
    yield from zip(starts, stops, strict=True)


def _cut(call: Call, first: int, last: int) -> Call:
    """The same call for the query rows [first, last): query 0 stands `first` places further on."""
    items, mask, bias = call.items, call.mask, call.bias
    if items is not None:
        items = items.copy()
        items[:, 1] = np.clip(items[:, 1] - first, 0, last - first)
        items[:, 4] += first
    if mask is not None and mask.ndim > 1 and mask.shape[-2] != 1:
        mask = mask[..., first:last, :]
    if bias is not None and bias.ndim > 1 and bias.shape[-2] != 1:
        bias = bias[..., first:last, :]
    return call._replace(
        query=call.plan.axes.layout.rows(call.query, first, last),
        geometry=call.geometry._replace(offset=call.geometry.offset + first),
        items=items,
        mask=mask,
        bias=bias,
    )
