"""LayerNorm and RMSNorm: normalisation over the features of each position."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from heedful._checks import finite, flag, positive, size
from heedful._core import native
from heedful._core._memory import empty
from heedful.base._mode import Mode
from heedful.base._parameter import Parameter
from heedful.base._sums import plus
from heedful.base._types import Array, Backward
from heedful.layers._typed import Typed
from heedful.layers.blocks._rows import as_rows

if TYPE_CHECKING:
    from heedful.base._parameter_types import OptionalOwn, Own


class LayerNorm(Typed):
    """y = (x − mean(x)) / √(var(x) + eps) · weight + bias, over the last axis.

    Parameters
    ----------
    d_model : int
        Width of x.
    eps : float, default 1e-5
    bias : bool, default True
    dtype : {float32, float64}

    Attributes
    ----------
    weight, bias : numpy.ndarray, (d_model,)
        1 and 0 initially.

    Notes
    -----
    Ba, Kiros and Hinton 2016, https://arxiv.org/abs/1607.06450. Named ``nn.LayerNorm`` in PyTorch,
    with the same parameters.
    Computes in `dtype`, whatever the input; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> from heedful.layers import LayerNorm
    >>> LayerNorm(2)([[1.0, 3.0]]).round(3)
    array([[-1.,  1.]], dtype=float32)
    """

    d_model: int
    eps: float
    weight: Own
    bias: OptionalOwn

    def __init__(
        self, d_model: int, eps: float = 1e-5, bias: bool = True, *, dtype: DTypeLike = np.float32
    ) -> None:
        super().__init__(dtype)
        self.d_model, self.eps = size("d_model", d_model), positive("eps", eps)
        self.weight = Parameter(np.ones(self.d_model, self.dtype))
        self.bias = Parameter(np.zeros(self.d_model, self.dtype)) if flag("bias", bias) else None

    def compute(self, mode: Mode, x: ArrayLike) -> tuple[Array, Backward]:
        """x (…, d_model) → y, of the same shape."""
        x = self.array("x", x, self.d_model)
        shape, rows = x.shape, as_rows(x)
        y = empty(rows.shape, self.dtype)
        mean, rstd = np.empty((2, len(rows)), self.dtype)
        weight = self.own_parameters()["weight"].value
        bias = self.optional("bias", weight.shape)
        native.norm_forward(rows, weight, bias, self.eps, y, mean, rstd)

        def backward(dy: Any) -> Array:
            dy = as_rows(self.gradient(dy, shape))
            dx = empty(rows.shape, self.dtype)
            dweight = self.parameter("weight").buffer()
            dbias = None if self.bias is None else self.parameter("bias").buffer()
            native.norm_backward(dy, rows, self.weight, mean, rstd, dx, dweight, dbias)
            return dx.reshape(shape)

        return y.reshape(shape), backward

    def extra_repr(self) -> str:
        return f"{self.d_model}" + ("" if self.eps == 1e-5 else f", eps={self.eps:g}")


class RMSNorm(Typed):
    """y = x / √(mean(x²) + eps) · (offset + weight), over the last axis.

    Parameters
    ----------
    d_model : int
        Width of x.
    eps : float, optional
        None is the machine epsilon of the layer's type, as in PyTorch.
    offset : float, default 0
        1 in models of the Gemma family, whose weights are differences from 1.
    dtype : {float32, float64}

    Attributes
    ----------
    weight : numpy.ndarray, (d_model,)
        1 − offset initially.

    Notes
    -----
    Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467. Named ``nn.RMSNorm`` in PyTorch.
    Computes in `dtype`, whatever the input; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> from heedful.layers import RMSNorm
    >>> RMSNorm(2)([[3.0, 4.0]]).round(3)
    array([[0.849, 1.131]], dtype=float32)
    """

    weight: Own
    offset: float = 0.0  # of a layer that an earlier version pickled

    def __init__(
        self, d_model: int, eps: float | None = None, *, offset: float = 0.0,
        dtype: DTypeLike = np.float32,
    ) -> None:  # fmt: skip
        super().__init__(dtype)
        self.d_model: int = size("d_model", d_model)
        self.eps: float = float(np.finfo(self.dtype).eps) if eps is None else positive("eps", eps)
        self.offset = finite("offset", offset)
        self.weight = Parameter(np.full(self.d_model, 1 - self.offset, self.dtype))

    def compute(self, mode: Mode, x: ArrayLike) -> tuple[Array, Backward]:
        """x (…, d_model) → y, of the same shape."""
        x = self.array("x", x, self.d_model)
        shape, rows = x.shape, as_rows(x)
        y = empty(rows.shape, self.dtype)
        rstd = np.empty(len(rows), self.dtype)
        factors = self._factors()
        native.norm_forward(rows, factors, None, self.eps, y, None, rstd)

        def backward(dy: Any) -> Array:
            dy = as_rows(self.gradient(dy, shape))
            dx = empty(rows.shape, self.dtype)
            dweight = self.parameter("weight").buffer()
            native.norm_backward(dy, rows, self._factors(), None, rstd, dx, dweight, None)
            return dx.reshape(shape)

        return y.reshape(shape), backward

    def _factors(self) -> Array:
        weight: Array = self.own_parameters()["weight"].value
        return plus(weight, self.dtype.type(self.offset)) if self.offset else weight

    def extra_repr(self) -> str:
        return f"{self.d_model}" + (f", offset={self.offset:g}" if self.offset else "")
