"""rotary_embedding: positions told by turning pairs of features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from heedful._checks import flag, integer_array, is_integer, named, positive
from heedful.functional._dtypes import FLOAT64, Array, as_array, computing_type
from heedful.functional._layout import check_layout

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from heedful.functional._options import LayoutName


def rotary_embedding(
    x: ArrayLike,
    positions: ArrayLike | int | None = None,
    *,
    base: float = 10000.0,
    rotary_dim: int | None = None,
    interleaved: bool = False,
    inverse: bool = False,
    layout: LayoutName = "bhld",
) -> Array:
    """Turns pairs of features by angles that grow with the position.

    ::

        angle[p, i] = p · base^(−2i / R)                        i = 0 … R/2 − 1, R = rotary_dim
        y[a] = x[a] · cos(angle) − x[b] · sin(angle)            (a, b) = (i, i + R/2)
        y[b] = x[b] · cos(angle) + x[a] · sin(angle)                     (2i, 2i + 1) if interleaved

    so that the product of a query and a key depends on the distance of their positions alone.

    Parameters
    ----------
    x : array_like, (B…, H, L, D), or (B…, L, H, D) with layout="blhd"
        Queries or keys. Two axes are (L, D).
    positions : int or array_like of int, optional
        An integer is the position of the first row; an array, (L,) or (B…, L), has every row's.
        None counts from 0.
    base : float, default 10000
    rotary_dim : int, optional
        How many of the D features are turned, the first ones; even. None is D.
    interleaved : bool, default False
        Whether a pair are neighbours, or stand half of the features apart as in LLaMA.
    inverse : bool, default False
        Turn back: the gradient of x is ``rotary_embedding(dy, …, inverse=True)``.
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
        Types that have no meaning here.

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
    x = as_array("x", x)
    if x.dtype.kind in "biu":
        x = x.astype(FLOAT64)
    length_first = check_layout(layout)
    if x.ndim < 2:
        raise ValueError(f"x must have positions and features as axes: got shape {x.shape}")
    by_heads = x.ndim > 2
    length = x.shape[-3 if length_first and by_heads else -2]
    turned = _check_rotary_dim(rotary_dim, x.shape[-1])
    cos, sin = _turns(_check_positions(positions, length), turned, positive("base", base))
    if flag("inverse", inverse):
        sin = -sin
    if by_heads:  # an axis for the heads, behind or before the positions
        axis = -2 if length_first else -3
        cos, sin = np.expand_dims(cos, axis), np.expand_dims(sin, axis)
    computing = computing_type(x.dtype)
    cos, sin = cos.astype(computing), sin.astype(computing)
    pairs = _pairs(turned, flag("interleaved", interleaved))
    first, second = (x[..., pair].astype(computing, copy=False) for pair in pairs)
    try:
        y = np.empty(np.broadcast_shapes(x.shape, (*cos.shape[:-1], x.shape[-1])), x.dtype)
    except ValueError:
        raise ValueError(
            f"positions must broadcast to the rows of x: got {cos.shape[:-1]} for {x.shape}"
        ) from None
    if y.shape != x.shape:
        raise ValueError(f"positions must not have more items than x: got {cos.shape[:-1]}")
    y[..., pairs[0]] = first * cos - second * sin
    y[..., pairs[1]] = second * cos + first * sin
    y[..., turned:] = x[..., turned:]
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
    if given is None or is_integer(given):
        return np.arange(length) + (0 if given is None else int(given))
    positions = integer_array("positions", given)
    if positions.ndim == 0:
        return np.arange(length) + int(positions)
    if positions.shape[-1] != length:
        raise ValueError(f"positions must end with {length} rows: got shape {positions.shape}")
    return positions


def _pairs(turned: int, interleaved: bool) -> tuple[slice, slice]:
    if interleaved:
        return slice(0, turned, 2), slice(1, turned, 2)
    return slice(0, turned // 2), slice(turned // 2, turned)


def _turns(positions: Array, turned: int, base: float) -> tuple[Array, Array]:
    """Cosines and sines, (…, L, R/2)."""
    frequency = base ** (-np.arange(0, turned, 2) / turned)
    angles = positions.astype(FLOAT64)[..., None] * frequency
    return np.cos(angles), np.sin(angles)
