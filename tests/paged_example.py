"""Keys and values on pages beside the same rows one after another."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import heedful

Array = NDArray[Any]
B, H, HKV, D, DV = 4, 6, 2, 32, 19
LENGTHS = np.array([1283, 0, 97, 33])
LAYOUTS = ("heads first", "rows first", "side by side", "columns first")


class Example:
    """Sequences on pages in random order, and the same ones one after another."""

    def __init__(
        self, rng: np.random.Generator, rows: int, dtype: Any = np.float32, layout: str = LAYOUTS[0]
    ) -> None:
        count = -(-LENGTHS // rows)
        self.table = np.full((B, int(count.max()) + 2), -(10**9))
        order = rng.permutation(int(count.sum()) + 3)
        places = np.cumsum(count) - count
        for item in range(B):
            self.table[item, : count[item]] = order[places[item] : places[item] + count[item]]
        pages = [
            rng.standard_normal((len(order), HKV, rows, depth)).astype(dtype) for depth in (D, DV)
        ]
        length = int(LENGTHS.max())
        self.key, self.value = (np.zeros((B, HKV, length, depth), dtype) for depth in (D, DV))
        for whole, pool in zip((self.key, self.value), pages, strict=True):
            for item in range(B):
                for row in range(LENGTHS[item]):
                    whole[item, :, row] = pool[self.table[item, row // rows], :, row % rows]
        if layout == "rows first":
            pages = [np.ascontiguousarray(pool.swapaxes(1, 2)).swapaxes(1, 2) for pool in pages]
        elif layout == "side by side":
            joined = np.concatenate(pages, axis=-1)
            pages = [joined[..., :D], joined[..., D:]]
        elif layout == "columns first":
            pages = [np.ascontiguousarray(pool.swapaxes(2, 3)).swapaxes(2, 3) for pool in pages]
        self.key_pages, self.value_pages = pages

    def attend(self, query: Array, **options: Any) -> Any:
        return heedful.attention_paged(
            query, self.key_pages, self.value_pages, self.table, LENGTHS, **options
        )

    def whole(self, query: Array, **options: Any) -> Any:
        return heedful.attention(
            query, self.key, self.value, kv_lengths=LENGTHS,
            **{"align": "lower_right", **options},
        )  # fmt: skip


def quantized(rows: Array) -> tuple[Array, Array]:
    scales = np.abs(rows).max(-1) / 127
    return np.rint(rows / scales[..., None]).astype(np.int8), scales.astype(np.float32)
