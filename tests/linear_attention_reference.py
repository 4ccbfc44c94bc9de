"""Linear attention and its gradients in plain NumPy, as a matrix of weights of all pairs.

Heads as in tests/reference.py: query (…, H, Lq, D), key (…, Hkv, Lk, D), value (…, Hkv, Lk, Dv).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from broadcast_axes import sum_groups, sum_to
from numpy.typing import NDArray

Array = NDArray[Any]


def features(x: Array) -> Array:
    """elu(x) + 1"""
    return np.where(x > 0, x + 1, np.exp(np.minimum(x, 0)))


def weights_of(query: Array, key: Array, allowed: Array | None = None) -> Array:
    """(…, H, Lq, Lk); rows sum to 1, or are 0 where nothing is allowed."""
    key = np.repeat(key, query.shape[-3] // key.shape[-3], axis=-3)
    weights = features(query) @ features(key).swapaxes(-1, -2)
    if allowed is not None:
        weights = np.where(allowed, weights, 0)
    total = weights.sum(-1, keepdims=True)
    return weights / np.where(total == 0, 1, total)


def attention(query: Array, key: Array, value: Array, allowed: Array | None = None) -> Array:
    value = np.repeat(value, query.shape[-3] // value.shape[-3], axis=-3)
    return weights_of(query, key, allowed) @ value


def gradients(
    dout: Array, query: Array, key: Array, value: Array, allowed: Array | None = None
) -> tuple[Array, Array, Array]:
    """Through every weight of every pair, by the quotient rule."""
    group = query.shape[-3] // key.shape[-3]
    keys, values = (np.repeat(array, group, axis=-3) for array in (key, value))
    of_query, of_key = features(query), features(keys)
    weights = weights_of(query, key, allowed)
    total = of_query @ of_key.swapaxes(-1, -2)
    total = (total if allowed is None else np.where(allowed, total, 0)).sum(-1, keepdims=True)
    dweights = dout @ values.swapaxes(-1, -2)
    dproducts = dweights - (dweights * weights).sum(-1, keepdims=True)
    dproducts = dproducts / np.where(total == 0, 1, total)
    if allowed is not None:
        dproducts = np.where(allowed, dproducts, 0)
    dquery = dproducts @ of_key * np.minimum(of_query, 1)
    dkey = dproducts.swapaxes(-1, -2) @ of_query * np.minimum(of_key, 1)
    dvalue = weights.swapaxes(-1, -2) @ dout
    return (
        sum_to(dquery, query.shape),
        sum_to(sum_groups(dkey, key.shape), key.shape),
        sum_to(sum_groups(dvalue, value.shape), value.shape),
    )


def plain(query: Array, key: Array, value: Array) -> Array:
    """Causal, by running sums in the type of the inputs, for sequences too long for all pairs."""
    of_query, of_key = features(query), features(key)
    sums = np.zeros((*key.shape[:-2], key.shape[-1], value.shape[-1]), query.dtype)
    total = np.zeros(key[..., 0, :].shape, query.dtype)
    out = np.empty((*query.shape[:-1], value.shape[-1]), query.dtype)
    for i in range(query.shape[-2]):
        sums = sums + of_key[..., i, :, None] * value[..., i, None, :]
        total = total + of_key[..., i, :]
        row = (of_query[..., i, None, :] @ sums)[..., 0, :]
        out[..., i, :] = row / (of_query[..., i, :] * total).sum(-1, keepdims=True)
    return out
