"""How an attention layer converts dot products to scores: scale, softcap and ALiBi's slopes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from heedful._checks import finite, named, numbers, positive
from heedful.base._types import Array


class Scores(NamedTuple):
    """score[h, i, j] = cap(scale · q[h, i] · k[h, j]) − slope[h] · abs(p − j), p the position of i.

    with cap(s) = softcap · tanh(s / softcap), in the options of :func:`heedful.attention`.
    """

    scale: float | None
    softcap: float | None
    alibi_slopes: Array | None

    @classmethod
    def of(cls, num_heads: int, scale: Any, softcap: Any, alibi: Any) -> Scores:
        """From the arguments of a layer."""
        return cls(
            None if scale is None else finite("scale", scale),
            None if softcap is None else positive("softcap", softcap),
            _slopes(num_heads, alibi),
        )

    def shown(self) -> str:
        """The end of a representation: settings that differ from the defaults."""
        parts = [("scale", self.scale), ("softcap", self.softcap)]
        shown = "".join(f", {name}={number:g}" for name, number in parts if number is not None)
        return shown + ("" if self.alibi_slopes is None else ", alibi=True")


def alibi_slopes(num_heads: int) -> Array:
    """2^(−8/H), 2^(−16/H), … 2^(−8) where H is a power of 2. Press et al. 2022.

    Otherwise those of the power of 2 below, then every other one of the power of 2 above.
    """
    below = 1 << (num_heads.bit_length() - 1)
    slopes = 2.0 ** (-8 / below * np.arange(1, below + 1))
    between = 2.0 ** (-4 / below * np.arange(1, 2 * below, 2))
    return np.concatenate([slopes, between[: num_heads - below]])


def _slopes(num_heads: int, given: Any) -> Array | None:
    if isinstance(given, (bool, np.bool_)):
        return alibi_slopes(num_heads) if given else None
    if given is None:
        raise TypeError("alibi must be True, False or slopes: got None")
    slopes = numbers("alibi", given).astype(np.float64)
    if slopes.shape != (num_heads,):
        raise ValueError(
            f"alibi must be True, False or {num_heads} slopes, one for each head: "
            f"got {named(given)}"
        )
    if not np.isfinite(slopes).all():
        raise ValueError("alibi must be finite: got NaN or infinity")
    return slopes
