"""Restrictions: masks, lengths, causal and windows, as heedful takes them and as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

Array = NDArray[Any]

# axes of a mask that are not 1: items (all leading axes), heads, queries, keys
AXES = ("k", "q", "qk", "ik", "iqk", "hqk", "ihqk", "h", "")


class Written(NamedTuple):
    """Of scores (…, H, Lq, Lk): what may be attended to, and what is added.

    `offset` is the position of the first query among the keys, with the axes of scores.
    """

    options: dict[str, Any]
    allowed: Array
    added: Array
    offset: Array


@dataclass(frozen=True)
class Restrictions:
    mask: str | None = None  # axes
    mask_is_added: bool = False
    bias: str | None = None
    causal: bool = False
    window: tuple[int | None, int | None] | None = None
    exclude_self: bool = False
    align: str | int | None = None
    kv_lengths: bool = False
    q_lengths: bool = False

    def written(
        self, rng: np.random.Generator, leading: tuple[int, ...], heads: int, queries: int,
        keys: int, dtype: Any, shortest: int = 0,
    ) -> Written:  # fmt: skip
        shape = (*leading, heads, queries, keys)
        options: dict[str, Any] = {}
        allowed, added = np.ones(shape, bool), np.zeros(shape)
        rows, columns = np.arange(queries)[:, None], np.arange(keys)
        counts = {"q": np.full(leading, queries), "kv": np.full(leading, keys)}
        for name, wanted in (("q", self.q_lengths), ("kv", self.kv_lengths)):
            if wanted:
                counts[name] = rng.integers(shortest, counts[name] + 1)
                options[f"{name}_lengths"] = counts[name] if leading else int(counts[name])
        q_counts, kv_counts = (counts[name].reshape(*leading, 1, 1, 1) for name in ("q", "kv"))
        allowed &= (rows < q_counts) & (columns < kv_counts)
        if self.mask is not None:
            where = rng.random(axes(self.mask, shape)) < 0.7
            if self.mask_is_added:
                numbers = rng.standard_normal(where.shape).astype(dtype)
                options["mask"] = np.where(where, numbers, -np.inf).astype(dtype)
                added = added + np.where(where, numbers, 0)
            else:
                options["mask"] = where
            allowed &= where
        if self.bias is not None:
            options["bias"] = rng.standard_normal(axes(self.bias, shape)).astype(dtype)
            added = added + options["bias"]
        offset = np.zeros_like(kv_counts)
        if self.align == "lower_right":
            offset = kv_counts - q_counts
        elif isinstance(self.align, int):
            offset = offset + self.align
        if self.align is not None:
            options["align"] = self.align
        place = rows + offset
        if self.causal:
            options["causal"] = True
            allowed &= columns <= place
        if self.window is not None:
            options["window"] = self.window
            left, right = self.window
            allowed &= (left is None) | (columns >= place - (left or 0))
            allowed &= (right is None) | (columns <= place + (right or 0))
        if self.exclude_self:
            options["exclude_self"] = True
            allowed &= columns != place
        return Written(options, allowed, added, offset)


def axes(names: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a mask, with 1 in place of the axes that are not named.

    One that is the same for all items and heads has two axes, as layers want it.
    """
    *leading, _, queries, keys = shape
    if not {"i", "h"} & set(names):
        return (queries if "q" in names else 1, keys if "k" in names else 1)
    items = [count if "i" in names else 1 for count in leading]
    rest = [count if name in names else 1 for name, count in zip("hqk", shape[-3:], strict=True)]
    return (*items, *rest)


def additive(written: Written, dtype: Any) -> Array:
    """As one floating mask: −inf where nothing may be attended to."""
    full: Array = np.where(written.allowed, written.added, -np.inf).astype(dtype)
    return full


@st.composite
def restrictions(draw: st.DrawFn, same_length: bool, alibi: bool = False) -> Restrictions:
    causal = draw(st.booleans())
    side = st.none() | st.integers(0, 9)
    window = draw(st.none() | st.tuples(side, side))
    exclude_self = draw(st.booleans())
    needed = (causal or alibi or exclude_self or window is not None) and not same_length
    aligns = st.sampled_from(["upper_left", "lower_right", 0, 1, 4, -2])
    return Restrictions(
        mask=draw(st.none() | st.sampled_from(AXES)),
        mask_is_added=draw(st.booleans()),
        bias=draw(st.none() | st.sampled_from(AXES)),
        causal=causal,
        window=window,
        exclude_self=exclude_self,
        align=draw(aligns if needed else st.none() | aligns),
        kv_lengths=draw(st.booleans()),
        q_lengths=draw(st.booleans()),
    )
