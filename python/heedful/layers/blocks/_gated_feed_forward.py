"""GatedFeedForward: a linear layer whose output gates another's, and a third, at each position."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from heedful._checks import size
from heedful._core import native
from heedful._core._memory import empty
from heedful.base._mode import Mode
from heedful.base._types import Array, Backward, Rng, generator
from heedful.layers._typed import Typed
from heedful.layers.blocks._activation_names import activation_name
from heedful.layers.blocks._dropout import Dropout
from heedful.layers.blocks._linear import Linear
from heedful.layers.blocks._rows import as_rows


class GatedFeedForward(Typed):
    """y = dropout(activation(x Wgᵀ) · (x Wuᵀ)) W₂ᵀ, each product with its bias.

    Parameters
    ----------
    d_model, dff : int
        Width of x and y, and of the hidden layer.
    rate : float, default 0
        Of dropout before the last product.
    activation : str, default "silu"
        Of the gate: "silu" is SwiGLU, "gelu" or "gelu_tanh" GEGLU; see :class:`Linear` for others.
    bias : bool, default False
    dtype : {float32, float64}
    rng : None, int or numpy.random.Generator

    Attributes
    ----------
    linear1 : Linear, from d_model to 2 · dff
        Wg and Wu, stacked: one product reads x once.
    linear2 : Linear, from dff to d_model

    Notes
    -----
    Shazeer 2020, https://arxiv.org/abs/2002.05202. In transformers' models of the Llama family Wg
    is gate_proj, Wu is up_proj and W₂ is down_proj.
    Computes in `dtype`, whatever the input; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import GatedFeedForward
    >>> GatedFeedForward(4, 16)(np.ones((2, 5, 4))).shape
    (2, 5, 4)
    """

    dff: int

    def __init__(
        self,
        d_model: int,
        dff: int,
        rate: float = 0.0,
        *,
        activation: str = "silu",
        bias: bool = False,
        dtype: DTypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        super().__init__(dtype)
        rng, d_model, self.dff = generator(rng), size("d_model", d_model), size("dff", dff)
        self.activation: str = activation_name(activation) or ""
        self.linear1: Linear = Linear(d_model, 2 * self.dff, bias, dtype=dtype, rng=rng)
        self.dropout: Dropout = Dropout(rate, dtype=dtype)
        self.linear2: Linear = Linear(self.dff, d_model, bias, dtype=dtype, rng=rng)

    def compute(self, mode: Mode, x: Any, residual: Array | None = None) -> tuple[Array, Backward]:
        """x (…, d_model) → y, of the same shape; `residual` is added to y."""
        both, back1 = self.linear1.compute(mode, x)
        shape, rows = both.shape, as_rows(both)
        inner = empty((len(rows), self.dff), self.dtype)
        native.gated_activation_forward(self.activation, rows, inner)
        hidden = inner.reshape(*shape[:-1], self.dff)
        hidden, drop = self.dropout.compute(mode, hidden, in_place=True)
        y, back2 = self.linear2.compute(mode, hidden, residual)

        def backward(dy: Any) -> Any:
            dinner = np.ascontiguousarray(as_rows(drop(back2(dy), in_place=True)))
            # in place: the products before the activation are not needed any more
            native.gated_activation_backward(self.activation, rows, dinner, rows)
            return back1(rows.reshape(shape))

        return y, backward

    def extra_repr(self) -> str:
        return "" if self.activation == "silu" else f"activation={self.activation!r}"
