"""vmap: the mapped axis becomes the first of the leading axes, where it can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from heedful.integrations.torch._call import DIFFERENTIABLE, Tensors, Values, batch, split
from heedful.integrations.torch._tensors import Tensor

_BEFORE = 6  # arguments of the backward operator before the tensors


def map_forward(operator: Callable[..., Any]) -> Callable[..., Any]:
    """The rule of the forward operator."""

    def rule(info: Any, in_dims: tuple[Any, ...], *arguments: Any) -> tuple[Any, Any]:
        tensors, values = split(arguments)
        dims = Tensors(*in_dims[: len(tensors)])
        if _needs_a_loop(tensors, dims, values):
            return _one_by_one(operator, info.batch_size, in_dims, arguments)
        mapped = _stacked(tensors, dims, info.batch_size)
        found = operator(*mapped, *values)
        return found, tuple(0 if one.dim() > 1 else None for one in found)

    return rule


def map_backward(operator: Callable[..., Any]) -> Callable[..., Any]:
    """The rule of the backward operator: each item has gradients of its own."""

    def rule(info: Any, in_dims: tuple[Any, ...], *arguments: Any) -> tuple[Any, Any]:
        tensors, values = split(arguments[_BEFORE:])
        dims = Tensors(*in_dims[_BEFORE : _BEFORE + len(tensors)])
        shared = tensors.sink is not None or tensors.alphas is not None
        if shared or _needs_a_loop(tensors, dims, values):  # their gradients sum over all items
            return _one_by_one(operator, info.batch_size, in_dims, arguments)
        count = info.batch_size
        mapped = _stacked(tensors, dims, count, every=True)
        before = (
            one if one is None else _first(one, dim, count)
            for one, dim in zip(arguments[:_BEFORE], in_dims[:_BEFORE], strict=True)
        )
        found = list(operator(*before, *mapped, *values))
        bias = DIFFERENTIABLE.index("bias")
        if tensors.bias is not None and values.bias_gradient:
            own = list(tensors.bias.shape)
            if dims.bias is not None:
                del own[dims.bias]
            found[bias] = found[bias].reshape(count, *own)
        return tuple(found), tuple(0 if one.dim() > 1 else None for one in found)

    return rule


def _needs_a_loop(tensors: Tensors, dims: Tensors, values: Values) -> bool:
    """Noise counts the items; a sink or α of each item is more than one for each head."""
    return tensors.seed is not None or dims.sink is not None or dims.alphas is not None


def _first(tensor: Tensor, dim: int | None, count: int) -> Tensor:
    """The mapped axis first; a tensor without one is repeated."""
    return tensor.expand(count, *tensor.shape) if dim is None else tensor.movedim(dim, 0)


def _stacked(tensors: Tensors, dims: Tensors, count: int, every: bool = False) -> Tensors:
    """All tensors with the mapped axis first; with `every` also those that need none."""
    items = tensors._asdict()
    own = {
        name: tensor if dim is None else tensor.select(dim, 0)
        for (name, tensor), dim in zip(items.items(), dims, strict=True)
    }
    leading = batch(Tensors(**own))
    inputs = ("query", "key", "value")
    # one of them must have the axis
    every_input = every or all(getattr(dims, name) is None for name in inputs)
    axes = tensors.query.dim() - (dims.query is not None)
    for name, dim in zip(Tensors._fields, dims, strict=True):
        tensor = items[name]
        if tensor is None:
            continue
        if name in inputs:
            if dim is not None or every_input:
                items[name] = _first(tensor, dim, count)
        elif name in ("mask", "bias"):
            if dim is not None or every:
                one = _first(tensor, dim, count)
                missing = [1] * (axes + 1 - one.dim())
                items[name] = one.reshape(count, *missing, *one.shape[1:])
        elif name in ("q_lengths", "kv_lengths", "offsets"):
            one = _first(tensor, dim, count)
            items[name] = one.expand(count, *leading)
        elif name == "alibi_slopes" and (dim is not None or tensor.dim() > 1):
            one = _first(tensor, dim, count)
            missing = [1] * (len(leading) + 2 - one.dim())
            heads = one.shape[-1]
            one = one.reshape(count, *missing, *one.shape[1:])
            items[name] = one.expand(count, *leading, heads)
    return Tensors(**items)


def _one_by_one(
    operator: Callable[..., Any], count: int, in_dims: tuple[Any, ...], arguments: tuple[Any, ...]
) -> tuple[Any, Any]:
    found = [
        operator(
            *(
                one if dim is None else one.select(dim, item)
                for one, dim in zip(arguments, in_dims, strict=True)
            )
        )
        for item in range(count)
    ]
    stacked = tuple(torch.stack(results) for results in zip(*found, strict=True))
    return stacked, (0,) * len(stacked)
