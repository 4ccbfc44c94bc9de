"""The gradients of attention with α-entmax.

With P the weights before dropout and Z dropout's factors (Correia, Niculae and Martins 2019)::

    U      = P^(2−α) where P > 0, S = U / Σ_j U
    delta  = Σ_d dout ∘ (Z S value)_d + Σ_j Z ∘ S ∘ dweights
    dscore = U ∘ (Z ∘ (dout valueᵀ + dweights) − delta)
    dα     = Σ_d dout ∘ (Z D value)_d + Σ_j Z ∘ D ∘ dweights
    D      = (P − S) / (α − 1)² + (h − S Σ_j h) / (α − 1)      h = −P log P

The forward pass computes Z S value, and Z D value where α has a gradient.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from heedful._core import native
from heedful.functional._backward import Gradients, backward, pullback_of
from heedful.functional._call import Call
from heedful.functional._dtypes import Array, cast_like
from heedful.functional._forward import Forward, run_weights


class NormalizerGradients(NamedTuple):
    """One gradient for each input that was given, of its shape and type; None for the others."""

    query: Array
    key: Array
    value: Array
    bias: Array | None
    sink: None
    normalizer: Array  # of α, (H,)

    def __repr__(self) -> str:
        from heedful.functional._shown import arrays_shown  # only now: for people alone

        return arrays_shown("NormalizerGradients", self._asdict())


def gradients_of(call: Call, forward: Forward) -> Callable[..., Any]:
    """The pullback of a forward call with any normaliser; it may be called more than once."""
    if call.normalizer is None:
        return pullback_of(call, forward, backward)
    assert forward.sparse is not None
    run = partial(_backward, forward.sparse)
    return pullback_of(call, forward, run)


def _backward(
    sparse: tuple[Array, Array | None],
    call: Call,
    dout: Any,
    out: Array,
    thresholds: Array,
    dlse: Any,
    weights: Array | None,
    dweights: Any,
    bias_gradient: bool,
) -> Any:
    """Called as :func:`backward` is."""
    if dlse is not None:
        raise ValueError("dlse must be None where normalizer is not 'softmax': there is no lse")
    assert call.normalizer is not None
    mean, alpha_derivative = sparse
    factors = None if dweights is None or weights is None else _factors(call, thresholds, weights)
    gradients: Gradients = backward(
        call, dout, mean, thresholds, None, None if factors is None else factors[0], dweights,
        partial(native.entmax_backward, call.normalizer.alphas), bias_gradient=bias_gradient,
    )  # fmt: skip
    if alpha_derivative is None:
        return gradients
    plan, heads = call.plan, call.plan.axes.heads
    dout = cast_like("dout", dout, plan.axes.out, plan.dtype)
    axis = -2 if plan.geometry.length_first else -3
    dalpha = _summed_by_head(axis, heads, dout, alpha_derivative)
    if factors is not None:
        own = factors[1]
        dweights = np.where(own == 0, 0, np.reshape(dweights, own.shape))
        dalpha += _summed_by_head(-3, heads, dweights, own)
    return NormalizerGradients(*gradients[:4], None, dalpha.astype(call.normalizer.gradient))


@np.errstate(all="ignore")
def _summed_by_head(axis: int, heads: int, *arrays: Array) -> Array:
    """The sum of the product of two arrays for each head; arrays of two axes have one."""
    one, other = (
        (np.moveaxis(array, axis, 0) if array.ndim > 2 else array).reshape(heads, -1)
        for array in arrays
    )
    total: Array = np.einsum("hi,hi->h", one, other, dtype=np.float64, casting="unsafe")
    return total


@np.errstate(all="ignore")
def _factors(call: Call, thresholds: Array, weights: Array) -> tuple[Array, Array]:
    """Z S and Z D, (*batch, H, Lq, Lk), from the weights after dropout."""
    assert call.normalizer is not None
    p, kept = weights, weights.dtype.type(1)
    if call.dropout_p > 0:
        p = np.zeros_like(weights)
        run_weights(call._replace(dropout_p=0.0), thresholds, p)
        growth = 1 / (1 - call.dropout_p) if call.dropout_p < 1 else 0.0
        kept = (weights != 0) * weights.dtype.type(growth)
    alpha = call.normalizer.alphas[:, np.newaxis, np.newaxis]
    p = p.astype(np.float64)
    used = p > 0
    u = np.where(used, p ** (2 - alpha), 0.0)
    s = u / np.maximum(u.sum(axis=-1, keepdims=True), np.finfo(float).tiny)
    h = np.where(used, -p * np.log(np.where(used, p, 1.0)), 0.0)
    d = (p - s) / (alpha - 1) ** 2 + (h - s * h.sum(axis=-1, keepdims=True)) / (alpha - 1)
    return (s * kept).astype(weights.dtype), d * kept
