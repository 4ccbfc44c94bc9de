"""Projections to queries, keys and values, of one to three input arrays."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from heedful._core import native
from heedful._core._memory import empty
from heedful.base._narrow_parameter import NarrowParameter
from heedful.base._parameter import Parameter
from heedful.base._types import Array, DType
from heedful.layers.blocks._initial import glorot
from heedful.layers.blocks._int8 import narrow_product
from heedful.layers.blocks._rows import as_rows
from heedful.layers.blocks._weight_gradients import add_gradients


class Projected(Protocol):
    """The layer that owns the parameters: its heads, and the widths of its inputs."""

    d_model: int
    num_heads: int
    num_kv_heads: int
    depth: int
    kdim: int
    vdim: int
    dtype: DType
    in_proj_weight: Any
    in_proj_bias: Any

    def own_parameters(self) -> dict[str, Parameter]: ...
    def array(self, name: str, given: Any, width: int | None = None) -> Array: ...


def make_projections(layer: Projected, bias: bool, rng: np.random.Generator) -> None:
    """Create the parameters of a layer: one weight if all inputs have the same width."""
    wide, narrow = layer.num_heads * layer.depth, layer.num_kv_heads * layer.depth
    rows = {"q": wide, "k": narrow, "v": narrow}
    widths = {"q": layer.d_model, "k": layer.kdim, "v": layer.vdim}
    if layer.kdim == layer.vdim == layer.d_model:
        shape = (sum(rows.values()), layer.d_model)
        layer.in_proj_weight = Parameter(glorot(rng, shape, layer.dtype))
    else:
        for name, count in rows.items():
            weight = glorot(rng, (count, widths[name]), layer.dtype)
            setattr(layer, f"{name}_proj_weight", Parameter(weight))
    layer.in_proj_bias = Parameter(np.zeros(sum(rows.values()), layer.dtype)) if bias else None


class Projections:
    """Projects the inputs of one call, and propagates gradients back to them.

    Inputs that are the same array are projected together, by adjacent rows of the weight.
    """

    def __init__(self, layer: Projected, query: Any, key: Any, value: Any) -> None:
        if key is None and value is not None:
            raise ValueError("key must be given where value is: got None")
        self.layer = layer
        wide, narrow = layer.num_heads * layer.depth, layer.num_kv_heads * layer.depth
        self.rows = (wide, narrow, narrow)  # outputs of q, k, v
        self.begins = (0, wide, wide + narrow)
        # the argument to whose gradient each of q, k, v contributes
        self.arguments = (0, 0, 0) if key is None else (0, 1, 1) if value is None else (0, 1, 2)
        query = layer.array("query", query, layer.d_model)
        key = layer.array("key", query if key is None else key, layer.kdim)
        value = layer.array("value", key if value is None else value, layer.vdim)
        self.inputs: tuple[Array, Array, Array] = (query, key, value)
        for name, array in zip(("query", "key", "value"), self.inputs, strict=True):
            if array.ndim < 2:
                raise ValueError(
                    f"{name} must have positions and features as axes: got shape {array.shape}"
                )

    def project(self) -> list[Array]:
        """q (…, Lq, H, D), k (…, Lk, Hkv, D), v (…, Lk, Hkv, D)."""
        outputs: list[Array] = []
        fused = "in_proj_weight" in self.layer.own_parameters()
        first = 0
        for last in (1, 2, 3):
            if last == 3 or not fused or self.inputs[last] is not self.inputs[first]:
                outputs += self._project(first, last)
                first = last
        return outputs

    @property
    def is_self(self) -> bool:
        """Whether queries, keys and values are from one sequence."""
        return self.arguments == (0, 0, 0)

    def project_query(self) -> Array:
        return self._project(0, 1)[0]

    def _project(self, first: int, last: int) -> list[Array]:
        """Items [first, last) of q, k, v, which have the same input."""
        x, depth = self.inputs[first], self.layer.depth
        weight, outputs = self._weight(first), sum(self.rows[first:last])
        rows = as_rows(x)
        y = empty((len(rows), outputs), self.layer.dtype)
        own = self.layer.own_parameters().get("in_proj_bias")
        bias = None if own is None else own.value[self.begins[first] :][:outputs]
        if isinstance(weight, NarrowParameter):
            narrow_product(rows, weight, self._outputs(first, last), bias, None, None, y)
        else:
            part = weight.value[self._outputs(first, last)]
            native.linear_forward(rows, part, bias, None, "", None, y)
        heads = y.reshape(*x.shape[:-1], outputs // depth, depth)
        begins = [(self.begins[part] - self.begins[first]) // depth for part in range(first, last)]
        return [
            heads[..., begin : begin + self.rows[part] // depth, :]
            for begin, part in zip(begins, range(first, last), strict=True)
        ]

    def backward(self, *gradients: Array) -> Any:
        """The gradient of each argument, from those of q, k and v."""
        found: list[Array] = []
        for part, (x, dy) in enumerate(zip(self.inputs, gradients, strict=True)):
            rows = as_rows(x)
            dy = as_rows(dy.reshape(*dy.shape[:-2], self.rows[part]))
            accumulate = self.arguments[part] < len(found)
            if not accumulate:
                found.append(empty(rows.shape, self.layer.dtype))
            weight = self._weight(part).value[self._outputs(part, part + 1)]
            native.linear_gradient_input(dy, weight, found[-1], accumulate)
            self._add_gradients(part, dy, rows)
        shaped = [
            dx.reshape(self.inputs[self.arguments.index(argument)].shape)
            for argument, dx in enumerate(found)
        ]
        return shaped[0] if len(shaped) == 1 else tuple(shaped)

    def _add_gradients(self, part: int, dy: Array, x: Array) -> None:
        own = self.layer.own_parameters().get("in_proj_bias")
        dbias = None if own is None else own.buffer()
        if dbias is not None:
            dbias = dbias[self.begins[part] :][: self.rows[part]]
        dweight = self._weight(part).buffer()
        if dweight is not None:
            dweight = dweight[self._outputs(part, part + 1)]
        add_gradients(dy, x, dweight, dbias)

    def _weight(self, part: int) -> Parameter:
        """The weight that projects to q, k or v."""
        own = self.layer.own_parameters()
        return own.get("in_proj_weight") or own[f"{'qkv'[part]}_proj_weight"]

    def _outputs(self, first: int, last: int) -> slice:
        """The rows of their weight for items [first, last) of q, k, v: all, unless it is joint."""
        if "in_proj_weight" not in self.layer.own_parameters():
            return slice(None)
        return slice(self.begins[first], self.begins[last - 1] + self.rows[last - 1])


def joined(heads: Array) -> Array:
    """(…, L, H, D) as (…, L, H · D)."""
    return heads.reshape(*heads.shape[:-2], heads.shape[-2] * heads.shape[-1])
