"""Where queries stand among the keys, and the options of masks that depend on it."""

from typing import Any

import numpy as np

from heedful._checks import is_integer, named
from heedful.functional._positions import check_align

_FAR = 2**58  # beyond every key, and sums of a few such numbers fit into 64 bits


def check_offset(lengths: tuple[int, int], align: Any) -> int:
    """Query i stands at key position i + offset, see :func:`heedful.attention`."""
    align = check_align(align)
    if isinstance(align, np.ndarray):
        raise ValueError(f"align must be a single integer or a word: got {named(align)}")
    if align is None and lengths[0] != lengths[1]:
        raise ValueError(
            "align must be given where the lengths differ, 'upper_left' puts the first query at "
            f"the first key, 'lower_right' the last at the last: got None for lengths {lengths}"
        )
    if isinstance(align, str):
        return lengths[1] - lengths[0] if align == "lower_right" else 0
    return 0 if align is None else min(max(align, -_FAR), _FAR)


def check_side(name: str, side: Any) -> int:
    """A number of keys on one side; None is beyond every key."""
    if side is None:
        return _FAR
    if not is_integer(side):
        raise TypeError(f"{name} must be an integer or None: got {named(side)}")
    if side < 0:
        raise ValueError(f"{name} must not be negative: got {named(side)}")
    return min(int(side), _FAR)
