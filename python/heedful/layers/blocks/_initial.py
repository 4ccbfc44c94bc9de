"""Initial values of parameters."""

from __future__ import annotations

import math

import numpy as np

from heedful.base._types import Array, DType


def uniform(rng: np.random.Generator, shape: tuple[int, ...], bound: float, dtype: DType) -> Array:
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
    return (deviation * rng.standard_normal(shape)).astype(dtype)
