"""Layers under the names that Keras has for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from heedful._checks import flag, size
from heedful.layers._activation_names import activation_name
from heedful.layers._activations import Softmax
from heedful.layers._initial import glorot
from heedful.layers._linear import Linear
from heedful.layers._mode import Mode
from heedful.layers._pooling import GlobalAveragePooling
from heedful.layers._tree import dotted
from heedful.layers._typed import Typed
from heedful.layers._types import Array, Backward, Rng, generator

GlobalAveragePooling1D = GlobalAveragePooling


_BUILDING = Lock()  # of the module: a layer with one could not be copied


class Dense(Typed):
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
        For the first weights: Glorot's, as in Keras, with a bias of 0.

    Attributes
    ----------
    linear : Linear
        Once the width is known: from the first call, or from a state that is loaded.

    Notes
    -----
    Computes in `dtype`, whatever it is given; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import Dense
    >>> Dense(2, activation="relu")(np.ones((5, 3))).shape
    (5, 2)
    """

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
        super().__init__(dtype)
        self.units, self.use_bias = size("units", units), flag("use_bias", use_bias)
        self.softmax = Softmax(dtype=dtype) if activation == "softmax" else None
        self.activation = None if self.softmax else activation_name(activation)
        self.kernel_regularizer = _regularizer("kernel_regularizer", kernel_regularizer)
        self.bias_regularizer = _regularizer("bias_regularizer", bias_regularizer)
        self._rng = generator(rng)
        self.linear: Linear | None = None
        self.awaited = {"linear.weight": True} | ({"linear.bias": True} if self.use_bias else {})

    def build(self, width: int) -> Linear:
        """Makes the weights for x of this width, unless another thread was first."""
        with _BUILDING:
            return self._build(width) if self.linear is None else self.linear

    def _build(self, width: int) -> Linear:
        linear = Linear(
            width, self.units, self.use_bias, activation=self.activation, dtype=self.dtype,
            rng=self._rng,
        )  # fmt: skip
        linear.weight = glorot(self._rng, (self.units, width), self.dtype)
        linear.parameter("weight").regularizer = self.kernel_regularizer
        if self.use_bias:
            linear.bias[...] = 0
            linear.parameter("bias").regularizer = self.bias_regularizer
        for name, trainable in self.awaited.items():
            linear.parameter(name.removeprefix("linear.")).trainable = trainable
        self.linear, self.awaited = linear, {}
        return linear

    def builder(self, name: str, arrays: Mapping[str, Array]) -> Callable[[], object]:
        weight = arrays.get("linear.weight")
        if weight is None:
            raise ValueError(
                f"{dotted(name, 'linear.bias')} cannot be loaded without "
                f"{dotted(name, 'linear.weight')}: call the model once first"
            )
        if weight.ndim != 2 or len(weight) != self.units or not weight.size:
            raise ValueError(
                f"{dotted(name, 'linear.weight')} must have shape ({self.units}, width): "
                f"got {weight.shape}"
            )
        bias = arrays.get("linear.bias")
        if bias is not None and bias.shape != (self.units,):
            raise ValueError(
                f"{dotted(name, 'linear.bias')} must have shape ({self.units},): got {bias.shape}"
            )
        return lambda: self.build(weight.shape[1])

    def compute(self, mode: Mode, x: Any) -> tuple[Array, Backward]:
        """x (…, width) → y (…, units)."""
        x = self.array("x", x)
        if x.ndim < 2:
            raise ValueError(
                f"x must be (…, width), a row of features for each example: got {x.shape}; for "
                "one feature of N examples write x[:, None], for one example x[None]"
            )
        linear = self.build(x.shape[-1]) if self.linear is None else self.linear
        y, back = linear.compute(mode, x)
        if self.softmax is None:
            return y, back
        y, back_softmax = self.softmax.compute(mode, y)
        return y, lambda dy: back(back_softmax(dy))

    def extra_repr(self) -> str:
        shown = f"{self.units}" + ("" if self.linear is not None else ", unbuilt")
        activation = "softmax" if self.softmax else self.activation
        return shown if activation is None else f"{shown}, activation={activation!r}"


def _regularizer(name: str, given: Any) -> Any:
    """Checked by heedful.training, which is built upon layers, so only where there is one."""
    if given is None:
        return None
    from heedful.training._regularizers import as_regularizer

    return as_regularizer(given, name)
