"""swap and unswap: the attention layers of an existing model, computed by heedful."""

from __future__ import annotations

from typing import Any, TypeVar

import torch

from heedful._checks import named
from heedful.integrations.torch._multihead_attention import MultiheadAttention

Model = TypeVar("Model", bound=Any)  # torch.nn.Module

_BEFORE = "_before_heedful"
# PyTorch computes whole layers at once where these are not 0, past their attention's forward
_FAST_PATHS: tuple[tuple[str, str, Any], ...] = (
    ("TransformerEncoderLayer", "activation_relu_or_gelu", 0),
    ("TransformerEncoder", "use_nested_tensor", False),
)


def swap(model: Model) -> Model:
    """Compute every ``torch.nn.MultiheadAttention`` of a model with heedful.

    In place: parameters, hooks and the names in ``state_dict`` stay, and so do the layers, whose
    class becomes :class:`MultiheadAttention`. PyTorch's fused path of ``TransformerEncoderLayer``
    in evaluation, which leaves its attention layer out, is switched off in this model.

    Parameters
    ----------
    model : torch.nn.Module
        A layer or what contains layers. Layers of classes derived from PyTorch's are left alone.

    Returns
    -------
    model
        The argument itself.

    Raises
    ------
    TypeError
        What is no module.
    ValueError
        A model without such a layer: nothing would be faster.

    See Also
    --------
    unswap : takes it back.
    activate : for models that call ``scaled_dot_product_attention``.

    Notes
    -----
    Swapping twice is the same as once. For a model that only infers, has no dropout and needs no
    weights, PyTorch's fused path may be as fast.

    Examples
    --------
    >>> import torch
    >>> from heedful.integrations.torch import swap, unswap
    >>> model = swap(torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True))
    >>> type(model.self_attn).__module__.split(".")[0]
    'heedful'
    >>> type(unswap(model).self_attn).__module__.split(".")[0]
    'torch'
    """
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model must be a torch.nn.Module: got {named(model)}")
    layers = [one for one in model.modules() if type(one) is torch.nn.MultiheadAttention]
    if not layers and not any(isinstance(one, MultiheadAttention) for one in model.modules()):
        raise ValueError(
            "model must contain a torch.nn.MultiheadAttention: got a "
            f"{type(model).__name__} without one, heedful.integrations.torch.activate reaches "
            "models that call scaled_dot_product_attention"
        )
    for layer in layers:
        layer.__class__ = MultiheadAttention
    for module in model.modules():
        for kind, name, off in _FAST_PATHS:
            if isinstance(module, getattr(torch.nn, kind)) and _BEFORE not in vars(module):
                setattr(module, _BEFORE, getattr(module, name))
                setattr(module, name, off)
    return model


def unswap(model: Model) -> Model:
    """Return the attention layers of a model to PyTorch's class.

    Parameters
    ----------
    model : torch.nn.Module
        One that :func:`swap` changed; nothing happens to others.

    Returns
    -------
    model
        The argument itself.

    Raises
    ------
    TypeError
        What is no module.
    """
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model must be a torch.nn.Module: got {named(model)}")
    for module in model.modules():
        if type(module) is MultiheadAttention:
            module.__class__ = torch.nn.MultiheadAttention
        for kind, name, _ in _FAST_PATHS:
            if isinstance(module, getattr(torch.nn, kind)) and _BEFORE in vars(module):
                setattr(module, name, getattr(module, _BEFORE))
                delattr(module, _BEFORE)
    return model
