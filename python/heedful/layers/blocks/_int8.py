"""Dense products with weights of int8 or bfloat16, which are not trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from heedful._core import native
from heedful.base._bfloat16_parameter import Bfloat16Parameter
from heedful.base._int8_parameter import Int8Parameter
from heedful.base._mode import Mode
from heedful.base._narrow_parameter import NarrowParameter
from heedful.base._parameter import Parameter
from heedful.base._types import Array


def narrow_product(
    x: Array, weight: NarrowParameter, outputs: slice, bias: Array | None, residual: Array | None,
    activation: str | None, y: Array, matrix: Callable[[Array], Array] | None = None,
) -> None:  # fmt: skip
    """y = activation(x Wᵀ + bias) + residual with these rows of W; the other arrays have them.

    `matrix` makes W (Out, In) of rows of a weight of more axes.
    """
    after = (bias, residual, activation or "", y)
    own, _ = narrow_rows(weight)
    rows = own[outputs] if matrix is None else matrix(own[outputs])
    if isinstance(weight, Int8Parameter):
        split = weight.split(matrix) if native.int8_reads_split(len(x)) else None
        if split is not None and outputs != slice(None):
            begin, end, _ = outputs.indices(len(own))
            split = split[0][begin:end], split[1][begin : end + 1], split[2]
        native.int8_forward(
            x, rows, weight.scale.value[outputs], weight.sums[outputs], *after, split
        )
    else:
        native.bfloat16_forward(x, rows, *after)


def narrow_rows(weight: NarrowParameter) -> tuple[Array, Array | None]:
    """The elements as the compiled functions read them, and of int8 the scales of the rows."""
    if isinstance(weight, Int8Parameter):
        return weight.value, weight.scale.value
    return _bits(weight), None


def _bits(weight: NarrowParameter) -> Array:
    assert isinstance(weight, Bfloat16Parameter)
    return weight.bits


def refuse_training(mode: Mode, parameters: Mapping[str, Parameter]) -> None:
    for name, own in parameters.items() if mode.training else ():
        if isinstance(own, NarrowParameter):
            raise RuntimeError(f"{name} is {own.kind} and cannot be trained: call dequantize first")


def int8_shown(parameters: Iterable[Parameter]) -> str:
    """The words in a layer's representation."""
    kinds = (own.kind for own in parameters if isinstance(own, NarrowParameter))
    return next((f", {kind}" for kind in kinds), "")
