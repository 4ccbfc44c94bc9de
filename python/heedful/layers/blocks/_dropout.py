"""Dropout: elements set to zero at random in training."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from heedful._checks import probability
from heedful._core import native
from heedful._core._memory import empty
from heedful.base._mode import Mode
from heedful.base._sums import plus
from heedful.base._types import Array, Backward
from heedful.layers._typed import Stateless


class Dropout(Stateless):
    """In training each element is 0 with probability `rate`, the others are divided by 1 − rate.

    In inference it is the identity. Which elements are dropped depends only on a seed, drawn once
    per call, and on their positions: the backward pass drops the same ones, and no mask is stored.

    Parameters
    ----------
    rate : float, default 0.5
    dtype : {float32, float64}, optional
        None is the floating type of x.

    Notes
    -----
    In inference y is x itself without a copy, as in PyTorch, if x is an array of this type.
    Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html. Named ``nn.Dropout`` in
    PyTorch.
    Computes in `dtype`, or in the floating type of x: float32 for 16 bits, float64 for integers;
    threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import Dropout
    >>> layer = Dropout(0.5)
    >>> layer(np.ones(4))
    array([1., 1., 1., 1.])
    >>> y, backward = layer.forward(np.ones(4), rng=0)
    >>> bool(np.isin(y, (0, 2)).all())
    True
    """

    def __init__(self, rate: float = 0.5, *, dtype: DTypeLike | None = None) -> None:
        super().__init__(dtype)
        self.rate: float = probability("rate", rate)

    def compute(
        self, mode: Mode, x: Any, residual: Array | None = None, *, in_place: bool = False
    ) -> tuple[Array, Backward]:
        """x (…) → y, of the same shape; `residual` is added to y.

        `in_place` overwrites x, and as an argument of the backward function its gradient; nothing
        else may need them.
        """
        x = self.array("x", x)
        if residual is not None:
            residual = np.asarray(self.array("residual", residual), x.dtype)
            if residual.shape != x.shape:
                raise ValueError(f"residual must have shape {x.shape}: got {residual.shape}")
        shape, dtype = x.shape, x.dtype
        if not mode.training or not self.rate:

            def same(dy: Any, *, in_place: bool = False) -> Array:
                return self.gradient(dy, shape, dtype)

            return x if residual is None else plus(x, residual), same
        seed = mode.seed()

        def drop(array: Array, residual: Array | None, in_place: bool) -> Array:
            array = np.asarray(array, order="C")
            dropped = array if in_place else empty(array.shape, array.dtype)
            added = None if residual is None else np.asarray(residual, order="C")
            native.dropout(array, added, dropped, self.rate, seed)
            return dropped

        def backward(dy: Any, *, in_place: bool = False) -> Array:
            return drop(self.gradient(dy, shape, dtype), None, in_place)

        return drop(x, residual, in_place), backward

    def ends_in(self, before: str | None) -> str | None:
        return before

    def extra_repr(self) -> str:
        return f"{self.rate:g}"
