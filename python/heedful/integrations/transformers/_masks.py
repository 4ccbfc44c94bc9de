"""The masks that transformers' models ask for, once a pass for all layers of a kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import masking_utils
from transformers.utils.import_utils import is_tracing

from heedful.integrations.torch._tensors import Tensor
from heedful.integrations.transformers._models import refuse_own_attention
from heedful.integrations.transformers._pattern import Pattern, carry, pattern_of


def mask(
    batch_size: int,
    q_length: int,
    kv_length: int,
    q_offset: Any = 0,
    kv_offset: Any = 0,
    mask_function: Callable[..., Any] = masking_utils.causal_mask_function,
    attention_mask: Tensor | None = None,
    local_size: int | None = None,
    allow_is_causal_skip: bool = True,
    allow_is_bidirectional_skip: bool = False,
    use_vmap: bool = False,
    device: Any = "cpu",
    **options: Any,
) -> Tensor | None:
    """None, a mask of the keys that carries a pattern, or the mask (B, 1, Lq, Lk) itself.

    `attention_mask` (B, L) is True at tokens that are no padding. None: the layers know by their
    `is_causal`, with the first query at the first key.
    """
    refuse_own_attention(options.get("config"))
    tracing = is_tracing(attention_mask) or is_tracing(_tensor(q_offset))  # no values, no closures
    pattern = None if tracing or use_vmap or q_length == 1 else pattern_of(mask_function)
    # a mask that may not be left out will be joined with others
    skips = {True: allow_is_causal_skip, False: allow_is_bidirectional_skip}
    if pattern is None or not skips[pattern.causal]:
        return masking_utils.sdpa_mask(
            batch_size, q_length, kv_length, q_offset, kv_offset, mask_function, attention_mask,
            local_size, allow_is_causal_skip, allow_is_bidirectional_skip,
            use_vmap=use_vmap, device=device, **options,
        )  # fmt: skip
    pattern = pattern._replace(align=int(q_offset) - int(kv_offset))
    end = pattern.align + q_length  # of the queries, among the keys
    keys = _valid(attention_mask, int(kv_offset), kv_length, end if pattern.causal else kv_length)
    if _hides_nothing(pattern, end, kv_length):
        if keys is None and (pattern.align == 0 or not pattern.causal):
            return None
        if not pattern.causal:
            assert keys is not None
            return keys[:, None, None].expand(-1, 1, q_length, -1)
    if keys is None:
        return carry(torch.ones(batch_size, kv_length, device=device), pattern)
    return carry(keys.expand(batch_size, -1), pattern._replace(padded=True))


def _valid(padding: Tensor | None, offset: int, length: int, used: int) -> Tensor | None:
    """(B, length) of the keys that are no padding; None where all are that anything uses."""
    if padding is None:
        return None
    keys = padding[:, offset : offset + length]
    if keys.shape[1] < length:  # places of a cache that are still empty
        keys = torch.nn.functional.pad(keys, (0, length - keys.shape[1]))
    return None if bool(keys[:, :used].all()) else keys


def _hides_nothing(pattern: Pattern, end: int, length: int) -> bool:
    """Whether the window reaches as far as the keys."""
    left, right = pattern.left, pattern.right
    return (left is None or end - 1 <= left) and (
        right is None or length - 1 - pattern.align <= right
    )


def _tensor(offset: Any) -> Tensor | None:
    return offset if isinstance(offset, torch.Tensor) else None
