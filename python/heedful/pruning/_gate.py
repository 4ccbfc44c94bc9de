"""Gate: numbers that multiply the heads of an attention, and their gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful.base._types import Array, Backward
from heedful.layers import Layer, Linear, Mode


class Gate(Layer):
    """y = W concatenate(gate[h] · head[h]) + b, in place of the output projection of an attention.

    Attributes
    ----------
    gate : numpy.ndarray, (H,)
        1 initially.
    dgate : numpy.ndarray, (B, H), or None
        The gradient of the gate of each item alone, in float64, summed over backward passes.
    """

    def __init__(self, projection: Linear, num_heads: int) -> None:
        self.projection = projection
        self.gate: Array = np.ones(num_heads)
        self.dgate: Array | None = None

    @np.errstate(all="ignore")
    def compute(
        self, mode: Mode, x: Array, residual: Array | None = None
    ) -> tuple[Array, Backward]:
        """x (B, …, L, H · D) → y (B, …, L, E); `residual` is added to y."""
        heads = x.reshape(*x.shape[:-1], len(self.gate), -1)
        factors = self.gate[:, None].astype(x.dtype)
        gated = x if (self.gate == 1).all() else (heads * factors).reshape(x.shape)
        y, back = self.projection.compute(mode, gated, residual)

        @np.errstate(all="ignore")
        def backward(dy: Any) -> Array:
            dgated = back(dy).reshape(heads.shape)
            products = np.einsum("...d,...d->...", heads, dgated, dtype=np.float64)
            dgate = products.reshape(len(x), -1, len(self.gate)).sum(1)
            self.dgate = dgate if self.dgate is None else self.dgate + dgate
            dx: Array = (dgated * factors).reshape(x.shape)
            return dx

        return y, backward
