"""Attention whose queries and keys are cut into pieces: which options belong to a pair of them.

Each pair of a piece of the queries and one of the keys is one call. Outputs of the same queries are
merged by their log-sum-exps; gradients, formed with the merged ones, add up. Numbers that
several pieces add to are kept in float32 where the inputs have 16 bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import heedful
from heedful._checks import flag, integer_array, is_integer, named, one_of

if TYPE_CHECKING:
    from heedful.functional._option_types import LayoutName

Array = np.ndarray[Any, Any]
_FLOATING = ("float32", "float64", "float16", "bfloat16")
Span = tuple[int, int]  # [first, last) of the queries or of the keys


class PiecedCall(NamedTuple):
    """A checked call; query and key lengths are those of all pieces together."""

    query_length: int
    key_length: int
    out_shape: tuple[int, ...]
    lse_shape: tuple[int, ...]
    dtype: np.dtype[Any]
    computing: np.dtype[Any]
    layout: LayoutName
    offset: int | Array | None  # None: no option depends on the positions of the queries
    left: int | None  # the limits of causal and window
    right: int | None
    q_lengths: Array | None
    kv_lengths: Array | None
    options: dict[str, Any]  # the same for all pieces
    sink: Array | None

    def sees(self, rows: Span, keys: Span) -> bool:
        """Whether any query of one piece may see any key of the other, masks aside."""
        if rows[0] >= rows[1] or keys[0] >= keys[1]:
            return False
        for lengths, (first, _) in ((self.q_lengths, rows), (self.kv_lengths, keys)):
            if lengths is not None and not (lengths > first).any():
                return False
        if self.offset is None or np.size(self.offset) == 0:
            return True
        lowest, highest = rows[0] + np.min(self.offset), rows[1] - 1 + np.max(self.offset)
        too_late = self.right is not None and keys[0] > highest + self.right
        too_early = self.left is not None and keys[1] - 1 < lowest - self.left
        return not (too_late or too_early)

    def of(self, rows: Span, keys: Span, sink: bool) -> dict[str, Any]:
        """The options of the call of one pair; the sink belongs to one piece of the keys."""
        found = dict(self.options)
        if self.offset is not None:
            found["align"] = self.offset + (rows[0] - keys[0])
        for name, lengths, span in (
            ("q_lengths", self.q_lengths, rows),
            ("kv_lengths", self.kv_lengths, keys),
        ):
            if lengths is not None:
                found[name] = np.clip(lengths - span[0], 0, span[1] - span[0])
        if sink and self.sink is not None:
            found["sink"] = self.sink
        return found


def check_pieces(
    query: Any,
    key: Any,
    value: Any,
    lengths: tuple[int, int],
    *,
    causal: Any,
    window: Any,
    align: Any,
    q_lengths: Any,
    kv_lengths: Any,
    scale: Any,
    softcap: Any,
    alibi_slopes: Any,
    sink: Any,
    layout: Any,
) -> PiecedCall:
    """Check what does not depend on the pieces, from shapes and types alone.

    query, key and value need a shape and a type only; `lengths` are those of all queries and keys.
    """
    for name, array in (("query", query), ("key", key), ("value", value)):
        if len(array.shape) < 2:
            raise ValueError(f"{name} must have two axes at least: got shape {array.shape}")
    one_of("layout", layout, ("bhld", "blhd"))
    axes = [length_axis(len(array.shape), layout) for array in (query, key, value)]
    if key.shape[axes[1]] != value.shape[axes[2]]:
        raise ValueError(
            "value and key must have the same length: "
            f"key has {key.shape[axes[1]]}, value has {value.shape[axes[2]]}"
        )
    causal = flag("causal", causal)
    options = {"causal": causal, "window": window, "scale": scale, "softcap": softcap,
               "alibi_slopes": alibi_slopes, "layout": layout}  # fmt: skip
    # a call without queries and keys checks heads, depths, types and options, and computes nothing
    empty = [
        np.empty([0 if n == axis else size for n, size in enumerate(array.shape)], array.dtype)
        for array, axis in zip((query, key, value), axes, strict=True)
    ]
    out, lse = heedful.attention(*empty, align=0, sink=sink, return_lse=True, **options)
    out_shape = list(out.shape)
    out_shape[length_axis(out.ndim, layout)] = query.shape[axes[0]]
    batch = lse.shape[:-2]
    q_lengths = _lengths("q_lengths", q_lengths, batch, lengths[0])
    kv_lengths = _lengths("kv_lengths", kv_lengths, batch, lengths[1])
    left, right = (None, None) if window is None else window
    return PiecedCall(
        *lengths, tuple(out_shape), (*lse.shape[:-1], query.shape[axes[0]]), out.dtype, lse.dtype,
        layout,
        _offset(align, lengths, batch, q_lengths, kv_lengths)
        if causal or window is not None or alibi_slopes is not None else None,
        left, min(0 if right is None else right, 0) if causal else right,
        q_lengths, kv_lengths, options, None if sink is None else np.asarray(sink),
    )  # fmt: skip


def check_scores(name: str, array: Any, call: PiecedCall) -> None:
    """A mask is boolean, a bias floating; both broadcast to (B…, H, Lq, Lk)."""
    scores = (*call.lse_shape, call.key_length)
    if name == "mask" and array.dtype != np.bool_:
        raise TypeError(
            "mask must be boolean, True where a query may attend; "
            f"numbers to be added to the scores belong in bias: got type {array.dtype}"
        )
    if name == "bias" and array.dtype.name not in _FLOATING:
        raise TypeError(f"bias must be of type {', '.join(_FLOATING)}: got type {array.dtype}")
    try:
        fits = np.broadcast_shapes(array.shape, scores) == scores
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"{name} must broadcast to the scores' shape {scores}: got shape {array.shape}"
        )


def length_axis(axes: int, layout: str) -> int:
    """That of the queries or keys in an array of so many axes, counted from the first."""
    return axes - (3 if layout == "blhd" and axes > 2 else 2)


def gradient_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """That of the input, float64 for integers."""
    return np.dtype(np.float64) if dtype.kind in "iub" else dtype


def forward(
    computing: np.dtype[Any], query: Any, key: Any, value: Any, **options: Any
) -> tuple[Array, Array]:
    """(out, lse) of one pair, out in the type that is computed in."""
    query = np.asarray(query).astype(computing, copy=False)
    found: tuple[Array, Array] = heedful.attention(query, key, value, return_lse=True, **options)
    return found


def backward(
    computing: np.dtype[Any], dout: Any, query: Any, key: Any, value: Any, out: Any, lse: Any,
    **options: Any,
) -> heedful.Gradients:  # fmt: skip
    """What one pair adds to the gradients, in the type that is computed in."""
    dout, query, key, value = (
        np.asarray(array).astype(computing, copy=False) for array in (dout, query, key, value)
    )
    if options.get("bias") is not None:
        options["bias"] = np.asarray(options["bias"]).astype(computing, copy=False)
    return heedful.attention_backward(dout, query, key, value, out, lse, **options)


def narrowed(array: Array, dtype: np.dtype[Any]) -> Array:
    """The sum of all pieces in the type of the result."""
    with np.errstate(all="ignore"):
        return array.astype(dtype, copy=False)


def _lengths(name: str, given: Any, batch: tuple[int, ...], limit: int) -> Array | None:
    if given is None:
        return None
    lengths = integer_array(name, given)
    if lengths.shape != batch:
        raise ValueError(f"{name} must have shape {batch}, that of the leading axes: "
                         f"got shape {lengths.shape}")  # fmt: skip
    wrong = lengths[(lengths < 0) | (lengths > limit)]
    if wrong.size:
        raise ValueError(f"{name} must lie between 0 and {limit}: got {int(wrong.flat[0])}")
    return lengths.astype(np.int64)


def _offset(
    align: Any, lengths: tuple[int, int], batch: tuple[int, ...],
    q_lengths: Array | None, kv_lengths: Array | None,
) -> int | Array:  # fmt: skip
    """The number of keys before the first query, for all items or for each."""
    if align is None:
        if lengths[0] != lengths[1]:
            raise ValueError(
                "align must be 'upper_left' or 'lower_right', or the number of keys before the "
                f"first query, where their lengths differ: got {lengths[0]} queries and "
                f"{lengths[1]} keys"
            )
        return 0
    if isinstance(align, str):
        if one_of("align", align, ("upper_left", "lower_right")) == "upper_left":
            return 0
        rows = lengths[0] if q_lengths is None else q_lengths
        return (lengths[1] if kv_lengths is None else kv_lengths) - rows
    if is_integer(align):
        return int(align)
    offsets = integer_array("align", align)
    if offsets.shape not in ((), batch):
        raise ValueError(f"align must have shape {batch}, that of the leading axes: "
                         f"got {named(offsets)}")  # fmt: skip
    return offsets.astype(np.int64)
