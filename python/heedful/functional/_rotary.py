"""rotary_embedding: position encoding by rotating pairs of features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from heedful._checks import flag, is_integer, named, numbers, positive
from heedful._checks import positions as checked_positions
from heedful._core import native
from heedful.functional._dtypes import (
    FLOAT64,
    Array,
    DType,
    accepted_type,
    as_array,
    computing_type,
    converted,
)
from heedful.functional._layout import check_layout
from heedful.functional._options import unexpected
from heedful.functional._shapes import broadcast

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from typing_extensions import Never

    from heedful.functional._option_types import LayoutName


def rotary_embedding(
    x: ArrayLike,
    positions: ArrayLike | int | None = None,
    *,
    base: float = 10000.0,
    rotary_dim: int | None = None,
    frequencies: ArrayLike | None = None,
    amplitude: float = 1.0,
    interleaved: bool = False,
    inverse: bool = False,
    layout: LayoutName = "bhld",
    **foreign: Never,
) -> Array:
    """Rotate pairs of features by angles that grow with the position.

    ::

        angle[p, i] = p · base^(−2i / R)                        i = 0 … R/2 − 1, R = rotary_dim
        y[a] = x[a] · cos(angle) − x[b] · sin(angle)            (a, b) = (i, i + R/2)
        y[b] = x[b] · cos(angle) + x[a] · sin(angle)                     (2i, 2i + 1) if interleaved

    so that the dot product of a query and a key depends on their distance alone. Rotated features
    are multiplied by `amplitude`.

    Parameters
    ----------
    x : array_like, (B…, H, L, D), or (B…, L, H, D) with layout="blhd"
        Queries or keys. Two axes are (L, D).
    positions : int or array_like of int, optional
        An integer is the position of the first row; an array, (L,) or (B…, L), that of every row,
        within ±2**53. None counts from 0.
    base : float, default 10000
        The angles must be finite.
    rotary_dim : int, optional
        How many of the D features are rotated, counted from the first; even. None is D.
    frequencies : array_like, (R / 2,), optional
        Instead of `base`: angle[p, i] = p · frequencies[i], as rules for long texts have it, see
        :class:`heedful.layers.RotaryAngles`. Finite.
    amplitude : float, default 1
        Positive.
    interleaved : bool, default False
        Whether the features of a pair are neighbours, or R / 2 apart as in LLaMA.
    inverse : bool, default False
        Rotate back: the gradient of x is ``rotary_embedding(dy, …, inverse=True)``, with the same
        amplitude.
    layout : {"bhld", "blhd"}

    Returns
    -------
    y : numpy.ndarray, of the shape of x
        In the type of x; integers become float64.

    Raises
    ------
    ValueError
        Shapes that do not fit, an odd number of features.
    TypeError
        Types that are not supported.

    Notes
    -----
    Su et al. 2021, https://arxiv.org/abs/2104.09864. Angles are computed in float64.

    Examples
    --------
    >>> import numpy as np
    >>> import heedful
    >>> heedful.rotary_embedding(np.array([[1.0, 0.0], [1.0, 0.0]])).round(3)
    array([[1.   , 0.   ],
           [0.54 , 0.841]])
    """
    if foreign:
        raise unexpected(rotary_embedding, foreign)
    x = as_array("x", x)
    dtype = accepted_type("x", x)
    x = converted(x, dtype)
    length_first = check_layout(layout)
    if x.ndim < 2:
        raise ValueError(f"x must have positions and features as axes: got shape {x.shape}")
    length = x.shape[-3 if length_first and x.ndim > 2 else -2]
    rotated = _check_rotary_dim(rotary_dim, x.shape[-1])
    of_rows = _check_positions(positions, length)
    _check_items(of_rows.shape, x.shape, length_first)
    speeds = _check_frequencies(frequencies, rotated, positive("base", base))
    if not _are_finite(of_rows, speeds):
        what, shown = ("base", base) if frequencies is None else ("frequencies", named(frequencies))
        raise ValueError(f"{what} must keep the angles finite: got {shown}")
    cos, sin = _cos_sin(of_rows, speeds, positive("amplitude", amplitude), computing_type(dtype))
    if flag("inverse", inverse):
        np.negative(sin, out=sin)
    y = np.empty(x.shape, dtype)
    native.rotary(x, y, cos, sin, x.shape[:-3], length_first, flag("interleaved", interleaved))
    return y


def _check_rotary_dim(given: Any, depth: int) -> int:
    if given is None:
        given = depth
    if not is_integer(given):
        raise TypeError(f"rotary_dim must be an integer: got {named(given)}")
    if given % 2 or not 0 < given <= depth:
        raise ValueError(f"rotary_dim must be even and at most the depth {depth}: got {given}")
    return int(given)


def _check_positions(given: Any, length: int) -> Array:
    if given is None:
        return np.arange(length)
    found = checked_positions("positions", given)
    if found.ndim and found.shape[-1] != length:
        raise ValueError(f"positions must end with {length} rows: got shape {found.shape}")
    return found if found.ndim else found + np.arange(length)


def _check_items(positions: tuple[int, ...], shape: tuple[int, ...], length_first: bool) -> None:
    """Positions (…, L) fit to x."""
    rows = positions
    if len(shape) > 2:  # an axis for the heads, after or before the rows
        rows = (*positions, 1) if length_first else (*positions[:-1], 1, positions[-1])
    together = broadcast(shape[:-1], rows)
    if together is None:
        raise ValueError(f"positions must broadcast to the rows of x: got {rows} for {shape}")
    if together != shape[:-1]:
        raise ValueError(f"positions must not have more items than x: got {rows}")


def _check_frequencies(given: Any, rotated: int, base: float) -> Array:
    """The angle of each pair at position 1, (R/2,)."""
    if given is None:
        with np.errstate(all="ignore"):
            geometric: Array = base ** (-np.arange(0, rotated, 2) / rotated)
        return geometric
    found = numbers("frequencies", given).astype(FLOAT64)
    if found.shape != (rotated // 2,):
        raise ValueError(
            f"frequencies must have shape ({rotated // 2},), half of rotary_dim: got {found.shape}"
        )
    return found


@np.errstate(all="ignore")
def _are_finite(positions: Array, frequencies: Array) -> bool:
    farthest = float(np.abs(positions).max(initial=0))
    return bool(np.isfinite(np.abs(frequencies).max(initial=0) * max(farthest, 1.0)))


@np.errstate(all="ignore")
def _cos_sin(
    positions: Array, frequencies: Array, amplitude: float, dtype: DType
) -> tuple[Array, Array]:
    """Cosines and sines, (…, L, R/2), times the amplitude."""
    angles = positions.astype(FLOAT64)[..., None] * frequencies
    cos, sin = np.cos(angles), np.sin(angles)
    if amplitude != 1:
        cos, sin = amplitude * cos, amplitude * sin
    return cos.astype(dtype, copy=False), sin.astype(dtype, copy=False)
