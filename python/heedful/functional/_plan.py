"""What shapes, types and plain options decide for a call: checked once, and kept for the next one.

Programs use the same few combinations again and again, and to check one takes longer than a tiny
call computes. Nothing here depends on what an array holds.
"""

import math
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

from heedful._core import native
from heedful.functional._dtypes import (
    Array,
    DType,
    as_array,
    computing_type,
    converted,
    gradient_type,
    readable,
    types_together,
)
from heedful.functional._layout import Shape, check_layout
from heedful.functional._positions import Positions, check_diagonal, check_position
from heedful.functional._restrictions import check_bias, check_mask, check_sink
from heedful.functional._shapes import check_axes

PACKED = "packed"  # stands for a layout: (tokens, heads, depth) in "blhd", cut into sequences
INPUTS = ("query", "key", "value")
_MOST = 1024  # plans kept

Names: TypeAlias = tuple[str, ...]
# batch, whether the rows stand before the heads, offset, left, right
Rules: TypeAlias = tuple[Shape, bool, int, int, int]
# query, key, value, mask, bias, alibi_slopes and sink as the caller gave them
Given: TypeAlias = tuple[
    Array, Array, Array, Array | None, Array | None, Array | None, Array | None
]


class Target(NamedTuple):
    """The way of a gradient from the compiled function to the shape and type of its input."""

    shape: Shape  # as it is computed
    repeated: Shape  # the input's, with as many axes: summed over where it is 1
    given: Shape
    dtype: DType
    finished: bool  # as it is computed


class Plan:
    """Sizes, types and positions of all calls that look the same."""

    def __init__(
        self, given: Given, causal: Any, window: Any, align: Any, layout: str, names: Names
    ) -> None:
        query, key, value, mask, bias, alibi_slopes, sink = given
        packed = layout is PACKED
        length_first = packed or check_layout(layout)
        types = types_together(query, key, value, names)
        if packed:
            _check_packed_axes(query, key, value)
        self.axes = axes = check_axes(query.shape, key.shape, value.shape, length_first, names)
        self.dtype = types[0]  # of query and out
        self.computing = computing_type(self.dtype)
        self.scale = 1.0 / math.sqrt(axes.depth) if axes.depth else 1.0
        self.diagonal = check_diagonal(causal, window, align, alibi_slopes is not None)
        position = Positions(None, 0, -1, -1)
        if not packed:
            position = check_position(self.diagonal, axes.query_length, axes.key_length)
        self.rules: Rules = (axes.batch, length_first, *position[1:])
        self.by_item = self.diagonal.by_item
        if mask is not None:
            check_mask(mask, axes.scores)
        bias_type = None if bias is None else check_bias(bias, axes.scores)
        if sink is not None:
            check_sink(sink, axes.heads)
        # what has to be converted before it can be read, of query, key, value and bias
        self.conversions = tuple(
            None if array is None or dtype is None or readable(array, dtype) else dtype
            for array, dtype in zip((query, key, value, bias), (*types, bias_type), strict=True)
        )
        # not by ==, for None is float64 to NumPy
        self.converts = any(dtype is not None for dtype in self.conversions)
        self._shapes = (query.shape, key.shape, value.shape)
        self._types = (query.dtype, key.dtype, value.dtype)
        self.bias = None if bias is None else (bias.shape, gradient_type(bias.dtype))
        self.sink_type = None if sink is None else gradient_type(sink.dtype)

    def convert(self, arrays: tuple[Any, ...]) -> list[Any]:
        """Query, key, value and bias as they are read."""
        return [
            array if dtype is None else converted(array, dtype)
            for array, dtype in zip(arrays, self.conversions, strict=True)
        ]

    @cached_property
    def gradients(self) -> tuple[Target, Target, Target]:
        """Those of query, key and value, each computed for the whole batch."""
        axes = self.axes
        sizes = (
            (axes.heads, axes.query_length, axes.depth),
            (axes.kv_heads, axes.key_length, axes.depth),
            (axes.kv_heads, axes.key_length, axes.value_depth),
        )
        query, key, value = (
            self._target(shape, dtype, *size)
            for shape, dtype, size in zip(self._shapes, self._types, sizes, strict=True)
        )
        return query, key, value

    def _target(self, given: Shape, dtype: DType, heads: int, length: int, depth: int) -> Target:
        axes, wanted = self.axes, gradient_type(dtype)
        if axes.layout.axes == 1:  # a single query: key and value have two axes
            return Target(given, given, given, wanted, wanted == self.computing)
        shape = axes.layout.shape(axes.batch, heads, length, depth)
        repeated = axes.layout.with_heads(given)
        finished = shape == given and wanted == self.computing
        return Target(shape, repeated, given, wanted, finished)


_plans: dict[Any, Plan] = {}


def find_plan(
    query: Any,
    key: Any,
    value: Any,
    mask: Any,
    bias: Any,
    alibi_slopes: Any,
    sink: Any,
    causal: Any,
    window: Any,
    align: Any,
    layout: Any,
    names: Names = INPUTS,
) -> tuple[Plan, Given]:
    """The plan, and the arrays as arrays. All that decides it is in the key: see describe.

    `names` are those of query, key and value that messages may speak of.
    """
    plan = _plans.get(
        native.describe(
            query, key, value, mask, bias, alibi_slopes, sink, layout, causal, window, align
        )
    )
    if plan is not None:  # then they are arrays already
        return plan, (query, key, value, mask, bias, alibi_slopes, sink)
    given: Given = (
        as_array("query", query),
        as_array("key", key),
        as_array("value", value),
        None if mask is None else as_array("mask", mask),
        None if bias is None else as_array("bias", bias),
        None if alibi_slopes is None else as_array("alibi_slopes", alibi_slopes),
        None if sink is None else as_array("sink", sink),
    )
    description = native.describe(*given, layout, causal, window, align)
    plan = _plans.get(description)
    if plan is None:
        plan = Plan(given, causal, window, align, layout, names)
        if description is not None:
            if len(_plans) >= _MOST:  # shapes that change with every call fill it: start again
                _plans.clear()
            _plans[description] = plan
    return plan, given


def _check_packed_axes(query: Array, key: Array, value: Array) -> None:
    for name, array in (("query", query), ("key", key), ("value", value)):
        if array.ndim != 3:
            raise ValueError(f"{name} must have shape (tokens, heads, depth): got {array.shape}")
