"""FeedForward: two linear layers with an activation between them, at each position."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from heedful._checks import size
from heedful.base._mode import Mode
from heedful.base._types import Array, Backward, Rng, generator
from heedful.layers._trainable_layer import Layer
from heedful.layers.blocks._dropout import Dropout
from heedful.layers.blocks._linear import Linear


class FeedForward(Layer):
    """y = dropout(activation(x W₁ᵀ + b₁)) W₂ᵀ + b₂.

    Parameters
    ----------
    d_model, dff : int
        Width of x and y, and of the hidden layer.
    rate : float, default 0
        Of dropout between the two.
    activation : str, default "relu"
        See :class:`Linear`.
    bias : bool, default True
    dtype : {float32, float64}
    rng : None, int or numpy.random.Generator

    Notes
    -----
    Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.3.
    Computes in `dtype`, whatever the input; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import FeedForward
    >>> FeedForward(4, 16)(np.ones((2, 5, 4))).shape
    (2, 5, 4)
    """

    def __init__(
        self,
        d_model: int,
        dff: int,
        rate: float = 0.0,
        *,
        activation: str = "relu",
        bias: bool = True,
        dtype: DTypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        rng, d_model, dff = generator(rng), size("d_model", d_model), size("dff", dff)
        self.linear1: Linear = Linear(
            d_model, dff, bias=bias, activation=activation, dtype=dtype, rng=rng
        )
        self.dropout: Dropout = Dropout(rate, dtype=dtype)
        self.linear2: Linear = Linear(dff, d_model, bias=bias, dtype=dtype, rng=rng)

    def compute(self, mode: Mode, x: Any, residual: Array | None = None) -> tuple[Array, Backward]:
        """x (…, d_model) → y, of the same shape; `residual` is added to y."""
        return feed_forward(mode, self.linear1, self.dropout, self.linear2, x, residual)


def feed_forward(
    mode: Mode,
    linear1: Linear,
    dropout: Dropout,
    linear2: Linear,
    x: Any,
    residual: Array | None = None,
) -> tuple[Array, Backward]:
    # Linear's results and gradients are fresh arrays that it does not keep; those of a layer that a
    # user has put in its place may not be
    own = type(linear1) is Linear and type(linear2) is Linear
    inner, back1 = linear1.compute(mode, x)
    inner, drop = dropout.compute(mode, inner, in_place=own)
    y, back2 = linear2.compute(mode, inner, residual)

    def backward(dy: Any) -> Any:
        return back1(drop(back2(dy), in_place=own))

    return y, backward
