"""Activations as layers: element-wise ones, and softmax."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from heedful._checks import is_integer, named, one_of
from heedful._core import native
from heedful._core._memory import empty
from heedful.base._mode import Mode
from heedful.base._types import Array, Backward
from heedful.layers._typed import Stateless
from heedful.layers.blocks._activation_names import activation_name


class Activation(Stateless):
    """y = f(x), element-wise.

    ============  ==========================================================
    "relu"        max(x, 0)
    "gelu"        x Φ(x), Φ the normal distribution function
    "gelu_tanh"   x/2 (1 + tanh(√(2/π) (x + 0.044715 x³))), close to "gelu"
    "silu"        x σ(x), also called swish
    "tanh"        tanh(x)
    "sigmoid"     σ(x) = 1 / (1 + exp(−x))
    ============  ==========================================================

    Parameters
    ----------
    activation : str
        A name of the table.
    dtype : {float32, float64}, optional
        None is the floating type of x.

    Notes
    -----
    GELU: Hendrycks and Gimpel 2016, https://arxiv.org/abs/1606.08415.
    Computes in `dtype`, or in the floating type of x: float32 for 16 bits, float64 for integers;
    threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> from heedful.layers import Activation
    >>> Activation("relu")([-1.0, 2.0])
    array([0., 2.])
    """

    def __init__(self, activation: str, *, dtype: DTypeLike | None = None) -> None:
        super().__init__(dtype)
        self.activation: str | None = activation_name(activation)

    def compute(self, mode: Mode, x: ArrayLike) -> tuple[Array, Backward]:
        """x (…) → y, of the same shape."""
        before, activation = np.asarray(self.array("x", x), order="C"), self.activation
        if activation is None:
            return before, lambda dy: self.gradient(dy, before.shape, before.dtype)
        y = empty(before.shape, before.dtype)
        native.activation_forward(activation, before, y)

        def backward(dy: Any) -> Array:
            dy = np.asarray(self.gradient(dy, before.shape, before.dtype), order="C")
            dx = empty(before.shape, before.dtype)
            native.activation_backward(activation, before, dy, dx)
            return dx

        return y, backward

    def ends_in(self, before: str | None) -> str | None:
        return self.activation or "linear"

    def extra_repr(self) -> str:
        return repr(self.activation)


class ReLU(Activation):
    """max(x, 0), element-wise.

    Parameters
    ----------
    dtype : {float32, float64}, optional
        None is the floating type of x.

    Notes
    -----
    Computes in `dtype`, or in the floating type of x: float32 for 16 bits, float64 for integers;
    threads may share it, see :class:`Layer`.
    """

    def __init__(self, *, dtype: DTypeLike | None = None) -> None:
        super().__init__("relu", dtype=dtype)

    def extra_repr(self) -> str:
        return ""


class GELU(Activation):
    """x Φ(x), Φ the normal distribution function; see :class:`Activation`.

    Parameters
    ----------
    approximate : {"none", "tanh"}
        "tanh" is what :class:`Activation` calls "gelu_tanh".
    dtype : {float32, float64}, optional
        None is the floating type of x.

    Notes
    -----
    Computes in `dtype`, or in the floating type of x: float32 for 16 bits, float64 for integers;
    threads may share it, see :class:`Layer`.
    """

    def __init__(self, approximate: str = "none", *, dtype: DTypeLike | None = None) -> None:
        approximate = one_of("approximate", approximate, ("none", "tanh"))
        super().__init__("gelu" if approximate == "none" else "gelu_tanh", dtype=dtype)

    def extra_repr(self) -> str:
        return "approximate='tanh'" if self.activation == "gelu_tanh" else ""


class SiLU(ReLU):
    """x σ(x), also called swish, element-wise.

    Parameters
    ----------
    dtype : {float32, float64}, optional
        None is the floating type of x.

    Notes
    -----
    Computes in `dtype`, or in the floating type of x: float32 for 16 bits, float64 for integers;
    threads may share it, see :class:`Layer`.
    """

    def __init__(self, *, dtype: DTypeLike | None = None) -> None:
        super().__init__(dtype=dtype)
        self.activation: str | None = "silu"


class Tanh(ReLU):
    """tanh(x), element-wise.

    Parameters
    ----------
    dtype : {float32, float64}, optional
        None is the floating type of x.

    Notes
    -----
    Computes in `dtype`, or in the floating type of x: float32 for 16 bits, float64 for integers;
    threads may share it, see :class:`Layer`.
    """

    def __init__(self, *, dtype: DTypeLike | None = None) -> None:
        super().__init__(dtype=dtype)
        self.activation: str | None = "tanh"


class Sigmoid(ReLU):
    """1 / (1 + exp(−x)), element-wise.

    Parameters
    ----------
    dtype : {float32, float64}, optional
        None is the floating type of x.

    Notes
    -----
    Computes in `dtype`, or in the floating type of x: float32 for 16 bits, float64 for integers;
    threads may share it, see :class:`Layer`.
    """

    def __init__(self, *, dtype: DTypeLike | None = None) -> None:
        super().__init__(dtype=dtype)
        self.activation: str | None = "sigmoid"


class Softmax(Stateless):
    """y = exp(x) / Σ exp(x) along an axis.

    Parameters
    ----------
    axis : int, default -1
    dtype : {float32, float64}, optional
        None is the floating type of x.

    Notes
    -----
    Computes in `dtype`, or in the floating type of x: float32 for 16 bits, float64 for integers;
    threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> from heedful.layers import Softmax
    >>> Softmax()([[0.0, 0.0]])
    array([[0.5, 0.5]])
    """

    def __init__(self, axis: int = -1, *, dtype: DTypeLike | None = None) -> None:
        super().__init__(dtype)
        if not is_integer(axis):
            raise TypeError(f"axis must be an integer: got {named(axis)}")
        self.axis = axis

    def compute(self, mode: Mode, x: Any) -> tuple[Array, Backward]:
        """x (…) → y, of the same shape."""
        x = self.array("x", x)
        if not -x.ndim <= self.axis < x.ndim:
            raise ValueError(f"x must have axis {self.axis}: got shape {x.shape}")
        with np.errstate(all="ignore"):
            y = np.exp(x - x.max(self.axis, keepdims=True, initial=-np.inf))
            y /= y.sum(self.axis, keepdims=True)

        @np.errstate(all="ignore")
        def backward(dy: Any) -> Array:
            dy = self.gradient(dy, y.shape, y.dtype)
            dx: Array = y * (dy - (dy * y).sum(self.axis, keepdims=True))
            return dx

        return y, backward

    def ends_in(self, before: str | None) -> str | None:
        return "softmax"

    def extra_repr(self) -> str:
        return "" if self.axis == -1 else f"axis={self.axis}"
