"""Attention of Keras on its NumPy backend, with and without heedful.

Both take turns in one process and are compared first; a ratio is the median over the rounds.
With --threads 1 it is of processor time: give NumPy's OpenBLAS one thread, too, by
OPENBLAS_NUM_THREADS=1.
"""

import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np

import heedful
from heedful.benchmark.goal import Line
from heedful.benchmark.harness import Harness
from heedful.benchmark.topic import Topic, main
from heedful.benchmark.turns import clock_of, table, take_turns, times_as_fast

BATCH, LENGTH, HEADS, DEPTH = 4, 512, 8, 64
GOALS = {"ops.dot_product_attention": 10.0, "layers.MultiHeadAttention": 1.5}
ALLOWED = 1e-5  # difference relative to the largest element
KERAS, OWN = "Keras", "with heedful"


def calls_of(keras: Any) -> dict[str, Callable[[], Any]]:
    rng = np.random.default_rng(0)
    shape = (3, BATCH, LENGTH, HEADS, DEPTH)
    query, key, value = rng.standard_normal(shape, dtype=np.float32)
    x = rng.standard_normal((BATCH, LENGTH, HEADS * DEPTH), dtype=np.float32)
    layer = keras.layers.MultiHeadAttention(HEADS, DEPTH)
    calls = (lambda: keras.ops.dot_product_attention(query, key, value), lambda: layer(x, x))
    return dict(zip(GOALS, calls, strict=True))


def keras_lines(harness: Harness) -> Iterator[Line]:
    reason = "keras is not installed" if find_spec("keras") is None else ""
    if not reason:
        os.environ["KERAS_BACKEND"] = "numpy"
        import keras

        if keras.config.backend() != "numpy":
            reason = "keras was imported with another backend"
    if reason:
        yield Line("attention of Keras", "faster", "", None, reason=reason)
        return
    from heedful.integrations.keras import patch, restore

    def patched(call: Callable[[], Any]) -> Any:
        patch()
        try:
            return call()
        finally:
            restore()

    for name, call in calls_of(keras).items():
        expected, found = call(), patched(call)
        error = float(np.abs(found - expected).max() / np.abs(expected).max())
        if not error < ALLOWED:
            yield Line(name, f"difference < {ALLOWED:g}", f"{error:.1e}", False)
            return
        with heedful.num_threads(harness.threads):
            turns = {KERAS: call, OWN: lambda call=call: patched(call)}
            times = take_turns(turns, harness.rounds, harness.seconds, clock_of(harness.threads))
        print(f"  {name} ({BATCH}, {LENGTH}, {HEADS}, {DEPTH})\n{table(times)}")
        yield times_as_fast(name, times, OWN, KERAS, GOALS[name])


TOPIC = Topic("keras", __doc__, other=keras_lines)

if __name__ == "__main__":
    main(TOPIC)
