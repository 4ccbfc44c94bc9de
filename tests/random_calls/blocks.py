"""Random block masks, and the blocks that a call with min_weight keeps."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import heedful
import reference
from heedful.functional._call import check_call
from heedful.functional._dropped_blocks import Blocks
from heedful.functional._forward import forward_alone
from random_calls.bounds import assert_within

Array = NDArray[Any]


def block_mask_of(
    rng: np.random.Generator,
    leading: tuple[int, ...],
    lengths: tuple[int, int],
    block_size: tuple[int, int],
    density: float,
) -> heedful.BlockMask:
    """Of its blocks, `density` exist, a part of these visible in part."""
    shape = (*leading, *(-(-n // size) for n, size in zip(lengths, block_size, strict=True)))
    kinds = rng.choice(3, shape, p=(1 - density, density * 0.6, density * 0.4))
    pairs = _by_pair(kinds, block_size, lengths)
    dense = (pairs == 1) | ((pairs == 2) & (rng.random(pairs.shape) < 0.7))
    return heedful.BlockMask.from_mask(dense, block_size=block_size)


def _by_pair(blocks: Array, size: tuple[int, int], lengths: tuple[int, int]) -> Array:
    """(…, nq, nk) → (…, Lq, Lk)"""
    return blocks.repeat(size[0], -2)[..., : lengths[0], :].repeat(size[1], -1)[..., : lengths[1]]


def kept_blocks(*arrays: Array, **options: Any) -> Blocks:
    """The blocks that a forward pass leaves, as it writes them for the backward pass."""
    call = check_call(*arrays, **options)
    forward_alone(call, None)
    assert call.block_mask is not None
    return call.block_mask


def pairs_of(blocks: Blocks, lengths: tuple[int, int]) -> NDArray[np.bool_]:
    """(…, H, Lq, Lk), which pairs lie in blocks that exist."""
    return _by_pair(blocks.kinds != 0, (blocks.rows, blocks.keys), lengths)


class Dropped(NamedTuple):
    """What a call left out: its steps without `min_weight`, and with what it kept alone."""

    whole: reference.Steps
    error: Array  # of the scores, from rounding alone
    kept: NDArray[np.bool_]
    min_weight: float

    def check(self, out: Array, out_bound: Array, skipped: float | None) -> None:
        """The documented bound of each weight that was dropped, and of the output."""
        whole, dropped = self.whole, self.whole.allowed & ~self.kept
        if skipped is not None:
            assert 0 <= skipped <= 1
            assert skipped > 0 or not dropped.any(), "weights were dropped, and none reported"
        largest = self.error.max(-1, keepdims=True, initial=0)
        limit = self.min_weight * np.exp(np.minimum(6 * largest, 80))
        weights = np.where(dropped, whole.probability, 0)
        assert (weights <= limit).all(), f"a weight of {weights.max()} was dropped"
        values = np.where(np.isfinite(whole.value), np.abs(whole.value), 0).max(initial=0)
        growth = np.asarray(whole.dropout).max(initial=0)
        bound = 2 * limit * whole.allowed.shape[-1] * values * growth + out_bound
        assert_within(out, whole.result.out, bound, "out, beside that of everything")
