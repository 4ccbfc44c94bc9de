"""Block masks whose arrays were damaged are refused before compiled functions read them."""

from __future__ import annotations

import copy
import pickle
import threading
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import heedful
from heedful import BlockMask

X = np.ones((1, 10, 4), np.float32)
MASK = BlockMask.causal(10, block_size=4)  # (1, 3, 3) blocks and 2 patterns of 4 rows
Arrays = tuple[Any, Any, Any]


def blocks(number: int, *place: int) -> Arrays:
    changed = MASK.blocks.copy()
    changed[0][place] = number
    return changed, MASK.patterns, grid()


def grid(lengths: Any = (10, 10), block_size: Any = (4, 4)) -> Any:
    return MASK._grid._replace(lengths=lengths, block_size=block_size)


P = len(MASK.patterns)
OUT_OF_RANGE = f"block_mask must have blocks from 0 to {P + 1}, for its {P} patterns: got "
SHAPE = "block_mask must have blocks of shape (…, 3, 3): got shape (1, "
TRANSPOSED: NDArray[Any] = np.asfortranarray(MASK.blocks)
DAMAGED: dict[str, tuple[Arrays, str]] = {
    "the first past the patterns": (blocks(P + 2, 0, 0), OUT_OF_RANGE),
    "far past the patterns": (blocks(2**31 - 1, 2, 2), OUT_OF_RANGE),
    "negative": (blocks(-1, 1, 1), OUT_OF_RANGE),
    "the smallest integer": (blocks(-(2**31), 2, 0), OUT_OF_RANGE),
    "fewer patterns": ((MASK.blocks, MASK.patterns[:1], grid()),
                       "block_mask must have blocks from 0 to 2, for its 1 patterns: got 3"),
    "no patterns": ((MASK.blocks, MASK.patterns[:0], grid()),
                    "block_mask must have blocks from 0 to 1, for its 0 patterns: got 3"),
    "blocks of 64 bits": ((MASK.blocks.astype(np.int64), MASK.patterns, grid()),
                          "block_mask must have blocks of type int32: got type int64"),
    "blocks of swapped bytes": ((MASK.blocks.astype(">i4"), MASK.patterns, grid()),
                                "block_mask must have blocks of type int32: got type >i4"),
    "floats": ((MASK.blocks.astype(np.float32), MASK.patterns, grid()),
               "block_mask must have blocks of type int32: got type float32"),
    "a list": ((MASK.blocks.tolist(), MASK.patterns, grid()),
               "block_mask must have blocks of type int32: got type list"),
    "a row less": ((MASK.blocks[:, :2], MASK.patterns, grid()), SHAPE),
    "a column less": ((np.ascontiguousarray(MASK.blocks[:, :, :2]), MASK.patterns, grid()), SHAPE),
    "two axes": ((MASK.blocks[0], MASK.patterns, grid()),
                 "block_mask must have blocks of shape (…, 3, 3): got shape (3, 3)"),
    "longer": ((MASK.blocks, MASK.patterns, grid((13, 10))),
               "block_mask must have blocks of shape (…, 4, 3): got shape (1, 3, 3)"),
    "smaller blocks": ((MASK.blocks, MASK.patterns, grid(block_size=(4, 3))),
                       "block_mask must have blocks of shape (…, 3, 4): got shape (1, 3, 3)"),
    "blocks in another order": ((TRANSPOSED, MASK.patterns, grid()),
                                "block_mask must have contiguous blocks: got strides"),
    "patterns of booleans": ((MASK.blocks, MASK.patterns.view(np.bool_), grid()),
                             "block_mask must have patterns of type uint8: got type bool"),
    "a byte for each pair": ((MASK.blocks, np.zeros((P, 4, 4), np.uint8), grid()),
                             "block_mask must have patterns of shape (P, 4, 1): got shape"),
    "patterns of other blocks": ((MASK.blocks, MASK.patterns[:, :3], grid()),
                                 "block_mask must have patterns of shape (P, 4, 1): got shape"),
    "keys of two bytes": ((MASK.blocks[:, :, :1].copy(), MASK.patterns, grid((10, 9), (4, 9))),
                          "block_mask must have patterns of shape (P, 4, 2): got shape"),
    "patterns of four axes": ((MASK.blocks, MASK.patterns[None], grid()),
                              "block_mask must have patterns of shape (P, 4, 1): got shape"),
    "patterns in another order": ((MASK.blocks, np.asfortranarray(MASK.patterns), grid()),
                                  "block_mask must have contiguous patterns: got strides"),
}  # fmt: skip
each_damage = pytest.mark.parametrize(("arrays", "message"), DAMAGED.values(), ids=DAMAGED)


