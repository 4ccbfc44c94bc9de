"""Patterns of blocks as bits: bit j mod 8 of byte j // 8 of a row is its j-th key."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Bits: TypeAlias = NDArray[np.uint8]


def bytes_of(keys: int) -> int:
    """How many bytes a row takes."""
    return -(-keys // 8)


def packed(visible: NDArray[np.bool_]) -> Bits:
    """(…, rows, keys) → (…, rows, bytes), with bits of 0 past the last key."""
    return np.packbits(visible, axis=-1, bitorder="little")


def unpacked(bits: Bits, keys: int) -> NDArray[np.bool_]:
    """(…, rows, bytes) → (…, rows, keys)"""
    return np.unpackbits(bits, axis=-1, count=keys, bitorder="little").view(np.bool_)
