"""Choices of additive attention: each query attends to one key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from heedful.base._types import Array
from heedful.functional import (
    AdditiveGradients,
    additive_attention,
    additive_attention_vjp,
)
from heedful.functional._shapes import summed

_COLD = 2.0**-66  # a power of 2: scores keep their digits, and differences of an ulp exceed 100


class Choice:
    """The key that each query attends to.

    index (…, Lq) : −1 where it attends to none
    value (…, Lk, Ev)
    factor (…, Lq) : of its weight, that of dropout; None is 1
    """

    def __init__(self, index: Array, value: Array, factor: Array | None = None) -> None:
        self.index, self.value = index, value
        self.factor = np.ones(index.shape, value.dtype) if factor is None else factor

    def results(self, with_weights: bool) -> Any:
        """The values chosen (…, 1, Lq, Ev), and with them one-hot weights (…, 1, Lq, Lk)."""
        keys = self.value.shape[-2]
        if not keys:
            out = np.zeros((*self.index.shape, self.value.shape[-1]), self.value.dtype)
        else:
            value = np.broadcast_to(self.value, (*self.index.shape[:-1], *self.value.shape[-2:]))
            out = np.take_along_axis(value, np.maximum(self.index, 0)[..., None], -2)
            zero = out.dtype.type(0)
            out = np.where(self.index[..., None] >= 0, out * self.factor[..., None], zero)
        out = out[..., None, :, :]
        if not with_weights:
            return out
        weights = one_hot(self.index, keys, out.dtype) * self.factor[..., None]
        return out, weights[..., None, :, :]

    def pullback(self, of_soft: Callable[..., AdditiveGradients]) -> Callable[..., Any]:
        """The straight-through gradient, see :func:`hard_additive_vjp`."""

        def run(dout: Array, dlse: Any = None, dweights: Any = None) -> AdditiveGradients:
            gradients = of_soft(dout, dlse, dweights)
            dvalue = np.zeros((*self.index.shape[:-1], *self.value.shape[-2:]), dout.dtype)
            attends = self.index >= 0
            items = np.nonzero(attends)[:-1]
            passed = dout[..., 0, :, :] * self.factor[..., None]
            np.add.at(dvalue, (*items, self.index[attends]), passed[attends])
            return gradients._replace(value=summed(dvalue, self.value.shape)[..., None, :, :])

        return run


def one_hot(index: Array, keys: int, dtype: Any) -> Array:
    """(…, Lq) → (…, Lq, keys)."""
    found: Array = (index[..., None] == np.arange(keys)).astype(dtype)
    return found


def hard_additive_vjp(
    query: Array, key: Array, value: Array, weight: Array, **options: Any
) -> tuple[Any, Callable[..., AdditiveGradients]]:
    """additive_attention_vjp with a one-hot choice for weights, and the straight-through gradient.

    As :func:`hard_vjp`, with noise, of one head. The choice is the softmax of the same noisy scores
    at a temperature so low that the largest has all weight; it is read from a forward pass of
    positions as values, as weights that are computed again would differ in the last digit.
    """
    _, of_soft = additive_attention_vjp(query, key, value, weight, **options)
    cold = {**options, "gumbel_temperature": _COLD, "return_weights": False}
    keys = key.shape[-2]
    values = np.stack([np.arange(keys), np.ones(keys)], -1).astype(key.dtype)
    found = additive_attention(
        query, key, np.broadcast_to(values, (*key.shape[:-1], 2)), weight, **cold
    )[..., 0, :, :]
    place, factor = found[..., 0], found[..., 1]
    attends = factor > 0
    index = np.where(attends, np.rint(place / np.where(attends, factor, 1)), -1).astype(np.int64)
    choice = Choice(index, value[..., 0, :, :], factor)
    return choice.results(bool(options.get("return_weights"))), choice.pullback(of_soft)
