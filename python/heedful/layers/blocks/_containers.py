"""Sequential and Residual: layers in sequence, and a skip connection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from heedful._checks import named
from heedful.base._mode import Mode
from heedful.base._sums import plus
from heedful.base._types import Backward
from heedful.layers._trainable_layer import Layer
from heedful.layers.blocks._stack import chained


class Sequential(Layer):
    """Layers in sequence; a list of layers is accepted as well.

    Arguments of a call other than x, by position or by name, are passed to the first layer.

    Parameters
    ----------
    *layers : Layer

    Notes
    -----
    Computes in the dtype of each layer; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import Linear, ReLU, Sequential
    >>> model = Sequential(Linear(3, 8), ReLU(), Linear(8, 2))
    >>> model(np.ones((5, 3))).shape
    (5, 2)
    >>> list(model.parameters())
    ['0.weight', '0.bias', '2.weight', '2.bias']
    """

    def __init__(self, *layers: Any) -> None:
        if len(layers) == 1 and isinstance(layers[0], (list, tuple)):
            layers = tuple(layers[0])
        self.inner: list[Layer] = []
        for layer in layers:
            self.add(layer)

    def add(self, layer: Layer) -> None:
        """Appends a layer."""
        if not isinstance(layer, Layer):
            raise TypeError(f"layers must be layers: got {named(layer)}")
        self.inner.append(layer)

    def layers_inside(self) -> Iterator[tuple[str, Layer]]:
        for index, layer in enumerate(self.inner):
            yield str(index), layer

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, index: int) -> Layer:
        return self.inner[index]

    def compute(self, mode: Mode, x: Any, *more: Any, **options: Any) -> tuple[Any, Backward]:
        """x (…) as the first layer takes it → y (…) as the last one returns it, in its dtype."""
        closures: list[Backward] = []
        for layer in self.inner:
            x, closure = layer.computed(mode, x, *more, **options)
            more, options = (), {}
            if mode.training:
                closures.append(closure)

        return x, chained(closures)

    def ends_in(self, before: str | None) -> str | None:
        for layer in self.inner:
            before = layer.ends_in(before)
        return before


class Residual(Layer):
    """y = x + layer(x).

    Parameters
    ----------
    layer : Layer
        Its result has the shape of its first input.

    He et al. 2015, https://arxiv.org/abs/1512.03385.

    Notes
    -----
    Computes in the dtype of the layer; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import Linear, Residual
    >>> Residual(Linear(3, 3))(np.ones((5, 3))).shape
    (5, 3)
    """

    def __init__(self, layer: Layer) -> None:
        if not isinstance(layer, Layer):
            raise TypeError(f"layer must be a layer: got {named(layer)}")
        self.layer = layer

    def compute(self, mode: Mode, x: Any, *more: Any, **options: Any) -> tuple[Any, Backward]:
        """x (…) → y, of the same shape and the type of the layer."""
        y, inner = self.layer.computed(mode, x, *more, **options)
        y, *weights = y if isinstance(y, tuple) else (y,)

        def backward(dy: Any, dweights: Any = None) -> Any:
            dx = inner(dy) if dweights is None else inner(dy, dweights)
            if isinstance(dx, tuple):  # of a layer with more than one input
                return (plus(dx[0], np.asarray(dy, dx[0].dtype)), *dx[1:])
            return plus(dx, np.asarray(dy, dx.dtype))

        y = plus(np.asarray(x, y.dtype), y)
        return ((y, *weights) if weights else y), backward
