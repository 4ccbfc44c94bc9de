"""Tensors as arrays and arrays as tensors, which share memory; the only place that converts."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from heedful._checks import is_bfloat16
from heedful._torch_tensors import refuse_tangent, refuse_without_data, unreadable

Array = NDArray[Any]
Tensor = Any  # torch.Tensor: torch need not be installed where types are checked


def as_array(name: str, tensor: Tensor) -> Array:
    """The elements of a tensor, without a copy whatever its strides; gradients are not recorded.

    bfloat16 becomes ml_dtypes' type, which heedful computes with. A negated or conjugated view is
    copied: its memory holds other elements. TypeErrors begin with the tensor's `name`.
    """
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"{name} must be a torch.Tensor: got {type(tensor).__name__}")
    refuse_without_data(name, tensor)
    refuse_tangent(name, tensor)
    tensor = tensor.detach()
    if tensor.is_conj():
        tensor = tensor.resolve_conj()
    if tensor.is_neg():
        tensor = tensor.resolve_neg()
    try:
        found: Array = (
            tensor.view(torch.int16).numpy().view(bfloat16())
            if tensor.dtype == torch.bfloat16
            else tensor.numpy()
        )
    except (RuntimeError, TypeError) as error:
        raise unreadable(name, error) from None
    return found


def as_tensor(array: Array) -> Tensor:
    """A tensor in the array's memory."""
    if is_bfloat16(array.dtype):
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


@cache
def bfloat16() -> np.dtype[Any]:
    """The type of bfloat16 arrays."""
    try:
        from ml_dtypes import bfloat16 as kind
    except ImportError:
        raise ImportError("tensors of bfloat16 need the package ml_dtypes") from None
    found: np.dtype[Any] = np.dtype(kind)
    return found
