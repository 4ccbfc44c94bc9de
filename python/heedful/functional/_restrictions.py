"""Arrays that change or hide scores: mask, bias, ALiBi slopes, sink."""

import numpy as np
from numpy.typing import NDArray

from heedful.functional._dtypes import FLOAT64, Array, DType, floating_type, is_floating
from heedful.functional._layout import Shape
from heedful.functional._shapes import Axes, broadcasts


def _check_broadcasts(name: str, array: Array, scores: Shape, hint: str = "") -> None:
    if not broadcasts(array.shape, scores):
        raise ValueError(
            f"{name} must broadcast to the scores' shape {scores}: got shape {array.shape}{hint}"
        )


def check_mask(mask: Array, axes: Axes) -> None:
    """Boolean, True where a query may attend."""
    if mask.dtype != np.bool_:
        raise TypeError(
            "mask must be boolean, True where a query may attend; "
            f"numbers to be added to the scores belong in bias: got type {mask.dtype}"
        )
    of_keys = len(axes.scores) == 4 and mask.shape == (axes.scores[0], axes.scores[-1])
    hint = "; for padding (B, Lk) write mask[:, None, None, :] or give kv_lengths"
    _check_broadcasts("mask", mask, axes.scores, hint if of_keys else "")


def mask_or_bias(name: str, given: Array) -> tuple[Array | None, Array | None]:
    """(mask, bias): a boolean array hides keys, a floating one is added to the scores."""
    if given.dtype == np.bool_:
        return given, None
    if not is_floating(given.dtype):
        raise TypeError(f"{name} must be boolean or floating: got type {given.dtype}")
    return None, given


def check_bias(bias: Array, axes: Axes) -> DType:
    """The floating type that it is read in."""
    dtype = floating_type("bias", bias)
    _check_broadcasts("bias", bias, axes.scores)
    return dtype


def check_alibi_slopes(slopes: Array, heads: int, batch: Shape) -> NDArray[np.float64]:
    """(1 or B, H), of any real type."""
    if slopes.dtype.kind not in "iu":
        floating_type("alibi_slopes", slopes)
    if slopes.shape not in ((heads,), (*batch, heads)):
        choice = f"({heads},) or {(*batch, heads)}" if batch else f"({heads},)"
        raise ValueError(f"alibi_slopes must have shape {choice}: got {slopes.shape}")
    slopes = np.require(slopes, FLOAT64, ["C", "ALIGNED"])
    if not np.logical_and.reduce(np.isfinite(slopes), axis=None):
        raise ValueError("alibi_slopes must be finite: got NaN or infinity")
    return slopes.reshape(-1, heads) if heads else np.empty((1, 0))


def check_sink(sink: Array, axes: Axes) -> None:
    floating_type("sink", sink)
    if sink.shape != (axes.heads,):
        raise ValueError(
            f"sink must have shape {(axes.heads,)}, one element per head: got {sink.shape}"
        )
