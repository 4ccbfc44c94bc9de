"""Which keys the queries see, as numbers in place of a matrix."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from transformers import masking_utils

from heedful.integrations.torch._tensors import Tensor

_HEADER = struct.Struct("<8s?qqq?")  # _MAGIC, then the fields of a Pattern
_MAGIC = b"heedful\0"
_NO_LIMIT = -1


class Pattern(NamedTuple):
    """Query i stands at the position p = i + align among the keys.

    It sees the keys p − left ≤ j ≤ p + right, and j ≤ p where causal.
    """

    causal: bool
    left: int | None = None
    right: int | None = None
    align: int = 0
    padded: bool = False  # whether a mask of the keys hides some besides

    @property
    def window(self) -> tuple[int | None, int | None] | None:
        limits = self.left, self.right
        return None if limits == (None, None) else limits


def pattern_of(function: Callable[..., Any]) -> Pattern | None:
    """The pattern of one of the library's mask functions; None for every other function.

    Functions made by the library are recognised by the function that made them, so that what only
    resembles a pattern, such as chunks, which come with the arguments of a window, is never taken
    for it.
    """
    if function is masking_utils.causal_mask_function:
        return Pattern(causal=True)
    if function is masking_utils.bidirectional_mask_function:
        return Pattern(causal=False)
    parts = _captured(function, masking_utils.and_masks, "mask_functions")
    if not isinstance(parts, tuple) or len(parts) != 2:
        return None
    overlay, base = parts
    if base is masking_utils.causal_mask_function:
        size = _captured(overlay, masking_utils.sliding_window_overlay, "sliding_window")
        return Pattern(causal=True, left=size - 1) if isinstance(size, int) else None
    if base is masking_utils.bidirectional_mask_function:
        maker = masking_utils.sliding_window_bidirectional_overlay
        size = _captured(overlay, maker, "sliding_window")
        return Pattern(causal=False, left=size, right=size) if isinstance(size, int) else None
    return None


def _captured(function: Any, maker: Callable[..., Any], name: str) -> Any:
    """The variable of `maker` that a function made by it holds; None for other functions."""
    code = getattr(function, "__code__", None)
    if code is None or code not in maker.__code__.co_consts or name not in code.co_freevars:
        return None
    return function.__closure__[code.co_freevars.index(name)].cell_contents


def carry(keys: Tensor, pattern: Pattern) -> Tensor:
    """A mask of the keys (B, 1, 1, Lk), from (B, Lk), that carries the pattern to the layers.

    The pattern stands in its memory, before the keys: views and what a checkpoint keeps have it
    still. Copies do not; as no other mask is of uint8, they are refused, not misread.
    """
    left, right = (_NO_LIMIT if one is None else one for one in (pattern.left, pattern.right))
    words = _HEADER.pack(_MAGIC, pattern.causal, left, right, pattern.align, pattern.padded)
    header = torch.tensor(list(words), dtype=torch.uint8, device=keys.device)
    memory = torch.cat([header, keys.to(torch.uint8).flatten()])
    return memory[_HEADER.size :].view(keys.shape[0], 1, 1, keys.shape[1])


@torch.compiler.disable  # type: ignore[untyped-decorator]
def carried(mask: Tensor) -> Pattern | None:
    """The pattern of such a mask; None for other masks and for parts of one."""
    size = _HEADER.size + mask.numel()
    if (
        mask.dtype != torch.uint8
        or mask.storage_offset() != _HEADER.size
        or mask.untyped_storage().nbytes() != size
        or not mask.is_contiguous()
    ):
        return None
    words = bytes(mask.as_strided((_HEADER.size,), (1,), 0).tolist())
    magic, causal, left, right, align, padded = _HEADER.unpack(words)
    if magic != _MAGIC:
        return None
    left, right = (None if one == _NO_LIMIT else one for one in (left, right))
    return Pattern(causal, left, right, align, padded)
