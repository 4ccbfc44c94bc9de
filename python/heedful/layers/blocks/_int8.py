"""Dense products with weights of int8 or bfloat16, which are not trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from heedful._core import native
from heedful.base._bfloat16_parameter import Bfloat16Parameter
from heedful.base._int8_parameter import Int8Parameter
from heedful.base._mode import Mode
from heedful.base._narrow_parameter import NarrowParameter
from heedful.base._parameter import Parameter
from heedful.base._types import Array


def narrow_product(
    x: Array, weight: NarrowParameter, outputs: slice, bias: Array | None, residual: Array | None,
    activation: str | None, y: Array,
) -> None:  # fmt: skip
    """y = activation(x Wᵀ + bias) + residual with these rows of W; the other arrays have them."""
    after = (bias, residual, activation or "", y)
    if isinstance(weight, Int8Parameter):
        native.int8_forward(
            x, weight.value[outputs], weight.scale.value[outputs], weight.sums[outputs], *after
        )
    else:
        assert isinstance(weight, Bfloat16Parameter)
        native.bfloat16_forward(x, weight.bits[outputs], *after)


def refuse_training(mode: Mode, parameters: Mapping[str, Parameter]) -> None:
    for name, own in parameters.items() if mode.training else ():
        if isinstance(own, NarrowParameter):
            raise RuntimeError(f"{name} is {own.kind} and cannot be trained: call dequantize first")


def int8_shown(parameters: Iterable[Parameter]) -> str:
    """The words in a layer's representation."""
    kinds = (own.kind for own in parameters if isinstance(own, NarrowParameter))
    return next((f", {kind}" for kind in kinds), "")
