"""Initial values of parameters."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from heedful.base._types import Array, DType


class _Zeros:
    """In place of values that would be drawn, at most `limit` elements in all."""

    def __init__(self, limit: int | None) -> None:
        self.limit, self.count = limit, 0

    def of(self, shape: tuple[int, ...], dtype: DType) -> Array:
        self.count += math.prod(shape)
        if self.limit is not None and self.count > self.limit:
            raise ValueError(f"the sizes of the model must fit its files: got {shape}, too large")
        return np.zeros(shape, dtype)


_zeros: ContextVar[_Zeros | None] = ContextVar("heedful_initial_zeros", default=None)


@contextmanager
def without_initial_values(limit: int | None = None) -> Iterator[None]:
    """Within it, values that would be drawn are 0: for a model whose weights are loaded at once.

    To draw those of a large model takes longer than to read them, and more memory. A model of more
    than `limit` such elements is a ValueError, before they are allocated.
    """
    token = _zeros.set(_zeros.get() or _Zeros(limit))  # the outermost limit holds
    try:
        yield
    finally:
        _zeros.reset(token)


def uniform(rng: np.random.Generator, shape: tuple[int, ...], bound: float, dtype: DType) -> Array:
    if (zeros := _zeros.get()) is not None:
        return zeros.of(shape, dtype)
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
    if (zeros := _zeros.get()) is not None:
        return zeros.of(shape, dtype)
    return (deviation * rng.standard_normal(shape)).astype(dtype)


def scaled(array: Array, factor: float) -> None:
    """Multiplies initial values in place; zeros, whose memory was never written, are left alone."""
    if _zeros.get() is None:
        array *= factor
