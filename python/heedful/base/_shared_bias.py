"""SharedBias: a bias of attention's scores whose gradient the layers that take it add up."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from heedful._checks import named, numbers
from heedful.base._sums import plus
from heedful.base._types import Array
from heedful.functional._shapes import summed


class SharedBias:
    """A bias that one or several layers add to their scores, with its gradient.

    ::

        score[i, j] = scale · q[i] · k[j] + bias[i, j]        in every layer that it is given to
        gradient    = Σ ∂loss / ∂score                        over these layers, in bias's shape

    Backward functions of layers return the gradients of inputs. Where the bias of a call is a
    SharedBias in place of an array, they add its gradient to the SharedBias. In a :class:`Tape`,
    and in layers with `call`, that is not needed: a bias that was computed there has its gradient.

    Parameters
    ----------
    value : array_like of floats
        What broadcasts to the scores (…, H, Lq, Lk), such as (H, Lq, Lk). It is not copied.

    Attributes
    ----------
    value : numpy.ndarray
    gradient : numpy.ndarray or None
        Of the shape of `value`: the sum so far, None before the first.

    Raises
    ------
    TypeError
        A value that does not hold floating numbers.

    Notes
    -----
    :class:`MultiHeadAttention`, :class:`EncoderLayer` and :class:`Encoder` take it as `bias`. One
    is for one forward pass and its backward pass.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import Encoder, RelativePositionBias, SharedBias
    >>> encoder, positions = Encoder(2, 8, 2, 32, rng=0), RelativePositionBias(2, rng=0)
    >>> x = np.ones((3, 5, 8))
    >>> value, back_positions = positions.forward(5, 5)
    >>> bias = SharedBias(value)
    >>> y, backward = encoder.forward(x, bias=bias)
    >>> dx = backward(y)
    >>> back_positions(bias.gradient)
    >>> positions.grads["weight"].shape
    (32, 2)
    """

    __slots__ = ("gradient", "value")

    def __init__(self, value: ArrayLike) -> None:
        self.value: Array = numbers("value", value)
        if self.value.dtype.kind in "biu":
            raise TypeError(f"value must be floating: got {named(self.value)}")
        self.gradient: Array | None = None

    def add(self, gradient: Array) -> None:
        """Adds the gradient of a layer's scores, (…, H, Lq, Lk) or what broadcasts to it."""
        with np.errstate(all="ignore"):
            own = summed(gradient, self.value.shape)
            if self.gradient is None:  # a copy: others may have been given this array
                self.gradient = np.array(own, self.value.dtype)
            else:
                plus(self.gradient, own.astype(self.value.dtype, copy=False), out=self.gradient)

    def of_heads(self, heads: Any) -> SharedBias:
        """That of some heads of H, which adds its gradient to this one."""
        return _OfHeads(self, heads)

    def __repr__(self) -> str:
        state = "no gradient" if self.gradient is None else "with its gradient"
        return f"SharedBias({self.value.dtype} {self.value.shape}, {state})"


class _OfHeads(SharedBias):
    __slots__ = ("heads", "whole")

    def __init__(self, whole: SharedBias, heads: Any) -> None:
        super().__init__(whole.value[..., heads, :, :])
        self.whole, self.heads = whole, heads

    def add(self, gradient: Array) -> None:
        spread = np.zeros(self.whole.value.shape, gradient.dtype)
        with np.errstate(all="ignore"):
            spread[..., self.heads, :, :] = summed(gradient, self.value.shape)
        self.whole.add(spread)


def without_gradient(bias: Any) -> Any:
    """The array of a bias that may be shared."""
    return bias.value if isinstance(bias, SharedBias) else bias
