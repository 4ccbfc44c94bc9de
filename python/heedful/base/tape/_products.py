"""Steps of products: matrices, and attention as a function."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful.base._types import Array
from heedful.base.tape._step import Found, step, summed_to
from heedful.functional import additive_attention_vjp, attention_vjp


@step(one_type=True)
def matmul(x: Any, y: Any) -> Found:
    """x @ y of matrices with any leading axes, x (…, I, J), y (…, J, K); of vectors as in NumPy.

    A product with a layer's weight is faster as the layer :class:`Linear`.
    """
    rows, columns = np.atleast_2d(x), y if y.ndim > 1 else y[:, None]

    def full(dy: Array) -> Array:
        """With the axes that vectors lack."""
        dy = dy[..., None] if y.ndim == 1 else dy
        return dy[..., None, :] if x.ndim == 1 else dy

    def first(dy: Array) -> Array:
        dx: Array = full(dy) @ np.swapaxes(columns, -1, -2)
        own: Array = summed_to(dx, rows.shape).reshape(x.shape)
        return own

    def second(dy: Array) -> Array:
        own, down = rows, full(dy)
        if columns.ndim == 2 < own.ndim:  # one matrix for all: one product, without a sum of many
            own, down = own.reshape(-1, own.shape[-1]), down.reshape(-1, down.shape[-1])
        dcolumns: Array = np.swapaxes(own, -1, -2) @ down
        all_of: Array = summed_to(dcolumns, columns.shape).reshape(y.shape)
        return all_of

    if y.ndim == 1 and x.ndim == 1:  # a number
        return np.asarray(x @ y), (lambda dy: dy * y, lambda dy: dy * x)
    return x @ y, (first, second)


@step()
def attention(
    query: Any, key: Any, value: Any, bias: Any = None, sink: Any = None, **options: Any
) -> Found:
    """:func:`heedful.attention` with its options: out, or a tuple (out, lse, weights) as asked for.

    Gradients are those of query, key, value, bias and sink. Dropout and noise belong to training
    alone: they are options of the layer :class:`MultiHeadAttention`.
    """
    _refuse_noise(options)
    found, pullback = attention_vjp(query, key, value, bias=bias, sink=sink, **options)
    return found, lambda *dys: _pulled(found, pullback, dys, options)[:5]


@step()
def additive_attention(query: Any, key: Any, value: Any, weight: Any, **options: Any) -> Found:
    """:func:`heedful.additive_attention` with its options; gradients are those of four arrays."""
    _refuse_noise(options)
    found, pullback = additive_attention_vjp(query, key, value, weight, **options)
    return found, lambda *dys: _pulled(found, pullback, dys, options)[:4]


def _refuse_noise(options: dict[str, Any]) -> None:
    for name in ("dropout_p", "key_dropout_p", "gumbel_temperature", "out"):
        if name in options:
            raise TypeError(f"{name} is no option of a step: the layer MultiHeadAttention has it")


def _pulled(found: Any, pullback: Any, dys: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """The gradients of the inputs; those of results that nothing depends on are None."""
    out = found[0] if isinstance(found, tuple) else found
    dout = np.zeros(out.shape, out.dtype) if dys[0] is None else dys[0]
    asked = [name for name in ("lse", "weights") if options.get(f"return_{name}")]
    return pullback(dout, **{f"d{name}": dy for name, dy in zip(asked, dys[1:], strict=True)})
