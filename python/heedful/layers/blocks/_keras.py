"""Layers under their Keras names."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from heedful._checks import flag, named, positive, size
from heedful.base._mode import Mode
from heedful.base._regularizers import L1L2, as_regularizer
from heedful.base._types import Array, Backward, Rng, generator
from heedful.layers.blocks._activation_names import activation_name
from heedful.layers.blocks._activations import Softmax
from heedful.layers.blocks._by_width import ByWidth, check_rows, unbuilt_or
from heedful.layers.blocks._initial import glorot
from heedful.layers.blocks._linear import Linear
from heedful.layers.blocks._norm import LayerNorm
from heedful.layers.blocks._pooling import GlobalAveragePooling

GlobalAveragePooling1D = GlobalAveragePooling


class Dense(ByWidth[Linear]):
    """y = activation(x Wᵀ + b); the width of x is that of the first x it is called with.

    Parameters
    ----------
    units : int
        Width of y.
    activation : str, optional
        As of :class:`Linear`, and "softmax".
    use_bias : bool, default True
    kernel_regularizer, bias_regularizer : str or regularizer, optional
        Of :mod:`heedful.training`, such as ``L2(0.01)`` or "l2": a penalty that fit adds to the
        loss.
    dtype : {float32, float64}
    rng : None, int or numpy.random.Generator
        For the initial weights: Glorot's, as in Keras, with a bias of 0.

    Attributes
    ----------
    linear : Linear
        Once the width is known: from the first call, or from a loaded state.

    Notes
    -----
    Computes in `dtype`, whatever the input; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import Dense
    >>> Dense(2, activation="relu")(np.ones((5, 3))).shape
    (5, 2)
    """

    units: int
    use_bias: bool

    place = "linear"
    linear: Linear | None

    def __init__(
        self,
        units: int,
        activation: str | None = None,
        use_bias: bool = True,
        *,
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        dtype: DTypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        units, biased = size("units", units), flag("use_bias", use_bias)
        shapes: dict[str, tuple[int | None, ...]] = {"weight": (units, None)}
        super().__init__(dtype, {**shapes, "bias": (units,)} if biased else shapes)
        self.units, self.use_bias = units, biased
        self.softmax: Softmax | None = Softmax(dtype=dtype) if activation == "softmax" else None
        self.activation: str | None = None if self.softmax else activation_name(activation)
        self.kernel_regularizer: L1L2 | None = as_regularizer(
            kernel_regularizer, "kernel_regularizer"
        )
        self.bias_regularizer: L1L2 | None = as_regularizer(bias_regularizer, "bias_regularizer")
        self._rng = generator(rng)

    def make(self, width: int) -> Linear:
        linear = Linear(
            width, self.units, self.use_bias, activation=self.activation, dtype=self.dtype,
            rng=self._rng,
        )  # fmt: skip
        linear.weight = glorot(self._rng, (self.units, width), self.dtype)
        linear.parameter("weight").regularizer = self.kernel_regularizer
        if self.use_bias:
            linear.bias = np.zeros(self.units, self.dtype)
            linear.parameter("bias").regularizer = self.bias_regularizer
        return linear

    def compute(self, mode: Mode, x: Any) -> tuple[Array, Backward]:
        """x (…, width) → y (…, units)."""
        x = self.array("x", x)
        check_rows(x)
        y, back = self.inner(x).compute(mode, x)
        if self.softmax is None:
            return y, back
        y, back_softmax = self.softmax.compute(mode, y)
        return y, lambda dy: back(back_softmax(dy))

    def ends_in(self, before: str | None) -> str | None:
        if self.softmax is not None:
            return "constant" if self.units == 1 else "softmax"
        return self.activation or "linear"

    def extra_repr(self) -> str:
        activation = "softmax" if self.softmax else self.activation
        shown = "" if activation is None else f", activation={activation!r}"
        return unbuilt_or(self, f"{self.units}{shown}")


class LayerNormalization(ByWidth[LayerNorm]):
    """y = (x − mean(x)) / √(var(x) + epsilon) · gamma + beta, over the last axis.

    Parameters
    ----------
    axis : int, default -1
        Only the last one is supported.
    epsilon : float, default 1e-3
    center : bool, default True
        Whether there is a beta.
    dtype : {float32, float64}

    Attributes
    ----------
    norm : LayerNorm
        Once the width is known: from the first call, or from a loaded state.

    Notes
    -----
    :class:`LayerNorm` with Keras's arguments; the width is that of the first x.
    Computes in `dtype`, whatever the input; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> from heedful.layers import LayerNormalization
    >>> LayerNormalization()([[1.0, 3.0]]).round(3)
    array([[-1.,  1.]], dtype=float32)
    """

    epsilon: float
    center: bool

    place = "norm"
    norm: LayerNorm | None

    def __init__(
        self, axis: int = -1, epsilon: float = 1e-3, center: bool = True, *,
        dtype: DTypeLike = np.float32,
    ) -> None:  # fmt: skip
        if axis != -1:
            raise ValueError(f"axis must be -1, the last one: got {named(axis)}")
        self.epsilon, self.center = positive("epsilon", epsilon), flag("center", center)
        shapes = {"weight": (None,), "bias": (None,)} if center else {"weight": (None,)}
        super().__init__(dtype, shapes)

    def make(self, width: int) -> LayerNorm:
        return LayerNorm(width, self.epsilon, self.center, dtype=self.dtype)

    def compute(self, mode: Mode, x: Any) -> tuple[Array, Backward]:
        """x (…, width) → y, of the same shape."""
        x = self.array("x", x)
        check_rows(x)
        return self.inner(x).compute(mode, x)

    def extra_repr(self) -> str:
        return unbuilt_or(self, f"epsilon={self.epsilon:g}")
