"""Block masks by number: an operator of PyTorch takes tensors, numbers and strings alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from heedful import BlockMask

NONE = 0
_numbers = count(1)
_masks: dict[int, BlockMask] = {}


@contextmanager
def numbered(mask: BlockMask | None) -> Iterator[int]:
    """A number that stands for the mask within the block."""
    if mask is None:
        yield NONE
        return
    number = next(_numbers)
    _masks[number] = mask
    try:
        yield number
    finally:
        del _masks[number]


def numbered_as(number: int) -> BlockMask | None:
    """The mask that a number stands for."""
    return None if number == NONE else _masks[number]
