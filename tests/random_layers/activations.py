"""Activations by heedful's names, as functions of PyTorch's tensors."""

from __future__ import annotations

from typing import Any

import torch


class Kink:
    """How close to 0 the inputs of relu were: there float32 may round to either side."""

    closest = float("inf")


def relu(x: Any) -> Any:
    if x.numel():
        Kink.closest = min(Kink.closest, float(x.detach().abs().min()))
    return torch.relu(x)


def gelu(x: Any) -> Any:
    return x / 2 * (1 + torch.erf(x / 2**0.5))


def gelu_tanh(x: Any) -> Any:
    return x / 2 * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)))


def silu(x: Any) -> Any:
    return x * torch.sigmoid(x)


ACTIVATIONS: dict[str, Any] = {
    "relu": relu,
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "silu": silu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}
