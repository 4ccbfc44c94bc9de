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
ACTIONS = (
    "append", "append_ragged", "reorder", "shorten", "copy", "deepcopy", "pickle", "fail", "fork",
    "share", "free", "attend",
)  # fmt: skip


@dataclass(frozen=True)
class RandomCache:
    seed: int = 0
    items: int = 1
    dtypes: tuple[str, ...] = ("float64",)  # of the rows appended in each step
    actions: tuple[str, ...] = ()
    kind: str = "contiguous"
    page_size: int = 16
    int8: bool = False
    exact_rows: int = 0

    def check(self) -> None:
        rng = np.random.default_rng(self.seed)
        cache = heedful.KVCache(
            dtype="int8" if self.int8 else None, kind=self.kind, page_size=self.page_size,
            exact_rows=self.exact_rows,
        )  # fmt: skip
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
                order = rng.integers(0, items, int(rng.integers(1, 4)) if items else 0)
                cache.reorder(order)
                rows = [list(rows[i]) for i in order]
            elif action == "fork":
                order = rng.integers(0, items, int(rng.integers(0, 3)) if items else 0)
                cache.fork(order)
                rows += [list(rows[i]) for i in order]
            elif action == "share" and items:
                item = int(rng.integers(0, items))
                length = int(rng.integers(0, len(rows[item]) + 1))
                cache.share_prefix(item, length)
                rows.append(rows[item][:length])
            elif action == "free":
                gone = rng.integers(0, items, int(rng.integers(0, items + 1)))
                cache.free(gone)
                rows = [item for i, item in enumerate(rows) if i not in gone]
            elif action == "attend" and items:
                self._attend(cache, rows, rng)
            elif action == "shorten":
                lengths = np.array([rng.integers(0, len(item) + 1) for item in rows], np.int64)
                cache.lengths = lengths
                rows = [item[:n] for item, n in zip(rows, lengths, strict=True)]
            elif action == "fail":
                for wrong in (np.zeros((items + 1, 2, 1, 2)), np.zeros((items, 2, 1, 3))):
                    try:
                        cache.append(wrong, np.zeros((items, 2, 1, 3)))
                    except ValueError:
                        continue
                    raise AssertionError(f"append took a key of shape {wrong.shape}")
            elif "copy" in action or action == "pickle":
                left.append((cache, [list(item) for item in rows]))
                cache = (
                    pickle.loads(pickle.dumps(cache)) if action == "pickle"
                    else copy.deepcopy(cache) if action == "deepcopy" else copy.copy(cache)
                )  # fmt: skip
        for held, expected in (*left, (cache, rows)):
            self._compare(held, expected)

    def _attend(
        self, cache: heedful.KVCache, rows: list[list[Array]], rng: np.random.Generator
    ) -> None:
        query = rng.standard_normal((len(rows), 4, int(rng.integers(1, 4)), 2))
        out = cache.attend(query)
        for i, item in enumerate(rows):
            if not item:
                assert (out[i] == 0).all()
                continue
            key, value = np.stack(item, axis=1)[..., :2], np.stack(item, axis=1)[..., 2:]
            if self.int8:  # what is kept is compared below
                key, value = cache.key[i, :, : len(item)], cache.value[i, :, : len(item)]
            for head in range(4):
                scores = query[i, head] @ key[head // 2].T / np.sqrt(2)
                weights = np.exp(scores - scores.max(-1, keepdims=True))
                expected = weights @ value[head // 2] / weights.sum(-1, keepdims=True)
                np.testing.assert_allclose(out[i, head], expected, rtol=1e-4, atol=1e-4)

    def _compare(self, cache: heedful.KVCache, rows: list[list[Array]]) -> None:
        np.testing.assert_array_equal(cache.lengths, [len(item) for item in rows])
        for i, item in enumerate(rows):
            expected = np.stack(item, axis=1) if item else np.zeros((2, 0, 5))
            for found, kept in ((cache.key, expected[..., :2]), (cache.value, expected[..., 2:])):
                # int8 is half a step away at most
                step = np.abs(kept).max(-1, keepdims=True) / 127 if self.int8 else 0.0
                assert (np.abs(found[i, :, : len(item)] - kept) <= 0.501 * step).all()
