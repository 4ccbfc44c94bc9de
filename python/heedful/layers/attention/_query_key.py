"""Queries and keys between projection and dot product: norms, factors of heads, rotary positions.

::

    q ← rotate(norm(q) · logit_scale[h])      k ← rotate(norm(k))      each if the layer has it
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from heedful._checks import flag, one_of, positive
from heedful._core import native
from heedful._core._memory import empty
from heedful.base._mode import Mode
from heedful.base._parameter import Parameter
from heedful.base._types import Array
from heedful.functional import rotary_embedding
from heedful.layers.blocks._norm import RMSNorm
from heedful.layers.blocks._rows import as_rows

Back = Callable[[Array], Array]
# of scores that are cosines: Liu et al. 2022, which trains its logarithm
_SCALE_OF_COSINES = 10.0


def make_query_key(layer: Any, qk_norm: Any, logit_scale: Any, rotary: Any) -> None:
    """The settings and parameters of a layer that has its sizes and its type."""
    layer.qk_norm = None if qk_norm is None else one_of("qk_norm", qk_norm, ("rms", "l2"))
    cosines = layer.qk_norm == "l2"
    if layer.qk_norm == "rms":
        layer.q_norm = RMSNorm(layer.depth, dtype=layer.dtype)
        layer.k_norm = RMSNorm(layer.depth, dtype=layer.dtype)
    layer.logit_scale = None
    if cosines if logit_scale is None else flag("logit_scale", logit_scale):
        first = _SCALE_OF_COSINES if cosines else 1.0
        layer.logit_scale = Parameter(np.full(layer.num_heads, first, layer.dtype))
    base = (10000.0 if rotary else None) if isinstance(rotary, bool) else rotary
    layer.rotary = 0.0 if base is None else positive("rotary", base)
    if layer.rotary and layer.depth % 2:
        raise ValueError(f"rotary needs an even number of features in a head: got {layer.depth}")


def normalized_query(layer: Any, mode: Mode, q: Array) -> tuple[Array, Back]:
    """Queries (…, L, H, D) before they are rotated, and the function of their gradient."""
    q, back_norm = _normalized(layer, mode, q, "q_norm")
    if getattr(layer, "logit_scale", None) is None:  # an earlier version's pickle has none
        return q, back_norm
    factors = layer.optional("logit_scale", (layer.num_heads,))
    of_heads = factors[:, None].copy()  # as they are now: backward may follow a step

    @np.errstate(all="ignore")
    def backward(dq: Array) -> Array:
        by_row = (dq * q).reshape(-1, *q.shape[-2:]).sum(-1)
        layer.add_gradient("logit_scale", by_row.sum(0, dtype=np.float64).astype(q.dtype))
        return back_norm(dq * of_heads)

    with np.errstate(all="ignore"):
        return q * of_heads, backward


def normalized_key(layer: Any, mode: Mode, k: Array) -> tuple[Array, Back]:
    """Keys (…, L, Hkv, D) before they are rotated, and the function of their gradient."""
    return _normalized(layer, mode, k, "k_norm")


def rotated(layer: Any, heads: Array, first: Any, inverse: bool = False) -> Array:
    """Queries or keys (…, L, H, D) rotated by their positions, which begin at `first`."""
    if not layer.rotary:
        return heads
    if isinstance(first, np.ndarray) and first.ndim == 1:
        first = first[:, None] + np.arange(heads.shape[-3])
    return rotary_embedding(heads, first, base=layer.rotary, inverse=inverse, layout="blhd")


def query_key_shown(layer: Any) -> str:
    shown = "" if layer.qk_norm is None else f", qk_norm={layer.qk_norm!r}"
    return shown + (", logit_scale=True" if getattr(layer, "logit_scale", None) is not None else "")


def _normalized(layer: Any, mode: Mode, heads: Array, name: str) -> tuple[Array, Back]:
    if layer.qk_norm is None:
        return heads, _unchanged
    if layer.qk_norm == "rms":
        norm: RMSNorm = getattr(layer, name)
        return norm.compute(mode, heads)
    return _unit_vectors(heads)


def _unit_vectors(x: Array) -> tuple[Array, Back]:
    """y = x / √(Σ x² + D · ε²), over the last axis; ε is the machine epsilon."""
    shape, rows = x.shape, as_rows(x)
    depth, eps = shape[-1], float(np.finfo(x.dtype).eps) ** 2
    # the RMS norm of a row is √D times as long
    weight = np.full(depth, 1 / np.sqrt(depth), x.dtype)
    y, rstd = empty(rows.shape, x.dtype), np.empty(len(rows), x.dtype)
    native.norm_forward(rows, weight, None, eps, y, None, rstd)

    def backward(dy: Array) -> Array:
        dx = empty(rows.shape, x.dtype)
        native.norm_backward(as_rows(dy), rows, weight, None, rstd, dx, None, None)
        return dx.reshape(shape)

    return y.reshape(shape), backward


def _unchanged(gradient: Array) -> Array:
    return gradient
