"""Where packed sequences start and end: (tokens, H, D) is one item in "blhd", split into n."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful._checks import integer_array
from heedful.functional._plan import Geometry, Plan
from heedful.functional._positions import Items, check_packed_items


def check_packed(
    plan: Plan, starts: tuple[Any, Any], q_lengths: Any, kv_lengths: Any
) -> tuple[Geometry, Items]:
    """`starts`: cu_seqlens of query and key as they were given."""
    rows = check_cu_seqlens("cu_seqlens_q", starts[0], "query", plan.axes.query_length)
    keys = check_cu_seqlens("cu_seqlens_k", starts[1], "key", plan.axes.key_length)
    if rows.size != keys.size:
        raise ValueError(
            "cu_seqlens_q and cu_seqlens_k must have the same length: "
            f"got {rows.size} and {keys.size}"
        )
    items = check_packed_items(plan.diagonal, rows, keys, q_lengths, kv_lengths)
    return Geometry((rows.size - 1,), *plan.geometry[1:]), items


def check_cu_seqlens(name: str, given: Any, of: str, tokens: int) -> NDArray[np.int64]:
    """A checked copy: from 0, never decreasing, within the array."""
    offsets = integer_array(name, given)
    if offsets.ndim != 1 or not offsets.size:
        raise ValueError(f"{name} must have shape (n + 1,) for n sequences: got {offsets.shape}")
    if offsets[0] != 0:
        raise ValueError(f"{name} must start with 0: got {int(offsets[0])}")
    decreases = offsets[1:] < offsets[:-1]
    if decreases.any():
        place = int(np.argmax(decreases))
        raise ValueError(
            f"{name} must not decrease: got {int(offsets[place])}, then {int(offsets[place + 1])}"
        )
    if offsets[-1] > tokens:
        raise ValueError(
            f"{name} must end within {of}: {of} has {tokens} tokens, got {int(offsets[-1])}"
        )
    return offsets.astype(np.int64)
