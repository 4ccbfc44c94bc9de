"""Which rows and keys an item has, and where its queries stand: lengths, diagonal, window.

Query row i stands at key position p = i + offset.
With a window (left, right) it sees the keys p − left ≤ j ≤ p + right.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heedful.functional._checks import flag, integer_array, is_integer, named

ALIGNMENTS = ("upper_left", "lower_right")
_FAR = 2**58  # beyond every key, and sums of a few of it fit into 64 bits

Lengths = int | NDArray[np.int64]  # one number for all items, or one for each


class Positions(NamedTuple):
    items: NDArray[np.int64] | None  # (B, 5), see the stub of the compiled functions
    offset: int
    left: int  # −1: no limit
    right: int


def check_lengths(
    name: str, given: Any, shape: tuple[int, ...], limit: Lengths
) -> NDArray[np.int64]:
    """A checked copy, flattened: one length for each item, none beyond its array."""
    numbers = integer_array(name, given)
    if numbers.shape != shape:
        wanted = f"shape {shape}, that of the leading axes" if shape else "no axes: a single number"
        raise ValueError(f"{name} must have {wanted}: got shape {numbers.shape}")
    numbers = numbers.ravel()
    wrong = (numbers < 0) | (numbers > limit)
    if wrong.any():
        item = int(np.argmax(wrong))
        most = limit if isinstance(limit, int) else int(limit[item])
        raise ValueError(
            f"{name} must lie between 0 and {most}: got {int(numbers[item])} for item {item}"
        )
    return numbers.astype(np.int64)


def check_window(window: Any) -> tuple[int | None, int | None]:
    if window is None:
        return None, None
    if not isinstance(window, (tuple, list)):
        raise TypeError(f"window must be a pair (left, right): got {named(window)}")
    if len(window) != 2:
        raise ValueError(f"window must be a pair (left, right): got {named(window)}")
    for side in window:
        if side is not None and not is_integer(side):
            raise TypeError(f"window must hold integers or None: got {named(window)}")
        if side is not None and side < 0:
            raise ValueError(f"window must hold no negative number: got {named(window)}")
    left, right = window
    return None if left is None else int(left), None if right is None else int(right)


def check_align(align: Any, shape: tuple[int, ...]) -> str | int | list[int] | None:
    """A word, an offset for all, or an offset for each item."""
    if align is None:
        return None
    if isinstance(align, str):
        if align in ALIGNMENTS:
            return align
        raise ValueError(
            f"align must be 'upper_left', 'lower_right' or integers: got {named(align)}"
        )
    numbers = integer_array("align", align)
    if numbers.ndim == 0:
        return int(numbers[()])
    if numbers.shape != shape:
        raise ValueError(
            f"align must be a single integer or have shape {shape}, that of the leading axes: "
            f"got shape {numbers.shape}"
        )
    return [int(number) for number in numbers.ravel()]


def offsets_of(
    align: str | int | list[int] | None, query_lengths: Lengths, key_lengths: Lengths
) -> Lengths | list[int]:
    if isinstance(align, str):
        return key_lengths - query_lengths if align == "lower_right" else 0
    return 0 if align is None else align


def refuse_unaligned(used: str, where: str) -> ValueError:
    return ValueError(
        f"align must be given where query and key differ in length and {used} is used, "
        "'upper_left' puts the first query at the first key, 'lower_right' the last at the last: "
        f"got None, {where}"
    )


def what_uses_the_diagonal(causal: bool, left: int | None, right: int | None, alibi: Any) -> str:
    """The first argument that needs to know where a query stands, or nothing."""
    if causal:
        return "causal"
    if left is not None or right is not None:
        return "window"
    return "" if alibi is None else "alibi_slopes"


def check_positions(
    batch: tuple[int, ...],
    query_length: int,
    key_length: int,
    causal: Any,
    window: Any,
    align: Any,
    q_lengths: Any,
    kv_lengths: Any,
    alibi_slopes: Any,
) -> Positions:
    """Every item's rows, keys and diagonal for arrays of one length each."""
    causal = flag("causal", causal)
    left, right = check_window(window)
    align = check_align(align, batch)
    used = what_uses_the_diagonal(causal, left, right, alibi_slopes)
    if used and align is None and query_length != key_length:
        raise refuse_unaligned(used, f"query has {query_length} rows, key has {key_length}")
    query_lengths: Lengths = query_length
    key_lengths: Lengths = key_length
    if q_lengths is not None:
        query_lengths = check_lengths("q_lengths", q_lengths, batch, query_length)
    if kv_lengths is not None:
        key_lengths = check_lengths("kv_lengths", kv_lengths, batch, key_length)
    offsets = offsets_of(align, query_lengths, key_lengths) if used else 0
    right = 0 if causal else right
    if q_lengths is None and kv_lengths is None and isinstance(offsets, int):
        return Positions(None, _near(offsets, left, right), _limit(left), _limit(right))
    return items_of(math.prod(batch), 0, query_lengths, 0, key_lengths, offsets, left, right)


