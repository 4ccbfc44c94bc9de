"""Queries and keys between projection and dot product: norms, factors of heads, rotary positions.

::

    q ← rotate(norm(q) · logit_scale[h])      k ← rotate(norm(k))      each if the layer has it
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from heedful._checks import flag, is_integer, one_of, positive
from heedful._core import native
from heedful._core._memory import empty
from heedful.base._mode import Mode
from heedful.base._parameter import Parameter
from heedful.base._types import Array, DType
from heedful.functional import rotary_embedding
from heedful.layers.attention._rotary_angles import RotaryAngles
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
    layer.rotary = _angles(rotary)
    if layer.rotary:
        layer.rotary.check(layer.depth)


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
    angles = layer.rotary
    if not angles:
        return heads
    if not isinstance(angles, RotaryAngles):  # of a layer that an earlier version pickled
        angles = RotaryAngles(angles)
    length, depth = heads.shape[-3], heads.shape[-1]
    if is_integer(first) and length * depth <= _TABLE:
        cos, sin = _tables(angles, depth, int(first), length, heads.dtype)
        y = empty(heads.shape, heads.dtype)
        sin = np.negative(sin) if inverse else sin
        native.rotary(heads, y, cos, sin, heads.shape[:-3], True, False)
        return y
    if isinstance(first, np.ndarray) and first.ndim == 1:
        first = first[:, None] + np.arange(length)
    last = int(first.max(initial=-1)) if np.ndim(first) else int(first) + length - 1
    options = angles.options(depth, last + 1)
    return rotary_embedding(heads, first, **options, inverse=inverse, layout="blhd")


# Elements of a table that is kept, because every layer of a model rotates by the same angles.
_TABLE = 1 << 16


@lru_cache(maxsize=16)
def _tables(
    angles: RotaryAngles, depth: int, first: int, length: int, dtype: DType
) -> tuple[Array, Array]:
    """Cosines and sines (L, R/2) of consecutive positions: rotations of (1, 0)."""
    options = angles.options(depth, first + length)
    units = np.zeros((length, 1, depth), dtype)
    pairs = options["rotary_dim"] // 2
    units[..., :pairs] = 1
    rotated_units = rotary_embedding(units, first, **options, layout="blhd")[:, 0]
    cos, sin = rotated_units[:, :pairs].copy(), rotated_units[:, pairs : 2 * pairs].copy()
    cos.flags.writeable = sin.flags.writeable = False
    return cos, sin


def _angles(given: Any) -> RotaryAngles | None:
    if isinstance(given, RotaryAngles):
        return given
    if isinstance(given, bool):
        return RotaryAngles() if given else None
    return RotaryAngles(positive("rotary", given))


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
