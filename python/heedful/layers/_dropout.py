"""Dropout: numbers set to zero at random while a model is trained."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from heedful._checks import probability
from heedful.layers._mode import Mode
from heedful.layers._typed import Typed
from heedful.layers._types import Array, Backward


class Dropout(Typed):
    """In training each number is 0 with probability `rate`, the others are divided by 1 − rate.

    In inference nothing happens.

    Notes
    -----
    Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html. Named ``nn.Dropout`` in
    PyTorch.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import Dropout
    >>> layer = Dropout(0.5)
    >>> layer(np.ones(4))
    array([1., 1., 1., 1.], dtype=float32)
    >>> y, backward = layer.forward(np.ones(4), rng=0)
    >>> bool(np.isin(y, (0, 2)).all())
    True
    """

    def __init__(self, rate: float = 0.5, *, dtype: DTypeLike = np.float32) -> None:
        super().__init__(dtype)
        self.rate = probability("rate", rate)

    def compute(self, mode: Mode, x: Any) -> tuple[Array, Backward]:
        """x (…) → y, of the same shape."""
        x = self.array("x", x)
        if not mode.training or not self.rate:
            return x, lambda dy: dy
        assert mode.rng is not None
        kept = mode.rng.random(x.shape, np.float32) >= self.rate
        factor = self.dtype.type(1 / (1 - self.rate) if self.rate < 1 else 0)

        def drop(array: Any) -> Array:
            dropped: Array = np.multiply(array, factor)
            dropped *= kept
            return dropped

        return drop(x), lambda dy: drop(self.gradient(dy, kept.shape))

    def extra_repr(self) -> str:
        return f"{self.rate:g}"
