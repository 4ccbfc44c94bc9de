"""Linear attention on projected heads, and the sums over keys that continue a sequence.

With φ(x) = elu(x) + 1, S = Σ_j φ(key[j]) value[j]ᵀ and z = Σ_j φ(key[j]) over what a query sees:

    out[i] = φ(query[i]) S / norm[i]      norm[i] = φ(query[i]) · z      0 where norm is 0

Arrays are (…, L, H, D) of one type, float32 or float64, of any strides; leading axes broadcast.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heedful._core import native
from heedful.functional._dtypes import Array
from heedful.functional._results import allocate
from heedful.functional._shapes import broadcast_batches, summed

Kept = NDArray[np.bool_] | None  # (…, Lk): which keys count


class KeySums(NamedTuple):
    """S (…, Hkv, D, Dv) and z (…, Hkv, D)."""

    values: Array
    features: Array


class LinearAttention(NamedTuple):
    """The results of one call, and what its gradients need."""

    out: Array  # (…, Lq, H, Dv)
    norm: Array  # (…, H, Lq)
    added: KeySums | None  # the sums of the call's own keys, if asked for


def linear_attention(
    query: Array, key: Array, value: Array, *, kept: Kept, causal: bool,
    before: KeySums | None = None, adds: bool = False,
) -> LinearAttention:  # fmt: skip
    """Every query sees all keys, or with `causal`, where Lq = Lk, those up to its own position.

    `before` holds the sums of keys before the first one; `adds` asks for those of these keys.
    """
    batch = _batch(query, key, value)
    (*_, queries, heads, depth), (*_, kv_heads, value_depth) = query.shape, value.shape
    dtype = query.dtype
    out = allocate("the output", (*batch, queries, heads, value_depth), dtype)
    norm = allocate("the output", (*batch, heads, queries), dtype)
    added = None
    if adds:
        shape = (*batch, kv_heads, depth)
        added = KeySums(
            allocate("the sums", (*shape, value_depth), dtype), allocate("the sums", shape, dtype)
        )
    own = [None, None] if before is None else [_contiguous(array, dtype) for array in before]
    native.linear_attention_forward(
        query, key, value, _column(kept), batch, causal, out, norm, *own,
        *([None, None] if added is None else added),
    )  # fmt: skip
    return LinearAttention(out, norm, added)


def linear_attention_gradients(
    dout: Array, query: Array, key: Array, value: Array, found: LinearAttention, *, kept: Kept,
    causal: bool,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """Gradients of query, key and value, in their shapes."""
    batch, arrays = _batch(query, key, value), (query, key, value)
    gradients = [
        allocate("a gradient", (*batch, *array.shape[-3:]), query.dtype) for array in arrays
    ]
    native.linear_attention_backward(
        *arrays, _column(kept), batch, causal, dout, found.out, found.norm, *gradients
    )
    with np.errstate(all="ignore"):
        dquery, dkey, dvalue = (
            summed(gradient, array.shape).astype(query.dtype, copy=False)
            for gradient, array in zip(gradients, arrays, strict=True)
        )
    return dquery, dkey, dvalue


def _batch(query: Array, key: Array, value: Array) -> tuple[int, ...]:
    shapes = [array.shape[:-3] for array in (query, key, value)]
    return broadcast_batches(("query", "key", "value"), shapes)


def _column(kept: Kept) -> NDArray[np.bool_] | None:
    return None if kept is None else kept[..., None]


def _contiguous(array: Array, dtype: np.dtype[np.generic]) -> Array:
    with np.errstate(all="ignore"):
        return np.ascontiguousarray(array, dtype)
