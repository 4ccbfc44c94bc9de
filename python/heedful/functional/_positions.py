"""The rows and keys of an item, and the positions of its queries: lengths, diagonal, window.

Query row i has key position p = i + offset.
With a window (left, right) it sees the keys p − left ≤ j ≤ p + right.
"""

import math
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from heedful._checks import flag, integer_array, is_integer, named
from heedful._core import native
from heedful.functional._shapes import Axes

ALIGNMENTS = ("upper_left", "lower_right")
_READ_DIRECTLY = (type(None), list, np.ndarray)  # lengths, by the compiled function
_LEADING, _SEQUENCES = "that of the leading axes", "one for each sequence"
_ONE_ITEM = "; three axes are (H, L, D), a batch without heads is x[:, None]"
_MAX_DISTANCE = 2**58  # beyond every key, and sums of a few of them fit into 64 bits

Lengths = int | NDArray[np.int64]  # one number for all items, or one for each


Items: TypeAlias = NDArray[np.int64]  # (B, 5), see the stub of the compiled functions


class Diagonal(NamedTuple):
    """Causal, window, exclude_self and align, before any length is known."""

    used: str  # the first argument that depends on the positions of the queries, or ""
    align: str | int | NDArray[Any] | None
    left: int | None
    right: int | None

    @property
    def by_item(self) -> bool:
        return isinstance(self.align, np.ndarray)

    @property
    def limits(self) -> tuple[int, int]:
        """left and right as the compiled functions read them, −1: no limit."""
        return _limit(self.left), _limit(self.right)


def check_lengths(
    name: str,
    given: Any,
    shape: tuple[int, ...],
    limit: Lengths,
    of: str = _LEADING,
    hint: str = "",
) -> NDArray[np.int64]:
    """A checked copy, flattened: one length for each item, none beyond its array.

    `hint`: what to add where there are no leading axes.
    """
    lengths = integer_array(name, given)
    if lengths.shape != shape:
        wanted = f"shape {shape}, {of}" if shape else f"no axes: a single number{hint}"
        raise ValueError(f"{name} must have {wanted}: got shape {lengths.shape}")
    lengths = lengths.ravel()
    wrong = (lengths < 0) | (lengths > limit)
    if wrong.any():
        item = int(np.argmax(wrong))
        maximum = limit if isinstance(limit, int) else int(limit[item])
        raise ValueError(
            f"{name} must lie between 0 and {maximum}: got {int(lengths[item])} for item {item}"
        )
    return lengths.astype(np.int64)


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


def check_align(align: Any) -> str | int | NDArray[Any] | None:
    """A name, an offset for all, or offsets whose shape has yet to be checked."""
    if align is None:
        return None
    if isinstance(align, str):
        if align in ALIGNMENTS:
            return align
        raise ValueError(
            f"align must be 'upper_left', 'lower_right' or integers: got {named(align)}"
        )
    offsets = integer_array("align", align)
    return int(offsets[()]) if offsets.ndim == 0 else offsets


def offsets_of(
    diagonal: Diagonal,
    shape: tuple[int, ...],
    query_lengths: Lengths,
    key_lengths: Lengths,
    of: str = _LEADING,
) -> Lengths | list[int]:
    """One for all items, or one for each."""
    align = diagonal.align
    if isinstance(align, np.ndarray):
        if align.shape != shape:
            raise ValueError(
                f"align must be a single integer or have shape {shape}, {of}: "
                f"got shape {align.shape}"
            )
        offsets = [int(offset) for offset in align.ravel()]
        return offsets if diagonal.used else 0
    if not diagonal.used or align is None:
        return 0
    if isinstance(align, str):
        return key_lengths - query_lengths if align == "lower_right" else 0
    return align


def unaligned_error(used: str, where: str) -> ValueError:
    return ValueError(
        f"align must be given where query and key differ in length and {used} is used, "
        "'upper_left' puts the first query at the first key, 'lower_right' the last at the last: "
        f"got None, {where}"
    )


def first_use_of_diagonal(
    causal: bool, left: int | None, right: int | None, exclude_self: bool, alibi: bool
) -> str:
    if causal:
        return "causal"
    if left is not None or right is not None:
        return "window"
    if exclude_self:
        return "exclude_self"
    return "alibi_slopes" if alibi else ""


def check_diagonal(
    causal: Any, window: Any, exclude_self: Any, align: Any, alibi: bool
) -> Diagonal:
    causal = flag("causal", causal)
    left, right = check_window(window)
    exclude_self = flag("exclude_self", exclude_self)
    used = first_use_of_diagonal(causal, left, right, exclude_self, alibi)
    return Diagonal(used, check_align(align), left, 0 if causal else right)


