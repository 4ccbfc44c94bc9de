"""Dense products with weights of int8 or bfloat16, which are not trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from heedful._core import native
from heedful.base._bfloat16_parameter import Bfloat16Parameter
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


def bfloat16_product(
    x: Array, weight: Bfloat16Parameter, outputs: slice, bias: Array | None,
    residual: Array | None, activation: str | None, y: Array,
) -> None:  # fmt: skip
    """The same of bfloat16."""
    native.bfloat16_forward(x, weight.bits[outputs], bias, residual, activation or "", y)


def refuse_training(mode: Mode, parameters: Mapping[str, Parameter]) -> None:
    for name, own in parameters.items() if mode.training else ():
        kind = _kind(own)
        if kind:
            raise RuntimeError(f"{name} is {kind} and cannot be trained: call dequantize first")


def int8_shown(parameters: Iterable[Parameter]) -> str:
    """The words in a layer's representation."""
    return next((f", {kind}" for kind in map(_kind, parameters) if kind), "")


def _kind(parameter: Parameter) -> str:
    if isinstance(parameter, Int8Parameter):
        return "int8"
    return "bfloat16" if isinstance(parameter, Bfloat16Parameter) else ""
