"""Whether the arrays of a block mask are such as compiled functions may read unchecked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from heedful.functional.block_structure._pattern_bits import bytes_of

if TYPE_CHECKING:
    from heedful.functional.block_structure._grid import Grid


def check_intact(blocks: Any, patterns: Any, grid: Grid) -> None:
    """Of a mask from a pickle, or changed from outside: builders make no others."""
    _check("blocks", blocks, np.int32, "…", grid.shape)
    rows, keys = grid.block_size
    _check("patterns", patterns, np.uint8, "P", (rows, bytes_of(keys)))
    end = 2 + len(patterns)
    for outermost in (blocks.min(initial=0), blocks.max(initial=0)):
        if not 0 <= outermost < end:
            raise ValueError(
                f"block_mask must have blocks from 0 to {end - 1}, for its {len(patterns)} "
                f"patterns: got {outermost}"
            )


def _check(
    name: str, array: Any, dtype: type[np.generic], first: str, last: tuple[int, int]
) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise ValueError(f"block_mask must have {name} of type {np.dtype(dtype)}: got type {kind}")
    if array.ndim < 3 or array.shape[-2:] != last or (array.ndim > 3 and first == "P"):
        raise ValueError(
            f"block_mask must have {name} of shape ({first}, {last[0]}, {last[1]}): "
            f"got shape {array.shape}"
        )
    if not array.flags.c_contiguous:
        raise ValueError(f"block_mask must have contiguous {name}: got strides {array.strides}")