def check_offset(diagonal: Diagonal, query_length: int, key_length: int) -> int:
    """The offset of the queries if no item has lengths or an offset of its own."""
    used, align, left, right = diagonal
    if used and align is None and query_length != key_length:
        raise unaligned_error(used, f"query has {query_length} rows, key has {key_length}")
    offset = 0
    if not diagonal.by_item:
        offset = int(offsets_of(diagonal, (), query_length, key_length))  # type: ignore[arg-type]
    return _clamped_offset(offset, left, right)


def check_items(
    diagonal: Diagonal, axes: Axes, offset: int, q_lengths: Any, kv_lengths: Any
) -> Items:
    """Rows, keys and diagonal of every item, for arrays that are not packed."""
    batch, query_length, key_length = axes.batch, axes.query_length, axes.key_length
    count = math.prod(batch)
    # a subclass of an array may mean more than its elements, as a masked array does
    plain = type(q_lengths) in _READ_DIRECTLY and type(kv_lengths) in _READ_DIRECTLY
    if plain and not diagonal.by_item:
        items = np.empty((count, 5), np.int64)
        lower_right = diagonal.align == "lower_right" and diagonal.used != ""
        if native.fill_items(
            items, len(batch), q_lengths, kv_lengths, query_length, key_length, lower_right, offset
        ):
            return items
    # rare arguments, and those that must be refused
    hint = _ONE_ITEM if axes.layout == (3, False) else ""
    query_lengths: Lengths = query_length
    key_lengths: Lengths = key_length
    if q_lengths is not None:
        query_lengths = check_lengths("q_lengths", q_lengths, batch, query_length, hint=hint)
    if kv_lengths is not None:
        key_lengths = check_lengths("kv_lengths", kv_lengths, batch, key_length, hint=hint)
    offsets = offsets_of(diagonal, batch, query_lengths, key_lengths)
    return items_of(count, 0, query_lengths, 0, key_lengths, offsets, diagonal.left, diagonal.right)


def check_packed_items(
    diagonal: Diagonal,
    rows: NDArray[np.int64],
    keys: NDArray[np.int64],
    q_lengths: Any,
    kv_lengths: Any,
) -> Items:
    """The same for packed sequences, with `rows` and `keys` as their cumulative lengths."""
    used, align, left, right = diagonal
    shape = (rows.size - 1,)
    query_lengths = np.diff(rows)
    key_lengths = np.diff(keys)
    differ = query_lengths != key_lengths
    if used and align is None and differ.any():
        item = int(np.argmax(differ))
        where = f"sequence {item} has {query_lengths[item]} queries and {key_lengths[item]} keys"
        raise unaligned_error(used, where)
    if q_lengths is not None:
        query_lengths = check_lengths("q_lengths", q_lengths, shape, query_lengths, _SEQUENCES)
    if kv_lengths is not None:
        key_lengths = check_lengths("kv_lengths", kv_lengths, shape, key_lengths, _SEQUENCES)
    offsets = offsets_of(diagonal, shape, query_lengths, key_lengths, _SEQUENCES)
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
) -> Items:
    items = np.empty((count, 5), np.int64)
    items[:, 0] = first_rows
    items[:, 1] = query_lengths
    items[:, 2] = first_keys
    items[:, 3] = key_lengths
    if isinstance(offsets, (int, list)):
        each = offsets if isinstance(offsets, list) else [offsets]
        items[:, 4] = [_clamped_offset(offset, left, right) for offset in each]
    else:
        items[:, 4] = offsets
    return items


def _limit(side: int | None) -> int:
    return -1 if side is None else min(side, _MAX_DISTANCE)


def _clamped_offset(offset: int, left: int | None, right: int | None) -> int:
    """An offset below 2**60 with which the clamped window holds the same keys.

    Far beyond the keys only the window's edges matter, offset − left and offset + right: where a
    limit was clamped to _MAX_DISTANCE, the edge on that side is kept and the other one stays far
    away.
    """
    if left is not None and left > _MAX_DISTANCE and offset > _MAX_DISTANCE // 2:
        return min(max(offset - left, -_MAX_DISTANCE // 4), _MAX_DISTANCE) + _MAX_DISTANCE
    if right is not None and right > _MAX_DISTANCE and offset < -_MAX_DISTANCE // 2:
        return min(max(offset + right, -_MAX_DISTANCE), _MAX_DISTANCE // 4) - _MAX_DISTANCE
    return min(max(offset, -2 * _MAX_DISTANCE), 2 * _MAX_DISTANCE)