def test_the_undamaged_mask_has_patterns() -> None:
    assert MASK.blocks.shape == (1, 3, 3)
    assert P == 2


def restored(arrays: Arrays) -> Any:
    """What unpickling does with them."""
    restore, (kind, *_) = MASK.__reduce__()
    return restore(kind, *arrays)


@each_damage
def test_damaged_arrays_are_not_restored(arrays: Arrays, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is compared below
        restored(arrays)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_damaged_pickle_is_refused() -> None:
    text = pickle.dumps(MASK)
    place = text.index(MASK.blocks.tobytes())
    damaged = text[:place] + b"\x7f" + text[place + 1 :]
    with pytest.raises(ValueError, match=rf"{OUT_OF_RANGE}127$"):
        pickle.loads(damaged)


@each_damage
@pytest.mark.parametrize("options", [{}, {"min_weight": 0.1}, {"top_k": 3}], ids=str)
def test_no_call_reads_a_damaged_mask(
    arrays: Arrays, message: str, options: dict[str, Any]
) -> None:
    mask = copy.copy(MASK)  # as if somebody reached into it
    mask._blocks, mask._patterns, mask._grid = arrays
    for call in (
        lambda: heedful.attention(X, X, X, block_mask=mask, **options),
        lambda: heedful.attention_vjp(X, X, X, block_mask=mask, **options),
        lambda: heedful.attention_weights(X, X, block_mask=mask, **options),
    ):
        with pytest.raises(ValueError, match="block_mask must have"):
            call()


@pytest.mark.parametrize(
    ("lengths", "block_size", "error"),
    [((0, 10), (4, 4), ValueError), ((10, 10), (0, 4), ValueError), ("10", (4, 4), TypeError),
     ((10, 10, 10), (4, 4), ValueError), ((10, 10), (4.0, 4.0), TypeError)],
    ids=str,
)  # fmt: skip
def test_damaged_sizes_of_a_pickle_are_refused(
    lengths: Any, block_size: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match=r"^(lengths|block_size) must "):
        restored((MASK.blocks, MASK.patterns, grid(lengths, block_size)))


def test_nobody_can_write_to_the_blocks() -> None:
    for mask in (MASK, BlockMask(np.ones((2, 2), bool)), copy.deepcopy(MASK)):
        with pytest.raises(ValueError, match="WRITEABLE"):
            mask.blocks.flags.writeable = True


def test_an_out_of_band_buffer_is_copied() -> None:
    buffers: list[Any] = []
    text = pickle.dumps(MASK, protocol=5, buffer_callback=buffers.append)
    memory = [bytearray(buffer.raw()) for buffer in buffers]
    mask = pickle.loads(text, buffers=memory)
    for one in memory:
        one[:] = b"\x7f" * len(one)
    np.testing.assert_array_equal(mask.blocks, MASK.blocks)


def test_masks_of_several_threads_are_read_at_once() -> None:
    """The same mask in many calls: each reads it, none changes it."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 300, 16))
    mask = BlockMask.window(300, 40, 3, block_size=16)
    for options in ({}, {"min_weight": 0.2}, {"top_k": 5}):
        expected = heedful.attention(x, x, x, block_mask=mask, **options)
        found: list[Any] = []

        def call(options: dict[str, Any] = options, found: list[Any] = found) -> None:
            for _ in range(5):
                found.append(heedful.attention(x, x, x, block_mask=mask, **options))

        threads = [threading.Thread(target=call) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 40
        assert all(np.array_equal(one, expected) for one in found)
    assert mask == BlockMask.window(300, 40, 3, block_size=16)
