"""Dense products with weights of int8."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from heedful._core import native
from heedful.base._int8_parameter import Int8Parameter
from heedful.base._mode import Mode
from heedful.base._parameter import Parameter
from heedful.base._types import Array


def int8_product(
    x: Array, weight: Int8Parameter, outputs: slice, bias: Array | None, residual: Array | None,
    activation: str | None, y: Array,
) -> None:  # fmt: skip
    """y = activation(x Wᵀ + bias) + residual with these rows of W; the other arrays have them."""
    native.int8_forward(
        x, weight.value[outputs], weight.scale.value[outputs], weight.sums[outputs], bias, residual,
        activation or "", y,
    )  # fmt: skip


def refuse_training(mode: Mode, parameters: Mapping[str, Parameter]) -> None:
    for name, own in parameters.items() if mode.training else ():
        if isinstance(own, Int8Parameter):
            raise RuntimeError(f"{name} is int8 and cannot be trained: call dequantize first")


def int8_shown(parameters: Iterable[Parameter]) -> str:
    """The words in a layer's representation."""
    return ", int8" if any(isinstance(own, Int8Parameter) for own in parameters) else ""
