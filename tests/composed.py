"""Gradients of composed models against central differences, and a layer that is composed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from heedful.layers import Layer, LayerNorm, Linear, MultiHeadAttention, Parameter, steps
from heedful.testing import gradcheck

TOLERANCE = 1e-6  # relative to the largest gradient of an array


def assert_differentiates(model: Layer, *inputs: Any, samples: int = 12, **options: Any) -> None:
    """The derived backward pass, in float64: `inputs` that are floating are differentiated too."""
    model(*inputs, **options)  # layers that take their width from x
    floating = [np.asarray(x).dtype.kind == "f" for x in inputs]
    moved = [x for x, is_float in zip(inputs, floating, strict=True) if is_float]
    parameters = model.distinct_parameters()
    assert all(own.value.dtype == np.float64 for own in parameters.values())

    def function(*arrays: np.ndarray) -> tuple[Any, Callable[..., Any]]:
        own, given = arrays[: len(parameters)], list(arrays[len(parameters) :])
        for parameter, array in zip(parameters.values(), own, strict=True):
            parameter.replace(array)
        x = [given.pop(0) if is_float else x for x, is_float in zip(inputs, floating, strict=True)]
        y, backward = model.forward(*x, rng=0, **options)

        def pullback(*dy: np.ndarray) -> list[np.ndarray]:
            model.zero_grad()
            found = backward(*dy)
            found = found if isinstance(found, tuple) else (found,)
            assert [dx is not None for dx in found] == floating
            grads = [
                np.zeros(one.value.shape) if one.grad is None else one.grad.copy()
                for one in parameters.values()
            ]
            return [*grads, *(dx for dx in found if dx is not None)]

        return y, pullback

    values = [own.value.copy() for own in parameters.values()]
    assert gradcheck(function, *values, *moved, rtol=TOLERANCE, atol=1e-9, samples=samples)
    unused = [name for name, own in parameters.items() if own.grad is None]
    assert not unused, f"no gradient of {unused}"


class Block(Layer):
    """A Transformer's layer, its forward pass alone."""

    def __init__(self, dtype: Any = np.float64) -> None:
        self.attention = MultiHeadAttention(4, 2, dtype=dtype, rng=0)
        self.norm, self.inner = LayerNorm(4, dtype=dtype), Linear(4, 6, dtype=dtype, rng=1)
        self.outer = Linear(6, 4, dtype=dtype, rng=2)
        self.gain = Parameter(np.full(4, 0.5, dtype))

    def call(self, x: Any, scale: float = 1.0, *, lengths: Any = None) -> Any:
        h = x + self.attention(self.norm(x), kv_lengths=lengths) * self.gain
        return h + self.outer(steps.tanh(self.inner(h))) * scale
