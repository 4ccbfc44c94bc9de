"""Linear: x Wᵀ + b, with a fused activation, on heedful's own micro-kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from heedful._checks import flag, size
from heedful._core import native
from heedful._core._memory import empty
from heedful.base._mode import Mode
from heedful.base._narrow_parameter import NarrowParameter
from heedful.base._parameter import Parameter
from heedful.base._types import Array, Backward, Rng, generator
from heedful.layers._typed import Typed
from heedful.layers.blocks._activation_names import activation_name
from heedful.layers.blocks._initial import kaiming
from heedful.layers.blocks._int8 import int8_shown, narrow_product, refuse_training
from heedful.layers.blocks._rows import as_rows
from heedful.layers.blocks._weight_gradients import add_gradients

if TYPE_CHECKING:
    from heedful.base._parameter_types import OptionalOwn, Own


class Linear(Typed):
    """y = activation(x Wᵀ + b).

    Parameters
    ----------
    in_features, out_features : int
        Widths of x and y.
    bias : bool, default True
    activation : str, optional
        "relu", "gelu", "gelu_tanh", "silu", "tanh" or "sigmoid", fused into the product.
    dtype : {float32, float64}
    rng : None, int or numpy.random.Generator
        For the initial weights: uniform within ±1/√in_features, as in PyTorch.

    Attributes
    ----------
    weight : numpy.ndarray, (out_features, in_features)
        Of int8 after `quantize`, with ``weight_scale`` (out_features,), or of bfloat16.
    bias : numpy.ndarray, (out_features,), or None

    Notes
    -----
    Named ``nn.Linear`` in PyTorch, with the same parameters.
    Results are bitwise identical for every number of threads. With up to 8 rows of x, over all
    leading axes, sums have another order than with 9 and more: an item has the same bits alone and
    in a batch if both have at most 8 rows, or both have more.
    Computes in `dtype`, whatever the input; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import Linear
    >>> layer = Linear(3, 2, rng=0)
    >>> x = np.ones((4, 5, 3), np.float32)
    >>> layer(x).shape
    (4, 5, 2)
    >>> y, backward = layer.forward(x)
    >>> backward(np.ones_like(y)).shape, layer.grads["weight"].shape
    ((4, 5, 3), (2, 3))
    """

    weight: Own
    bias: OptionalOwn

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        activation: str | None = None,
        dtype: DTypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        super().__init__(dtype)
        self.in_features: int = size("in_features", in_features)
        self.out_features: int = size("out_features", out_features)
        self.activation: str | None = activation_name(activation)
        rng = generator(rng)
        shape = (self.out_features, self.in_features)
        self.weight = Parameter(kaiming(rng, shape, self.in_features, self.dtype))
        self.bias = None
        if flag("bias", bias):
            first = kaiming(rng, (self.out_features,), self.in_features, self.dtype)
            self.bias = Parameter(first)

    def compute(
        self, mode: Mode, x: ArrayLike, residual: Array | None = None
    ) -> tuple[Array, Backward]:
        """x (…, in_features) → y (…, out_features); `residual`, of y's shape, is added to y.

        The gradient of residual is that of y, so backward returns that of x alone.
        """
        x = self.array("x", x, self.in_features)
        shape, activation = x.shape, self.activation
        out_shape = (*shape[:-1], self.out_features)
        if residual is not None:
            residual = self.array("residual", residual)
            if residual.shape != out_shape:
                raise ValueError(f"residual must have shape {out_shape}: got {residual.shape}")
        rows = as_rows(x)
        y = empty((len(rows), self.out_features), self.dtype)
        before = empty(y.shape, y.dtype) if mode.training and activation is not None else None
        bias = self.optional("bias", (self.out_features,))
        added = None if residual is None else as_rows(residual)
        weight = self.own_parameters()["weight"]
        if isinstance(weight, NarrowParameter):
            refuse_training(mode, self.own_parameters())
            narrow_product(rows, weight, slice(None), bias, added, activation, y)
        else:
            native.linear_forward(rows, weight.value, bias, added, activation or "", before, y)

        def backward(dy: Any) -> Array:
            dy = as_rows(self.gradient(dy, out_shape))
            if before is not None and activation is not None:
                # in place: fresh memory costs more than the computation
                native.activation_backward(activation, before, np.ascontiguousarray(dy), before)
                dy = before
            self.add_gradients(dy, rows)
            dx = empty(rows.shape, rows.dtype)
            native.linear_gradient_input(dy, self.weight, dx, False)
            return dx.reshape(shape)

        return y.reshape(out_shape), backward

    def int8_names(self) -> tuple[str, ...]:
        # a subclass with a computation of its own may read the weight in another way
        return ("weight",) if type(self).compute is Linear.compute else ()

    def add_gradients(self, dy: Array, x: Array) -> None:
        """dW += dyᵀ x, db += Σ dy, over rows."""
        dweight = self.parameter("weight").buffer()
        dbias = None if self.bias is None else self.parameter("bias").buffer()
        add_gradients(dy, x, dweight, dbias)

    def ends_in(self, before: str | None) -> str | None:
        return self.activation or "linear"

    def extra_repr(self) -> str:
        shown = f"{self.in_features}, {self.out_features}"
        shown += "" if self.bias is not None else ", bias=False"
        shown += "" if self.activation is None else f", activation={self.activation!r}"
        return shown + int8_shown(self.own_parameters().values())
