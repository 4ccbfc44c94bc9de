"""Masks of layers: ambiguous shapes are errors, and so are those that a layer cannot honour."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful._checks import as_array, flag, named
from heedful.base._shared_bias import SharedBias, without_gradient
from heedful.base._types import Array
from heedful.functional._dtypes import largest
from heedful.functional._positions import check_lengths
from heedful.functional._restrictions import mask_or_bias as check_floating
from heedful.functional._shapes import broadcasts

Shape = tuple[int, ...]
Kept = NDArray[np.bool_] | None  # (…, L): which positions count


def mask_or_bias(mask: Any, bias: Any = None) -> dict[str, Any]:
    """A floating mask is added to the scores, as a bias is, which may be a SharedBias."""
    bias = without_gradient(bias)
    if mask is None:
        return {"mask": None, "bias": bias}
    mask = as_array("mask", mask)
    if mask.dtype == np.bool_ or mask.dtype.kind in "iu":  # attention rejects integers
        return {"mask": mask, "bias": bias}
    check_floating("mask", mask)
    return {"mask": None, "bias": mask if bias is None else _added(mask, as_array("bias", bias))}


def of_heads_left(layer: Any, bias: Any) -> Any:
    """A bias of all heads that a layer had before some were pruned, as one of those it has."""
    pruned = layer.pruned_heads
    if not pruned or bias is None:
        return bias
    value = as_array("bias", without_gradient(bias))
    count = layer.num_heads + len(pruned)
    if value.ndim < 3 or value.shape[-3] != count:
        return bias
    left = np.setdiff1d(np.arange(count), pruned)
    return bias.of_heads(left) if isinstance(bias, SharedBias) else value[..., left, :, :]


@np.errstate(all="ignore")
def _added(mask: Array, bias: Array) -> Array:
    """Their sum, in which finite stays finite: a key with a very low score is not hidden."""
    total: Array = mask + bias
    over = np.isinf(total) & np.isfinite(mask) & np.isfinite(bias)
    if over.any():
        total = np.where(over, np.copysign(largest(total.dtype), total), total).astype(total.dtype)
    return total


def check_mask_of_heads(given: Any, query: Shape, key: Shape, keys_are_known: bool = True) -> Any:
    """A mask for scores (…, H, Lq, Lk) of a query (…, Lq, E) and a key (…, Lk, E).

    NumPy would broadcast (B, Lq, Lk) as (H, Lq, Lk) if B and H are equal, or one of them is 1.
    """
    if given is None:
        return None
    mask = as_array("mask", given)
    if 3 <= mask.ndim <= max(len(query), len(key)):
        raise ValueError(
            "mask must have 2 axes (Lq, Lk) or those of all scores (…, H, Lq, Lk): got shape "
            f"{mask.shape}; write mask[:, None] for (B, Lq, Lk) or mask[None] for (H, Lq, Lk)"
        )
    if keys_are_known:
        _check_flat(mask, (query[-2], key[-2]), "mask[:, None, None, :]")
    return mask


def check_mask_of_rows(given: Any, query: Shape, key: Shape) -> Any:
    """A mask for scores (…, Lq, Lk), without heads."""
    if given is None:
        return None
    mask = as_array("mask", given)
    _check_flat(mask, (query[-2], key[-2]), "mask[:, None, :]")
    return mask


def _check_flat(mask: Array, scores: tuple[int, int], padding: str) -> None:
    """Check a mask of one axis or two, which is the same for all items."""
    pairs = zip(reversed(mask.shape), reversed(scores), strict=False)
    if mask.ndim <= 2 and not all(size in (1, wanted) for size, wanted in pairs):
        raise ValueError(
            f"mask must broadcast to (Lq, Lk), here {scores}: got shape {mask.shape}; for padding "
            f"(B, Lk) write {padding} or give kv_lengths"
        )


def kept_keys(mask: Any, kv_lengths: Any, batch: Shape, length: int) -> Kept:
    """Which of the keys (…, L) count, for layers that cannot hide a key from some queries alone."""
    kept = None if mask is None else _check_key_mask(mask, batch, length)
    if kv_lengths is None:
        return kept
    within = _first(check_lengths("kv_lengths", kv_lengths, batch, length), batch, length)
    return within if kept is None else within & kept


def kept_rows(name: str, lengths: Any, batch: Shape, length: int) -> Kept:
    """The first positions of each item."""
    if lengths is None:
        return None
    return _first(check_lengths(name, lengths, batch, length), batch, length)


def _first(counts: NDArray[np.int64], batch: Shape, length: int) -> NDArray[np.bool_]:
    kept: NDArray[np.bool_] = np.arange(length) < counts.reshape(*batch, 1)
    return kept


def _check_key_mask(given: Any, batch: Shape, length: int) -> NDArray[np.bool_]:
    mask = as_array("mask", given)
    if mask.dtype != np.bool_:
        raise TypeError(f"mask must be boolean, True for what counts: got type {mask.dtype}")
    axes = len(batch) + 3
    *items, heads, queries, keys = (1,) * (axes - mask.ndim) + mask.shape
    clear = mask.ndim <= 2 or mask.ndim == axes  # others are ambiguous: see above
    same = clear and heads == queries == 1 and keys in (1, length)
    if not same or not broadcasts(tuple(items), batch):
        raise ValueError(
            f"mask must be the same for all queries, here (…, 1, 1, {length}): got shape "
            f"{mask.shape}; for padding (B, L) write mask[:, None, None, :] or give kv_lengths"
        )
    return np.broadcast_to(mask.reshape(*items, keys), (*items, length))


def refuse_options(
    reason: str, return_weights: Any = False, exclude_self: Any = False, **options: Any
) -> None:
    """Options of attention that a layer with its call cannot honour."""
    for name, value in options.items():
        if value is not None:
            raise ValueError(f"{name} must be None, {reason}: got {named(value)}")
    for name, value in (("return_weights", return_weights), ("exclude_self", exclude_self)):
        if flag(name, value):
            raise ValueError(f"{name} must be False, {reason}: got True")
