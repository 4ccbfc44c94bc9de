"""α-entmax in plain NumPy, by ways that heedful does not take: sorting, and bisection.

    p = [(α − 1) score − τ]₊^(1 / (α − 1))      τ such that Σ p = 1
    slope = p^(2 − α) where p > 0: the derivative of p by its own score, τ held

Sorting, for α = 2 and 1.5: algorithms 1 of Martins and Astudillo 2016, and 2 of Peters et al. 2019.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
NAMED = {"sparsemax": 2.0, "entmax15": 1.5}


def alphas_of(normalizer: Any, heads: int) -> Array | None:
    """α of each head, None for softmax."""
    if isinstance(normalizer, str):
        return np.full(heads, NAMED[normalizer]) if normalizer in NAMED else None
    return np.broadcast_to(np.asarray(normalizer, np.float64), heads)


def entmax(scores: Array, alphas: Array) -> tuple[Array, Array]:
    """p and slope of scores (…, H, Lq, Lk), −∞ where hidden."""
    found = [entmax_of(scores[..., h, :, :], float(alpha)) for h, alpha in enumerate(alphas)]
    if not found:
        return np.zeros_like(scores), np.zeros_like(scores)
    return np.stack([p for p, _ in found], -3), np.stack([slope for _, slope in found], -3)


def entmax_of(scores: Array, alpha: float) -> tuple[Array, Array]:
    """The same for one α."""
    maximum = scores.max(axis=-1, keepdims=True, initial=-np.inf)
    exists = maximum > -np.inf
    with np.errstate(invalid="ignore"):
        z = np.where(exists, scores - np.where(exists, maximum, 0), -np.inf)
    z = z * scores.dtype.type(alpha - 1)
    way = {2.0: _sorted_sparsemax, 1.5: _sorted_entmax15}.get(alpha, _bisected)
    excess = np.maximum(z - way(z, alpha), 0) if z.size else np.zeros_like(z)
    used = (excess > 0) & exists
    base = np.where(used, excess, 1)
    p = np.where(used, base ** (1 / (alpha - 1)), 0).astype(scores.dtype)
    return p, np.where(used, base ** ((2 - alpha) / (alpha - 1)), 0).astype(scores.dtype)


def _sorted_sparsemax(z: Array, _: float) -> Array:
    """τ: of the k highest scores, the support, τ = (Σ z − 1) / k."""
    falling = np.where(np.isfinite(z), z, -1e9)
    falling = -np.sort(-falling, axis=-1)
    count = np.arange(1, z.shape[-1] + 1)
    tau = (np.cumsum(falling, axis=-1) - 1) / count
    size = (falling > tau).sum(axis=-1, keepdims=True)
    return np.take_along_axis(tau, np.maximum(size, 1) - 1, axis=-1)


def _sorted_entmax15(z: Array, _: float) -> Array:
    """τ = mean − √((1 − k · variance) / k) of the k highest scores."""
    falling = np.where(np.isfinite(z), z, -1e9)
    falling = -np.sort(-falling, axis=-1)
    count = np.arange(1, z.shape[-1] + 1)
    mean = np.cumsum(falling, axis=-1) / count
    squares = np.cumsum(falling**2, axis=-1) - count * mean**2
    tau = mean - np.sqrt(np.maximum((1 - squares) / count, 0))
    size = (falling >= tau).sum(axis=-1, keepdims=True)
    return _polished(z, np.take_along_axis(tau, np.maximum(size, 1) - 1, axis=-1))


def _polished(z: Array, tau: Array) -> Array:
    """The root of Σ [z − τ]₊² = 1 for the support of a τ that is close to it, once more."""
    used = z > tau
    count = np.maximum(used.sum(axis=-1, keepdims=True), 1)
    own = np.where(used, z, 0)
    mean = own.sum(axis=-1, keepdims=True) / count
    variance = np.where(used, (own - mean) ** 2, 0).sum(axis=-1, keepdims=True)
    return mean - np.sqrt(np.maximum(1 - variance, 0) / count)


def _bisected(z: Array, alpha: float) -> Array:
    low = np.full((*z.shape[:-1], 1), -1, z.dtype)
    high = np.zeros_like(low)
    exponent = 1 / (alpha - 1)
    for _ in range(70):
        tau = (low + high) / 2
        total = (np.maximum(z - tau, 0) ** exponent).sum(axis=-1, keepdims=True)
        low, high = np.where(total >= 1, tau, low), np.where(total >= 1, high, tau)
    return low
