"""The axes of what is given for pairs of queries and keys."""

from __future__ import annotations

from heedful.base._types import Array


def pair_axes(name: str, array: Array) -> Array:
    if array.ndim not in (1, 2, 4):
        raise ValueError(
            f"{name} must be (Lk,), (Lq, Lk) or (B, H, Lq, Lk): got shape {array.shape}"
            + f"; write {name}[:, None] for (B, Lq, Lk) or {name}[None] for (H, Lq, Lk)"
            * (array.ndim == 3)
        )
    return array
