"""Initial values of parameters."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from heedful.base._types import Array, DType

_skipped: ContextVar[bool] = ContextVar("heedful_initial_values_skipped", default=False)


@contextmanager
def without_initial_values() -> Iterator[None]:
    """Within it, values that would be drawn are 0: for a model whose weights are loaded at once.

    To draw those of a large model takes longer than to read them, and more memory.
    """
    token = _skipped.set(True)
    try:
        yield
    finally:
        _skipped.reset(token)


def uniform(rng: np.random.Generator, shape: tuple[int, ...], bound: float, dtype: DType) -> Array:
    if _skipped.get():
        return np.zeros(shape, dtype)
    return rng.uniform(-bound, bound, shape).astype(dtype)


def kaiming(rng: np.random.Generator, shape: tuple[int, ...], fan_in: int, dtype: DType) -> Array:
    """Uniform within ±1/√fan_in, PyTorch's choice for linear layers."""
    return uniform(rng, shape, 1 / math.sqrt(max(fan_in, 1)), dtype)


def glorot(rng: np.random.Generator, shape: tuple[int, int], dtype: DType) -> Array:
    """Uniform within ±√(6 / (fan_in + fan_out)). Glorot and Bengio 2010."""
    return uniform(rng, shape, math.sqrt(6 / max(sum(shape), 1)), dtype)


def normal(
    rng: np.random.Generator, shape: tuple[int, ...], deviation: float, dtype: DType
) -> Array:
    if _skipped.get():
        return np.zeros(shape, dtype)
    return (deviation * rng.standard_normal(shape)).astype(dtype)


def scaled(array: Array, factor: float) -> None:
    """Multiplies initial values in place; zeros, whose memory was never written, are left alone."""
    if not _skipped.get():
        array *= factor
