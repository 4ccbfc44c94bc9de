"""Pooling and flattening: from the positions of a sequence to one vector."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from heedful._checks import as_array
from heedful.base._mode import Mode
from heedful.base._types import Array, Backward
from heedful.layers._typed import Stateless


class GlobalAveragePooling(Stateless):
    """y = mean of x over its positions, or over those where `mask` is True.

    Parameters
    ----------
    dtype : {float32, float64}, optional
        None is the floating type of x.

    Notes
    -----
    Computes in `dtype`, or in the floating type of x: float32 for 16 bits, float64 for integers;
    threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> from heedful.layers import GlobalAveragePooling
    >>> GlobalAveragePooling()([[[1.0], [3.0], [8.0]]], mask=[[True, True, False]])
    array([[2.]])
    """

    def __init__(self, *, dtype: DTypeLike | None = None) -> None:
        super().__init__(dtype)

    def compute(self, mode: Mode, x: Any, mask: Any = None) -> tuple[Array, Backward]:
        """x (…, L, E), mask (…, L) of bool → y (…, E); 0 if all positions are masked."""
        x = self.array("x", x)
        if x.ndim < 2:
            raise ValueError(f"x must have positions and features as axes: got shape {x.shape}")
        if mask is None:
            factors = np.full((*x.shape[:-1], 1), 1 / max(x.shape[-2], 1), x.dtype)
            y = _mean(x, max(x.shape[-2], 1))
        else:
            kept = as_array("mask", mask)
            if kept.dtype != np.bool_ or kept.shape != x.shape[:-1]:
                kind = TypeError if kept.dtype != np.bool_ else ValueError
                raise kind(
                    f"mask must be boolean with shape {x.shape[:-1]}: "
                    f"got {kept.dtype} with shape {kept.shape}"
                )
            count = np.maximum(kept.sum(-1, keepdims=True, dtype=x.dtype), 1)
            factors = (kept / count)[..., None].astype(x.dtype)
            y = _mean(np.where(kept[..., None], x, x.dtype.type(0)), count)

        @np.errstate(all="ignore")
        def backward(dy: Any) -> Array:
            dx: Array = factors * self.gradient(dy, y.shape, y.dtype)[..., None, :]
            return dx

        return y, backward

    def ends_in(self, before: str | None) -> str | None:
        return before


@np.errstate(all="ignore")
def _mean(x: Array, count: Array | int) -> Array:
    """Σ x / count over the positions; finite for finite x, even if the sum overflows."""
    y: Array = (x.sum(-2) / count).astype(x.dtype, copy=False)
    if not np.isfinite(y).all():
        shrink = x.dtype.type(2.0**-64)
        scaled: Array = (x * shrink).sum(-2) / count / shrink
        largest = x.dtype.type(np.finfo(x.dtype).max)
        over = np.isinf(scaled) & ~np.isinf(x).any(-2)  # by rounding
        y = np.where(np.isfinite(y), y, np.where(over, np.copysign(largest, scaled), scaled))
    return y


class Flatten(Stateless):
    """All axes but the first as one; y is a view of x if its strides allow it, as in NumPy.

    Parameters
    ----------
    dtype : {float32, float64}, optional
        None is the floating type of x.

    Notes
    -----
    Computes in `dtype`, or in the floating type of x: float32 for 16 bits, float64 for integers;
    threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import Flatten
    >>> Flatten()(np.ones((2, 3, 4))).shape
    (2, 12)
    """

    def __init__(self, *, dtype: DTypeLike | None = None) -> None:
        super().__init__(dtype)

    def compute(self, mode: Mode, x: Any) -> tuple[Array, Backward]:
        """x (N, …) → y (N, elements of an item)."""
        x = self.array("x", x)
        if x.ndim == 0:
            raise ValueError("x must have one axis at least: got a single number")
        width = int(np.prod(x.shape[1:]))
        y = x.reshape(len(x), width)
        return y, lambda dy: self.gradient(dy, y.shape, y.dtype).reshape(x.shape)

    def ends_in(self, before: str | None) -> str | None:
        return before
