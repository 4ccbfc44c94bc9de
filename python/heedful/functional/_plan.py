"""What shapes, types and plain options determine about a call: checked once, cached for later ones.

Programs use the same few combinations again and again, and checking one takes longer than computing
a tiny call. Nothing here depends on the contents of an array.
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
    floating_type,
    gradient_type,
    readable,
    types_together,
)
from heedful.functional._layout import Shape, check_layout
from heedful.functional._options import ARRAY_NAMES, ARRAYS, INPUTS
from heedful.functional._positions import check_diagonal, check_offset
from heedful.functional._shapes import check_axes
from heedful.functional._top_k import check_top_k

_MAX_PLANS = 1024

Names: TypeAlias = tuple[str, ...]


class Geometry(NamedTuple):
    """The layout of the arrays, and the positions of the queries among the keys."""

    batch: Shape
    length_first: bool  # whether the rows precede the heads
    offset: int
    left: int  # −1: no limit
    right: int
    exclude_self: bool  # whether the key at a query's own position is hidden from it


class Target(NamedTuple):
    """How a gradient is brought from the compiled function to the shape and type of its input."""

    shape: Shape  # as it is computed
    repeated: Shape  # the input's, with as many axes: summed over where it is 1
    given: Shape
    dtype: DType
    finished: bool  # nothing remains to be done


class Plan:
    """Sizes, types and positions of all calls with the same description."""

    def __init__(self, arrays: tuple[Any, ...], values: tuple[Any, ...], names: Names) -> None:
        query, key, value = arrays[:3]
        options = dict(zip(ARRAY_NAMES[3:], arrays[3:], strict=True))
        bias, sink = options["bias"], options["sink"]
        causal, window, exclude_self, align, top_k, layout, packed = values
        length_first = check_layout(layout)
        types = types_together(query, key, value, names)
        if packed:
            _check_packed_axes(query, key, value)
        self.axes = axes = check_axes(query.shape, key.shape, value.shape, length_first, names)
        self.dtype = types[0]  # of query and out
        self.computing = computing_type(self.dtype)
        self.scale = 1.0 / math.sqrt(axes.depth) if axes.depth else 1.0
        self.top_k = check_top_k(top_k, axes.key_length)
        self.diagonal = check_diagonal(
            causal, window, exclude_self, align, options["alibi_slopes"] is not None
        )
        self.by_item = self.diagonal.by_item
        offset = 0
        if not packed:
            offset = check_offset(self.diagonal, axes.query_length, axes.key_length)
        self.geometry = Geometry(
            axes.batch, length_first, offset, *self.diagonal.limits, bool(exclude_self)
        )
        for option in ARRAYS:
            if option.check is not None and options[option.name] is not None:
                option.check(options[option.name], axes)
        bias_type = None if bias is None else floating_type("bias", bias)
        # types that query, key, value and bias must be converted to; None: read in place
        self.conversions = tuple(
            None if array is None or dtype is None or readable(array, dtype) else dtype
            for array, dtype in zip((query, key, value, bias), (*types, bias_type), strict=True)
        )
        # not by ==: NumPy takes None for float64
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
        """The gradients of query, key and value, each computed for the whole batch."""
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


plans: dict[bytes | None, Plan] = {}  # by native.describe, which covers all they depend on


def find_plan(
    arrays: tuple[Any, ...], values: tuple[Any, ...], names: Names
) -> tuple[Plan, tuple[Any, ...]]:
    """The plan of a call that was not found as it was written, and its arrays converted.

    `names` are those of query, key and value that messages may mention.
    """
    arrays = tuple(
        array if array is None and name not in INPUTS else as_array(name, array)
        for name, array in zip(ARRAY_NAMES, arrays, strict=True)
    )
    description = native.describe(arrays, values)
    plan = plans.get(description)
    if plan is None:
        plan = Plan(arrays, values, names)
        if description is not None:
            if len(plans) >= _MAX_PLANS:  # shapes that change with every call fill it: start anew
                plans.clear()
            plans[description] = plan
    return plan, arrays


def _check_packed_axes(query: Array, key: Array, value: Array) -> None:
    for name, array in (("query", query), ("key", key), ("value", value)):
        if array.ndim != 3:
            raise ValueError(f"{name} must have shape (tokens, heads, depth): got {array.shape}")
