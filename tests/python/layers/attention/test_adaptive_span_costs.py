"""Adaptive spans: time falls with them, memory is linear in the length."""

from __future__ import annotations

import time
import tracemalloc
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from heedful import layers as L

Array = NDArray[Any]

RNG = np.random.default_rng(21)


def run(layer: L.MultiHeadAttention, x: Array) -> float:
    begin = time.perf_counter()
    y, backward = layer.forward(x)
    backward(y)
    return time.perf_counter() - begin


@pytest.mark.once
def test_time_falls_with_the_span() -> None:
    x = RNG.standard_normal((1, 4096, 64)).astype(np.float32)
    layer = L.MultiHeadAttention(64, 4, causal=True, adaptive_span=4096, rng=0)
    layer.span[...] = 1
    whole = min(run(layer, x) for _ in range(3))
    layer.span[...] = 0.05
    assert min(run(layer, x) for _ in range(3)) < 0.6 * whole
    layer.span[...] = [0.05, 0.05, 0.05, 1]  # one head that looks far costs only itself
    assert min(run(layer, x) for _ in range(3)) < 0.8 * whole


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
