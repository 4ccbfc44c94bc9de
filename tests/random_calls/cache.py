"""A random history of a KVCache, which must hold what plain lists of rows hold."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import heedful

Array = NDArray[Any]
ACTIONS = ("append", "append_ragged", "reorder", "shorten", "copy", "deepcopy", "pickle", "fail")


@dataclass(frozen=True)
class RandomCache:
    seed: int = 0
    items: int = 1
    dtypes: tuple[str, ...] = ("float64",)  # of the rows appended in each step
    actions: tuple[str, ...] = ()

    def check(self) -> None:
        rng = np.random.default_rng(self.seed)
        cache = heedful.KVCache()
        rows: list[list[Array]] = [[] for _ in range(self.items)]  # each (H, D + Dv), in float64
        left: list[
            tuple[heedful.KVCache, list[list[Array]]]
        ] = []  # earlier caches, which must stay as they were
        for step, action in enumerate(("append", *self.actions)):
            items = len(rows)
            if action.startswith("append"):
                dtype = self.dtypes[step % len(self.dtypes)]
                count = int(rng.integers(0, 70))
                new = rng.integers(-9, 10, (items, 2, count, 5)).astype(dtype)
                lengths = rng.integers(0, count + 1, items) if "ragged" in action else None
                before = cache.append(new[..., :2], new[..., 2:], lengths)
                np.testing.assert_array_equal(before, [len(item) for item in rows])
                for i, item in enumerate(rows):
                    own = count if lengths is None else lengths[i]
                    item.extend(new[i, :, row].astype(float) for row in range(own))
            elif action == "reorder":
                order = rng.integers(0, items, int(rng.integers(1, 4)))
                cache.reorder(order)
                rows = [list(rows[i]) for i in order]
            elif action == "shorten":
                lengths = np.array([rng.integers(0, len(item) + 1) for item in rows])
                cache.lengths = lengths
                rows = [item[:n] for item, n in zip(rows, lengths, strict=True)]
            elif action == "fail":
                for wrong in (np.zeros((items + 1, 2, 1, 2)), np.zeros((items, 2, 1, 3))):
                    try:
                        cache.append(wrong, np.zeros((items, 2, 1, 3)))
                    except ValueError:
                        continue
                    raise AssertionError(f"append took a key of shape {wrong.shape}")
            else:
                left.append((cache, [list(item) for item in rows]))
                cache = (
                    pickle.loads(pickle.dumps(cache)) if action == "pickle"
                    else copy.deepcopy(cache) if action == "deepcopy" else copy.copy(cache)
                )  # fmt: skip
        for held, expected in (*left, (cache, rows)):
            self._compare(held, expected)

    @staticmethod
    def _compare(cache: heedful.KVCache, rows: list[list[Array]]) -> None:
        np.testing.assert_array_equal(cache.lengths, [len(item) for item in rows])
        for i, item in enumerate(rows):
            expected = np.stack(item, axis=1) if item else np.zeros((2, 0, 5))
            np.testing.assert_array_equal(cache.key[i, :, : len(item)], expected[..., :2])
            np.testing.assert_array_equal(cache.value[i, :, : len(item)], expected[..., 2:])
