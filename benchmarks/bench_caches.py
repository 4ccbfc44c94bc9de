"""Caches on pages and in int8: one new query against as many rows as decode_8k_gqa has.

All kinds take turns in one process, each checked first against float64; a ratio is the median over
the rounds.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import heedful
from heedful.benchmark.goal import Line
from heedful.benchmark.harness import Harness
from heedful.benchmark.shapes import DECODE
from heedful.benchmark.topic import Topic, main
from heedful.benchmark.turns import table, take_turns, times_as_fast

SHAPE = next(shape for shape in DECODE if shape.name == "decode_8k_gqa")
KINDS: dict[str, dict[str, Any]] = {
    "contiguous float32": {},
    "pages of 16 float32": {"kind": "paged", "page_size": 16},
    "pages of 32 float32": {"kind": "paged", "page_size": 32},
    "pages of 64 float32": {"kind": "paged", "page_size": 64},
    "contiguous bfloat16": {"dtype": "bfloat16"},
    "pages of 16 bfloat16": {"kind": "paged", "page_size": 16, "dtype": "bfloat16"},
    "contiguous int8": {"dtype": "int8"},
    "pages of 16 int8": {"kind": "paged", "page_size": 16, "dtype": "int8"},
}
# faster, slower, and how many times as fast at least
GOALS = [
    *((f"pages of {size} float32", "contiguous float32", 0.9) for size in (16, 32, 64)),
    ("pages of 16 bfloat16", "contiguous bfloat16", 0.9),
    ("pages of 16 int8", "contiguous int8", 0.9),
    ("contiguous int8", "contiguous float32", 1.7),
    ("contiguous int8", "contiguous bfloat16", 1.0),
    ("pages of 16 int8", "contiguous float32", 1.7),
]
TOLERANCE = {"float32": 1e-5, "bfloat16": 1e-2, "int8": 2e-2}
MEMORY = 0.27  # of int8, with its exact rows, of that of float32


class Entry(NamedTuple):
    cache: heedful.KVCache
    query: NDArray[Any]  # of the type of the cache, where that is a floating one

    def __call__(self) -> NDArray[Any]:
        out: NDArray[Any] = self.cache.attend(self.query)
        return out


def entries() -> tuple[dict[str, Entry], NDArray[Any]]:
    """A cache of each kind with a query, and the exact result."""
    rng = np.random.default_rng(0)
    key, value = rng.standard_normal((2, SHAPE.B, SHAPE.Hkv, SHAPE.Lk, SHAPE.D), np.float32)
    query = rng.standard_normal((SHAPE.B, SHAPE.H, 1, SHAPE.D), np.float32)
    found = {}
    for name, options in KINDS.items():
        if options.get("dtype") == "bfloat16":
            try:
                from ml_dtypes import bfloat16
            except ImportError:
                continue
            options = {**options, "dtype": bfloat16}
        cache = heedful.KVCache(capacity=SHAPE.Lk, **options)
        cache.append(key, value)
        halves = "bfloat16" in name
        found[name] = Entry(cache, query.astype(options["dtype"]) if halves else query)
    exact = heedful.attention(*(array.astype(np.float64) for array in (query, key, value)))
    return found, exact


def cache_lines(harness: Harness) -> Iterator[Line]:
    calls, exact = entries()
    for name, call in calls.items():
        error = float(np.abs(call().astype(np.float64) - exact).max())
        allowed = TOLERANCE[name.split()[-1]]
        print(f"  {name:<22} error {error:.1e}, {call.cache.nbytes / 1e6:6.1f} MB")
        if not error < allowed:
            yield Line(name, f"error < {allowed:g}", f"{error:.1e}", False)
            return
    size = calls["contiguous int8"].cache.nbytes / calls["contiguous float32"].cache.nbytes
    yield Line("memory of int8", f"≤ {MEMORY} x that of float32", f"{size:.3f} x", size <= MEMORY)
    with heedful.num_threads(harness.threads):
        times = take_turns(calls, harness.rounds, harness.seconds)
    print(table(times))
    for fast, slow, goal in GOALS:
        if fast in times and slow in times:
            yield times_as_fast(f"{fast}, {SHAPE.name}", times, fast, slow, goal)


TOPIC = Topic("caches", __doc__, other=cache_lines)

if __name__ == "__main__":
    main(TOPIC)
