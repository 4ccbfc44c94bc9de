"""Adaptive spans take memory linear in the length; benchmarks/bench_span.py has their time."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful import layers as L

Array = NDArray[Any]

RNG = np.random.default_rng(21)


def run(layer: L.MultiHeadAttention, x: Array) -> None:
    y, backward = layer.forward(x)
    backward(y)


def test_memory_is_linear_in_the_length() -> None:
    layer = L.MultiHeadAttention(8, 2, causal=True, adaptive_span=4096, rng=0)
    layer.span[...] = 1
    x = RNG.standard_normal((1, 4096, 8)).astype(np.float32)  # weights: 134 MB
    run(layer, x[:, :100])
    tracemalloc.start()
    run(layer, x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 67e6
