"""Pooling: one vector from the vectors of a text's tokens."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, Any]
Mode = str | tuple[str, ...]

MODES = ("cls", "mean", "max", "mean_sqrt_len", "weightedmean", "lasttoken")
# the names of a pooling's config.json, in the order in which several are concatenated
_KEYS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


@np.errstate(all="ignore")
def pooled(mode: Mode, y: Array, lengths: Array, first: int = 0) -> Array:
    """y (B, L, E) → (B, E), over rows `first` to `lengths` (B,) of each item.

    ::

        cls  the first       lasttoken  the last      max  the maximum of each feature
        mean  sum / n        mean_sqrt_len  sum / √n  weightedmean  Σ i y_i / Σ i,  i = 1, 2, …

    The vectors of several modes are concatenated, (B, modes · E).
    """
    if not isinstance(mode, str):
        return np.concatenate([pooled(one, y, lengths, first) for one in mode], axis=-1)
    place = np.arange(y.shape[1])
    counted = (place >= first) & (place < lengths[:, None])  # (B, L)
    if mode in ("cls", "lasttoken"):
        items = np.arange(len(y))
        if mode == "cls":
            return np.asarray(y[items, np.where(lengths > first, first, 0)])
        return np.asarray(np.where((lengths > first)[:, None], y[items, lengths - 1], 0))
    if mode == "max":
        maximum: Array = np.where(counted[..., None], y, -np.inf).max(1)
        return maximum.astype(y.dtype)
    weights = counted.astype(y.dtype)
    if mode == "weightedmean":
        weights *= (place + 1).astype(y.dtype)
    divisor = np.maximum(weights.sum(1, keepdims=True), 1e-9)
    if mode == "mean_sqrt_len":
        divisor = np.sqrt(divisor)
    mean: Array = np.einsum("ble,bl->be", y, weights) / divisor
    return mean


def pooling_mode(config: dict[str, Any]) -> Mode:
    """The modes in a pooling's config.json; the mean if there are none."""
    requested = [key for key, value in config.items() if key.startswith("pooling_mode_") and value]
    known = [key for key in _KEYS if key in requested]
    modes = [_KEYS[key] for key in known]
    modes += [key.removeprefix("pooling_mode_") for key in requested if key not in _KEYS]
    if "pooling_mode" in config:  # as later versions write it
        given = config["pooling_mode"]
        modes = [given] if isinstance(given, str) else list(given)
        modes = ["mean_sqrt_len" if mode == "mean_sqrt_len_tokens" else mode for mode in modes]
    elif not modes and config:
        modes = ["mean"]
    if not modes or not all(mode in MODES for mode in modes):
        raise ValueError(
            f"the pooling of a model must be one of {', '.join(MODES)}: "
            f"got {', '.join(map(str, modes))}"
        )
    return modes[0] if len(modes) == 1 else tuple(modes)