def check_packed_positions(
    rows: NDArray[np.int64],
    keys: NDArray[np.int64],
    causal: Any,
    window: Any,
    align: Any,
    q_lengths: Any,
    kv_lengths: Any,
    alibi_slopes: Any,
) -> Positions:
    """The same for packed sequences, which start and end where `rows` and `keys` say."""
    shape = (rows.size - 1,)
    causal = flag("causal", causal)
    left, right = check_window(window)
    align = check_align(align, shape)
    used = what_uses_the_diagonal(causal, left, right, alibi_slopes)
    query_lengths = np.diff(rows)
    key_lengths = np.diff(keys)
    differ = query_lengths != key_lengths
    if used and align is None and differ.any():
        item = int(np.argmax(differ))
        where = f"sequence {item} has {query_lengths[item]} queries and {key_lengths[item]} keys"
        raise refuse_unaligned(used, where)
    if q_lengths is not None:
        query_lengths = check_lengths("q_lengths", q_lengths, shape, query_lengths)
    if kv_lengths is not None:
        key_lengths = check_lengths("kv_lengths", kv_lengths, shape, key_lengths)
    offsets = offsets_of(align, query_lengths, key_lengths) if used else 0
    right = 0 if causal else right
    return items_of(
        shape[0], rows[:-1], query_lengths, keys[:-1], key_lengths, offsets, left, right
    )


def items_of(
    count: int,
    first_rows: Lengths,
    query_lengths: Lengths,
    first_keys: Lengths,
    key_lengths: Lengths,
    offsets: Lengths | list[int],
    left: int | None,
    right: int | None,
) -> Positions:
    items = np.empty((count, 5), np.int64)
    items[:, 0] = first_rows
    items[:, 1] = query_lengths
    items[:, 2] = first_keys
    items[:, 3] = key_lengths
    if isinstance(offsets, (int, list)):
        numbers = offsets if isinstance(offsets, list) else [offsets]
        items[:, 4] = [_near(number, left, right) for number in numbers]
    else:
        items[:, 4] = offsets
    return Positions(items, 0, _limit(left), _limit(right))


def _limit(side: int | None) -> int:
    return -1 if side is None else min(side, _FAR)


def _near(offset: int, left: int | None, right: int | None) -> int:
    """An offset below 2**60 that lets the limited window see the same keys.

    Far beyond the keys only the window's edges matter, offset − left and offset + right: where a
    limit was shortened to _FAR, the edge on that side is kept and the other one stays far away.
    """
    if left is not None and left > _FAR and offset > _FAR // 2:
        return min(max(offset - left, -_FAR // 4), _FAR) + _FAR
    if right is not None and right > _FAR and offset < -_FAR // 2:
        return min(max(offset + right, -_FAR), _FAR // 4) - _FAR
    return min(max(offset, -2 * _FAR), 2 * _FAR)
