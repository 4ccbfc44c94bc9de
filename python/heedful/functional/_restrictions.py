"""What is added to the scores or hides them: mask, bias, ALiBi slopes, sink."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heedful.functional._dtypes import FLOAT64, Array, as_array, floating
from heedful.functional._layout import Shape
from heedful.functional._shapes import broadcasts


def _check_broadcasts(name: str, array: Array, scores: Shape) -> Array:
    """A view with three axes at least."""
    if not broadcasts(array.shape, scores):
        raise ValueError(
            f"{name} must broadcast to the scores' shape {scores}: got shape {array.shape}"
        )
    return array[(np.newaxis,) * (3 - array.ndim)] if array.ndim < 3 else array


def check_mask(mask: ArrayLike, scores: Shape) -> NDArray[np.bool_]:
    """Boolean, True where a query may attend."""
    array = as_array("mask", mask)
    if array.dtype != np.bool_:
        raise TypeError(
            "mask must be boolean, True where a query may attend; "
            f"numbers to be added to the scores belong into bias: got type {array.dtype}"
        )
    return _check_broadcasts("mask", array, scores)


def check_bias(bias: ArrayLike, scores: Shape) -> tuple[Array, Array]:
    """As it was given, and as it is read: floating, with three axes at least."""
    given = as_array("bias", bias)
    return given, _check_broadcasts("bias", floating("bias", given), scores)


def check_alibi_slopes(slopes: ArrayLike, heads: int, batch: Shape) -> NDArray[np.float64]:
    """(1 or B, H), of any real type."""
    array = as_array("alibi_slopes", slopes)
    if array.dtype.kind not in "iu":
        array = floating("alibi_slopes", array)
    if array.shape not in ((heads,), (*batch, heads)):
        choice = f"({heads},) or {(*batch, heads)}" if batch else f"({heads},)"
        raise ValueError(f"alibi_slopes must have shape {choice}: got {array.shape}")
    array = np.ascontiguousarray(array, FLOAT64)
    if not np.isfinite(array).all():
        raise ValueError("alibi_slopes must be finite: got NaN or infinity")
    return array.reshape(-1, heads) if heads else np.empty((1, 0))


def check_sink(sink: ArrayLike, heads: int) -> tuple[Array, NDArray[np.float64]]:
    """As it was given, and as it is read."""
    given = as_array("sink", sink)
    array = floating("sink", given)
    if array.shape != (heads,):
        raise ValueError(f"sink must have shape {(heads,)}, one number a head: got {array.shape}")
    return given, np.ascontiguousarray(array, FLOAT64)
