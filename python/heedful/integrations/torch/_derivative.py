"""What PyTorch's autograd and transforms know of the operators: reverse mode, once.

torch.compile and torch.export trace the operators, with what is registered for them. Otherwise,
where there may be derivatives, they are called within an autograd.Function: it composes with
torch.func's transforms, refuses forward mode instead of losing the tangents, and costs a third of
the operators' own autograd.
"""

from __future__ import annotations

from typing import Any

import torch

from heedful.integrations.torch import _operator
from heedful.integrations.torch._block_masks import numbered, numbered_as
from heedful.integrations.torch._call import DIFFERENTIABLE, Tensors, Values, split
from heedful.integrations.torch._mapped import map_backward, map_forward
from heedful.integrations.torch._tensors import Tensor

_NO_TANGENT = (
    "attention has no forward-mode derivative: use reverse mode, torch.autograd.grad or "
    "torch.func.vjp"
)
_NO_SECOND = "attention has no second derivative: its gradient cannot be differentiated"


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    tensors, values = split(inputs)
    out, lse, _, unrounded = output
    ctx.save_for_backward(out, lse, unrounded, *tensors)
    ctx.values, ctx.mask = values, numbered_as(values.block_mask)
    ctx.set_materialize_grads(False)
    return None


def _upstream(ctx: Any, gradients: tuple[Any, ...]) -> tuple[Any, ...]:
    """(dout, dlse, dweights, out, lse, unrounded) and the tensors."""
    out, lse, unrounded, *tensors = ctx.saved_tensors
    dout, dlse, dweights, _ = gradients
    return (
        torch.zeros_like(out) if dout is None else dout,
        dlse if lse.numel() else None,
        dweights if ctx.values.weights else None,
        out, lse, unrounded, *tensors,
    )  # fmt: skip


def _in_order(gradients: tuple[Tensor, ...], needed: tuple[bool, ...]) -> tuple[Any, ...]:
    """One for each argument of the forward operator."""
    found = dict(zip(DIFFERENTIABLE, gradients, strict=True))
    of_tensors = (
        found.get(name) if need else None
        for name, need in zip(Tensors._fields, needed, strict=False)
    )
    return (*of_tensors, *[None] * len(Values._fields))


def _backward(ctx: Any, *gradients: Any) -> tuple[Any, ...]:
    with numbered(ctx.mask) as number:
        values = ctx.values._replace(block_mask=number)
        found = _operator.attention_backward(*_upstream(ctx, gradients), *values)
    return _in_order(found, ctx.needs_input_grad)


def _refuse_second(ctx: Any, *gradients: Any) -> Any:
    raise NotImplementedError(_NO_SECOND)


torch.library.register_autograd("heedful::attention", _backward, setup_context=_setup)
torch.library.register_autograd("heedful::attention_backward", _refuse_second)
torch.library.register_vmap("heedful::attention", map_forward(_operator.attention))
torch.library.register_vmap(
    "heedful::attention_backward", map_backward(_operator.attention_backward)
)


class _Attention(torch.autograd.Function):  # type: ignore[misc]
    """The forward operator."""

    @staticmethod
    def forward(*arguments: Any) -> Any:
        return _operator.attention(*arguments)

    setup_context = staticmethod(_setup)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        with numbered(ctx.mask) as number:
            values = ctx.values._replace(block_mask=number)
            found = _Gradient.apply(*_upstream(ctx, gradients), *values)
        return _in_order(found, ctx.needs_input_grad)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *arguments: Any) -> Any:
        return map_forward(_Attention.apply)(info, in_dims, *arguments)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        raise NotImplementedError(_NO_TANGENT)


class _Gradient(torch.autograd.Function):  # type: ignore[misc]
    """The backward operator."""

    @staticmethod
    def forward(*arguments: Any) -> Any:
        return _operator.attention_backward(*arguments)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        pass

    backward = staticmethod(_refuse_second)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *arguments: Any) -> Any:
        return map_backward(_Gradient.apply)(info, in_dims, *arguments)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        raise NotImplementedError(_NO_SECOND)


def attend(tensors: Tensors, values: Values) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """out, lse, weights, and out unrounded."""
    forward_mode = torch.autograd.forward_ad._current_level >= 0
    if torch.compiler.is_compiling():
        if forward_mode:
            raise NotImplementedError(_NO_TANGENT)
        call = _operator.attention
    elif values.gradients or forward_mode or torch._C._are_functorch_transforms_active():
        call = _Attention.apply
    else:
        call = _operator.attention
    found: tuple[Tensor, Tensor, Tensor, Tensor] = call(*tensors, *values)
    return found
