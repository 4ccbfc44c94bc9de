"""Tokens: which ones of each item of a batch count, and how attention is told."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from heedful._checks import as_array, named
from heedful.base._types import Array


class Tokens(NamedTuple):
    """valid : (B, L) of bool, False for padding; options : of the attention, mask or kv_lengths"""

    valid: Array
    options: dict[str, Any]

    @classmethod
    def first(cls, shape: tuple[int, int], mask: Any, kv_lengths: Any) -> Tokens:
        """Those of the caller's mask and kv_lengths, which attention checks."""
        valid = np.ones(shape, np.bool_)
        options: dict[str, Any] = {}
        if mask is not None:
            mask = _of_keys(mask, shape)
            options["mask"], valid = mask, mask[:, 0, 0].copy()
        if kv_lengths is not None:
            options["kv_lengths"] = lengths = as_array("kv_lengths", kv_lengths)
            if lengths.shape == shape[:1] and lengths.dtype.kind in "iu":
                valid &= np.arange(shape[1]) < lengths[:, None]
        return cls(valid, options)

    @classmethod
    def leading(cls, counts: Array, length: int) -> Tokens:
        """The first `counts` (B,) of `length`."""
        full = bool((counts == length).all())
        return cls(np.arange(length) < counts[:, None], {} if full else {"kv_lengths": counts})


def _of_keys(given: Any, shape: tuple[int, int]) -> Array:
    """A mask that is the same for all heads and queries, as (B, 1, 1, L)."""
    mask = as_array("mask", given)
    wanted = (shape[0], 1, 1, shape[1])
    if mask.dtype != np.bool_:
        raise TypeError(f"mask must be boolean, True where a token counts: got {named(mask)}")
    if mask.ndim > 4 or any(
        size not in (1, own) for size, own in zip(mask.shape[::-1], wanted[::-1], strict=False)
    ):
        raise ValueError(
            f"mask must be the same for all heads and queries, {wanted}: got shape {mask.shape}"
        )
    return np.broadcast_to(mask, wanted)
