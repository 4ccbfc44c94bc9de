"""ValidTokens: the tokens that a mask says are valid, moved to the front of their rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from heedful._checks import as_array, named
from heedful.base._types import Array


class ValidTokens(NamedTuple):
    """Tokens of a padded batch without what pads it, and where each was.

    tokens : (B, longest), lengths : (B,), kept : bool (B, L), front : bool (B, longest)
    """

    tokens: Array
    lengths: Array
    kept: Array
    front: Array

    @classmethod
    def of(cls, tokens: Any, mask: Any) -> ValidTokens:
        tokens, kept = as_array("tokens", tokens), _as_bool("mask", mask)
        if tokens.ndim != 2 or kept.shape != tokens.shape:
            raise ValueError(
                f"mask must have the shape (B, L) of tokens: got {kept.shape} for {tokens.shape}"
            )
        lengths = kept.sum(-1)
        front = np.arange(lengths.max(initial=0)) < lengths[:, None]
        moved = np.zeros(front.shape, tokens.dtype)
        moved[front] = tokens[kept]
        return cls(moved, lengths, kept, front)

    def placed(self, rows: Array) -> Array:
        """Rows (B, longest, …) where their tokens were, (B, L, …); 0 elsewhere."""
        found = np.zeros((*self.kept.shape, *rows.shape[2:]), rows.dtype)
        found[self.kept] = rows[self.front]
        return found

    def taken(self, rows: Array) -> Array:
        """The reverse: the gradient of `placed`."""
        found = np.zeros((*self.front.shape, *rows.shape[2:]), rows.dtype)
        found[self.front] = rows[self.kept]
        return found


def valid_keys(name: str, given: Any, tokens: Array) -> Array | None:
    """A mask of valid tokens (B, L) as one of scores (B, 1, 1, L)."""
    if given is None:
        return None
    mask = _as_bool(name, given)
    if mask.shape != tokens.shape:
        raise ValueError(f"{name} must have shape {tokens.shape}: got {mask.shape}")
    return mask[..., None, None, :]


def _as_bool(name: str, given: Any) -> Array:
    mask = as_array(name, given)
    if mask.dtype.kind not in "biu":  # 0 in an additive mask means the opposite
        raise TypeError(f"{name} must be boolean, or 1 and 0: got {named(mask)}")
    return mask.astype(np.bool_)
