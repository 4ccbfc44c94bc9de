"""The blocks that a call with `min_weight` may drop, and the share of them that it dropped.

A forward pass writes to these kinds which blocks it dropped; whatever is computed from its results,
weights and gradients, then reads them as an ordinary block mask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heedful._checks import real
from heedful._core import native
from heedful.functional._layout import Shape
from heedful.functional._shapes import Axes
from heedful.functional.block_structure import Bits, bytes_of, packed, unpacked

if TYPE_CHECKING:
    from heedful.functional._call import Call

_EMPTY, _FULL, _PATTERN = 0, 1, 2
_FEW_ROWS = 8  # that share a key head: their time is dominated by reading keys and values


class Blocks(NamedTuple):
    """As the compiled functions read a block mask."""

    kinds: NDArray[np.int32]
    patterns: Bits
    rows: int
    keys: int
    min_weight: float = 0.0


def check_min_weight(min_weight: Any) -> float:
    value = real("min_weight", min_weight)
    if not 0 <= value < 1:
        raise ValueError(f"min_weight must lie in [0, 1): got {value}")
    return value


def droppable(
    blocks: Blocks | None, min_weight: float, axes: Axes, batch: Shape, lengths: tuple[int, int],
    itemsize: int,
) -> Blocks:  # fmt: skip
    """Small blocks that a forward pass can drop, within those of the given block mask."""
    few = axes.heads // max(axes.kv_heads, 1) * lengths[0] <= _FEW_ROWS
    deep = axes.depth + axes.value_depth > (512 if few else 2048)
    most = native.panel_rows(itemsize), (64 if few else 32) if deep else (256 if few else 128)
    if blocks is None:
        rows, keys = most
        kinds = np.full((1, -(-lengths[0] // rows), -(-lengths[1] // keys)), _FULL, np.int32)
        blocks = Blocks(kinds, np.zeros((0, rows, bytes_of(keys)), np.uint8), rows, keys)
    else:
        blocks = _refined(blocks, most, lengths)
    shape = (*batch, axes.heads, *blocks.kinds.shape[-2:])
    kinds = np.broadcast_to(blocks.kinds, shape).copy()
    return blocks._replace(kinds=kinds, min_weight=min_weight)


def _refined(blocks: Blocks, most: tuple[int, int], lengths: tuple[int, int]) -> Blocks:
    """The same mask in blocks of at most `most` rows and keys."""
    rows, keys = _divisor(blocks.rows, most[0]), _divisor(blocks.keys, most[1])
    down, across = blocks.rows // rows, blocks.keys // keys
    count = len(blocks.patterns)
    patterns = np.empty((count, down, across, rows, bytes_of(keys)), np.uint8)
    # what the kind of a block becomes in each of its parts
    table = np.empty((_PATTERN + count, down, across), np.int32)
    table[_EMPTY], table[_FULL] = _EMPTY, _FULL
    table[_PATTERN:] = _PATTERN + np.arange(count * down * across).reshape(-1, down, across)
    for bits, parts, numbers in zip(blocks.patterns, patterns, table[_PATTERN:], strict=True):
        visible = unpacked(bits, blocks.keys).reshape(down, rows, across, keys).swapaxes(1, 2)
        parts[:] = packed(visible)
        numbers[~visible.any(axis=(2, 3))] = _EMPTY
        numbers[visible.all(axis=(2, 3))] = _FULL
    kinds = table[blocks.kinds].swapaxes(-2, -3)  # (…, query blocks, down, key blocks, across)
    *leading, query_blocks, _, key_blocks, _ = kinds.shape
    kinds = kinds.reshape(*leading, query_blocks * down, key_blocks * across)
    kinds = kinds[..., : -(-lengths[0] // rows), : -(-lengths[1] // keys)]
    kinds = np.ascontiguousarray(kinds)
    return Blocks(kinds, patterns.reshape(-1, rows, bytes_of(keys)), rows, keys)


def _divisor(size: int, most: int) -> int:
    """The largest divisor of `size` that is at most `most`."""
    return next(part for part in range(min(size, most), 0, -1) if size % part == 0)


class DroppedCount:
    """The blocks that exist before a call, to be compared with those it keeps."""

    def __init__(self, call: Call) -> None:
        self._blocks = call.block_mask
        if self._blocks is None or self._blocks.min_weight == 0:
            self._existing = np.zeros((1, 1), np.bool_)
            return
        existing = self._blocks.kinds != _EMPTY
        self._existing = existing & _reached(self._blocks, call)

    def share(self) -> float:
        """The share that the call dropped."""
        count = int(self._existing.sum())
        if not count or self._blocks is None:
            return 0.0
        return int((self._existing & (self._blocks.kinds == _EMPTY)).sum()) / count


def _reached(blocks: Blocks, call: Call) -> NDArray[np.bool_]:
    """(…, 1, query blocks, key blocks): whether some query sees a key, apart from masks."""
    geometry, axes = call.geometry, call.plan.axes
    table = call.items
    if table is None:
        table = np.array([[0, axes.query_length, 0, axes.key_length, geometry.offset]])
    queries, keys, offsets = (table[:, [column]] for column in (1, 3, 4))
    first = np.arange(blocks.kinds.shape[-2]) * blocks.rows
    last = np.minimum(first + blocks.rows, queries) - 1
    begin, end = np.zeros_like(last), keys + np.zeros_like(last)
    if geometry.left >= 0:
        begin = np.clip(first + offsets - geometry.left, 0, keys)
    if geometry.right >= 0:
        end = np.clip(last + offsets + geometry.right + 1, 0, keys)
    end = np.where(last >= first, end, 0)
    block = np.arange(blocks.kinds.shape[-1]) * blocks.keys
    seen = (block + blocks.keys > begin[..., None]) & (block < end[..., None])
    batch = geometry.batch if call.items is not None else ()
    return seen.reshape(*batch, 1, *seen.shape[1:])
