"""The target of a penalty, and the blocks of query rows in which a function returns it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from heedful._core import native
from heedful.functional._call import Call
from heedful.functional._dtypes import Array, as_array, converted, floating_type
from heedful.functional._results import allocate
from heedful.functional._rows import slice_rows
from heedful.functional._shapes import broadcasts

_MAX_ELEMENTS = 1 << 20  # of a block of the target, all items and heads


class RowBlock(NamedTuple):
    """Query rows [first, last) of the call, whose arrays of rows are whole."""

    first: int
    last: int
    call: Call
    target: Array


class Target:
    """Target weights: an array that broadcasts to those of the call, or a function of its rows."""

    def __init__(self, call: Call, given: Any) -> None:
        self._call, self._of_rows = call, given if callable(given) else None
        axes = call.plan.axes
        if self._of_rows is None:
            self._whole = self._checked("target", given, axes.query_length)
            self._rows = axes.query_length
        else:
            self._rows = self._block_rows()

    def _block_rows(self) -> int:
        axes, blocks = self._call.plan.axes, self._call.block_mask
        a_row = max(int(np.prod(axes.scores)) // max(axes.query_length, 1), 1)
        rows, step = max(_MAX_ELEMENTS // a_row, 1), 1 if blocks is None else blocks.rows
        return max(rows // step * step, step)

    def __iter__(self) -> Iterator[RowBlock]:
        """One after another: each target can be released before the next."""
        length = self._call.plan.axes.query_length
        if self._of_rows is None:
            yield RowBlock(0, length, self._call, self._whole)
            return
        for first in range(0, length, self._rows):
            last = min(first + self._rows, length)
            given = self._of_rows(slice(first, last))
            target = self._checked(f"target(slice({first}, {last}))", given, last - first)
            yield RowBlock(first, last, _rows_of(self._call, first, last), target)

    def _checked(self, name: str, given: Any, rows: int) -> Array:
        axes, array = self._call.plan.axes, as_array(name, given)
        floating_type(name, array)
        wanted = (*axes.batch, axes.heads, rows, axes.key_length)[axes.layout.missing :]
        if not broadcasts(array.shape, wanted):
            raise ValueError(f"{name} must broadcast to {wanted}: got {array.shape}")
        if np.less(array, 0).any():
            raise ValueError(f"{name} must not be negative: got {np.nanmin(array)}")
        return converted(array, self._call.plan.computing)


def target_statistics(call: Call, lse: Array, target: Target) -> Array:
    found = allocate("the statistics", (*lse.shape, 7), lse.dtype, 0)
    for block in target:
        native.row_statistics(
            call.query, call.key, lse, found, False, False, block.target,
            *block.call.shared, *block.call.random,
        )  # fmt: skip
    return found


def backward_by_rows(coefficients: Array, target: Target) -> Callable[..., bool]:
    """penalised_backward with a target, called like attention_backward."""

    def compute(*arguments: Any) -> bool:
        tensors, rest = arguments[:8], arguments[8:13]
        delta, dquery, dkey, dvalue, dbias = rest
        for block in target:
            whole = block.last - block.first == block.call.plan.axes.query_length
            own_key = dkey if whole else np.zeros_like(dkey)
            own_bias = dbias if whole else _rows_of_bias(dbias, block)
            native.penalised_backward(
                coefficients, block.target, *tensors, delta, dquery, own_key, dvalue, own_bias,
                *block.call.shared, *block.call.random,
            )  # fmt: skip
            if whole:
                continue
            dkey += own_key
            if own_bias is not None and own_bias.base is not dbias:
                dbias += own_bias
        return False

    return compute


def _rows_of_bias(dbias: Array | None, block: RowBlock) -> Array | None:
    """A view of the rows of a block, or zeros where all rows share one."""
    if dbias is None:
        return None
    if dbias.shape[-2] != block.call.plan.axes.query_length:
        return np.zeros_like(dbias)
    return dbias[..., block.first : block.last, :]


def _rows_of(call: Call, first: int, last: int) -> Call:
    """The same call for these query rows, with arrays of all rows."""
    items = call.items
    if items is None:
        axes, geometry = call.plan.axes, call.geometry
        one = [0, axes.query_length, 0, axes.key_length, geometry.offset]
        items = np.tile(np.array(one, np.int64), (int(np.prod(axes.batch, dtype=int)), 1))
    piece = slice_rows(call._replace(items=items), first, last)
    assert piece.items is not None
    piece.items[:, 0] += first
    return piece._replace(query=call.query, geometry=call.geometry)
