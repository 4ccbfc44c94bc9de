"""Schedules: how many tokens each layer of an encoder passes on, or merges."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from heedful._checks import each_of, is_integer, named, real, size
from heedful.base._types import Array

Keep = int | float


def keep_schedule(given: Any, layers: int) -> list[Keep]:
    """Numbers of tokens, or fractions of those that enter the first layer; none grows."""
    if given is None:
        raise TypeError(f"keep must be a list with one for each of {layers} layers: got None")
    keep = [_keep(one) for one in each_of("keep", given, layers)]
    if len(set(map(type, keep))) > 1:
        raise TypeError(f"keep must be all integers, or all fractions: got {named(given)}")
    for before, after in pairwise(keep):
        if after > before:
            raise ValueError(f"keep must not grow: got {after} after {before}")
    return keep


def _keep(given: Any) -> Keep:
    if is_integer(given):
        return size("keep", given)
    fraction = real("keep", given)
    if not 0 < fraction <= 1:
        raise ValueError(f"keep must keep a token, a fraction above 0 and at most 1: got {given}")
    return fraction


def remaining(keep: Keep, counts: Any) -> Array:
    """How many of `counts` tokens are kept; of a fraction rounded up."""
    if isinstance(keep, int):
        return np.asarray(np.minimum(counts, keep))
    # 0.07 · 100 is above 7
    return np.asarray(np.ceil(np.asarray(counts) * keep - 1e-9), np.int64)


def merge_schedule(given: Any, layers: int) -> list[int]:
    """Numbers of tokens that are merged away in each layer, or one number for all layers."""
    if given is None:
        raise TypeError("merge must be an integer, or one for each layer: got None")
    each = [given] * layers if is_integer(given) else each_of("merge", given, layers)
    for one in each:
        if not is_integer(one):
            raise TypeError(f"merge must be integers: got {named(one)}")
        if one < 0:
            raise ValueError(f"merge must not be negative: got {one}")
    return [int(one) for one in each]
