"""heedful::attention and its gradient as operators of PyTorch: kernels, and fakes to trace with.

    attention(tensors, values)                     → out, lse, weights, unrounded
    attention_backward(dout, dlse, dweights, out, lse, unrounded, tensors, values)
                                                   → gradients of query, key, value, bias, sink, α

Results that a call does not have are empty, (0,). `unrounded` is out in float32, from which the
gradients of 16-bit inputs are computed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import heedful
from heedful.integrations.torch._call import (
    DIFFERENTIABLE,
    TENSORS,
    VALUES,
    Tensors,
    batch,
    differentiable,
    is_softmax,
    options,
    sizes,
    split,
)
from heedful.integrations.torch._tensors import Array, Tensor, as_array, as_tensor
from heedful.integrations.torch._threads import on_torch_threads

Results = tuple[Tensor, Tensor, Tensor, Tensor]

# It lives as long as the process: operators cannot be defined twice.
_library = torch.library.Library("heedful", "DEF")
_library.define(
    f"attention({TENSORS}, {VALUES}) -> (Tensor, Tensor, Tensor, Tensor)",
    tags=(torch.Tag.needs_exact_strides,),
)
_library.define(
    "attention_backward(Tensor dout, Tensor? dlse, Tensor? dweights, Tensor out, Tensor lse, "
    f"Tensor unrounded, {TENSORS}, {VALUES}) -> ({', '.join(['Tensor'] * len(DIFFERENTIABLE))})",
    tags=(torch.Tag.needs_exact_strides,),
)
attention = torch.ops.heedful.attention.default
attention_backward = torch.ops.heedful.attention_backward.default


def _attend(*arguments: Any) -> Results:
    tensors, values = split(arguments)
    softmax = is_softmax(tensors, values)
    exact = softmax and values.gradients and tensors.query.itemsize == 2
    query, key, value = _inputs(tensors)
    # a float32 query leaves key and value in 16 bits
    query = as_array("query", tensors.query.float()) if exact else query
    with on_torch_threads():
        found = heedful.attention(
            query, key, value, return_lse=softmax, return_weights=values.weights,
            average_heads=values.average, **options(tensors, values),
        )  # fmt: skip
    out, *others = found if isinstance(found, tuple) else (found,)
    result = as_tensor(out)
    return (
        result.to(tensors.query.dtype) if exact else result,
        as_tensor(others.pop(0)) if softmax else _none(tensors),
        as_tensor(others.pop(0)) if values.weights else _none(tensors),
        result if exact else _none(tensors),
    )


def _attend_fake(*arguments: Any) -> Results:
    tensors, values = split(arguments)
    query, leading = tensors.query, batch(tensors)
    heads, length, keys, depth = sizes(tensors, values)
    rows = (heads, length) if values.layout == "bhld" else (length, heads)
    computing = torch.float64 if query.dtype == torch.float64 else torch.float32
    softmax = is_softmax(tensors, values)
    shape = (*leading, *rows, depth)
    return (
        query.new_empty(shape),
        query.new_empty((*leading, heads, length), dtype=computing) if softmax else _none(tensors),
        query.new_empty((*leading, *([] if values.average else [heads]), length, keys),
                        dtype=computing) if values.weights else _none(tensors),
        query.new_empty(shape, dtype=torch.float32)
        if softmax and values.gradients and query.itemsize == 2 else _none(tensors),
    )  # fmt: skip


def _differentiate(
    dout: Tensor,
    dlse: Tensor | None,
    dweights: Tensor | None,
    out: Tensor,
    lse: Tensor,
    unrounded: Tensor,
    *arguments: Any,
) -> tuple[Tensor, ...]:
    tensors, values = split(arguments)
    given = options(tensors, values)
    upstream: dict[str, Any] = {
        name: as_array(name, tensor)
        for name, tensor in (("dlse", dlse), ("dweights", dweights))
        if tensor is not None
    }
    if dweights is not None and values.average:  # the same for each head
        heads, length, keys, _ = sizes(tensors, values)
        shape = (*batch(tensors), heads, length, keys)
        upstream["dweights"] = np.broadcast_to(upstream["dweights"][..., None, :, :] / heads, shape)
    query, key, value = _inputs(tensors)
    with on_torch_threads():
        if dweights is not None or not is_softmax(tensors, values):
            # their pullback needs what only the forward pass has: it is repeated
            _, pullback = heedful.attention_vjp(
                query, key, value, return_weights=dweights is not None, **given
            )
            gradients = pullback(as_array("dout", dout), **upstream)
        else:
            gradients = heedful.attention_backward(
                as_array("dout", dout), query, key, value,
                as_array("out", unrounded if unrounded.numel() else out), as_array("lse", lse),
                bias_gradient=values.bias_gradient, **{**upstream, **given},
            )  # fmt: skip
    found = {
        **dict(zip(DIFFERENTIABLE, gradients, strict=False)),
        "alphas": getattr(gradients, "normalizer", None),
    }
    return tuple(
        as_tensor(np.ascontiguousarray(found[name])) if tensor is not None else _none(tensors)
        for name, tensor in differentiable(tensors, values).items()
    )


def _differentiate_fake(
    dout: Tensor,
    dlse: Tensor | None,
    dweights: Tensor | None,
    out: Tensor,
    lse: Tensor,
    unrounded: Tensor,
    *arguments: Any,
) -> tuple[Tensor, ...]:
    tensors, values = split(arguments)
    return tuple(
        _none(tensors) if tensor is None else tensor.new_empty(tensor.shape)
        for tensor in differentiable(tensors, values).values()
    )


def _inputs(tensors: Tensors) -> tuple[Array, Array, Array]:
    return (
        as_array("query", tensors.query),
        as_array("key", tensors.key),
        as_array("value", tensors.value),
    )


def _none(tensors: Tensors) -> Tensor:
    return tensors.query.new_empty(0)


_library.impl("attention", _attend, "CPU")
_library.impl("attention_backward", _differentiate, "CPU")
torch.library.register_fake("heedful::attention", _attend_fake, lib=_library)
torch.library.register_fake("heedful::attention_backward", _differentiate_fake, lib=_library)
