"""Projections of queries, keys and values, from the one or three arrays that they are made of."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from heedful._core import native
from heedful._core._memory import empty
from heedful.base._parameter import Parameter
from heedful.base._sums import add_sum_of_rows
from heedful.base._types import Array, DType
from heedful.layers.blocks._initial import glorot
from heedful.layers.blocks._rows import as_rows


class Projected(Protocol):
    """A layer whose own parameters these are: its heads, and the widths of its inputs."""

    d_model: int
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
    """The parameters of a new layer: one weight where q, k and v are made of the same width."""
    narrow = layer.num_kv_heads * layer.depth
    rows = {"q": layer.d_model, "k": narrow, "v": narrow}
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
    """Projects the inputs of one call, and takes gradients back to them.

    Inputs that are the same array are projected together, by neighbouring rows of the weight.
    """

    def __init__(self, layer: Projected, query: Any, key: Any, value: Any) -> None:
        self.layer = layer
        narrow = layer.num_kv_heads * layer.depth
        self.rows = (layer.d_model, narrow, narrow)  # outputs of q, k, v
        self.begins = (0, layer.d_model, layer.d_model + narrow)
        # whose gradient that of q, k, v is part of
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
        """Queries, keys and values are of one sequence."""
        return self.arguments == (0, 0, 0)

    def project_query(self) -> Array:
        return self._project(0, 1)[0]

    def _project(self, first: int, last: int) -> list[Array]:
        """Parts [first, last) of q, k, v, which are made of one input."""
        x, depth = self.inputs[first], self.layer.depth
        weight = self._cut(self._weight(first).value, first, last)
        rows = as_rows(x)
        y = empty((len(rows), len(weight)), self.layer.dtype)
        own = self.layer.own_parameters().get("in_proj_bias")
        bias = None if own is None else own.value[self.begins[first] :][: len(weight)]
        native.linear_forward(rows, weight, bias, None, "", None, y)
        heads = y.reshape(*x.shape[:-1], len(weight) // depth, depth)
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
            more = self.arguments[part] < len(found)
            if not more:
                found.append(empty(rows.shape, self.layer.dtype))
            weight = self._cut(self._weight(part).value, part, part + 1)
            native.linear_gradient_input(dy, weight, found[-1], more)
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
            native.linear_gradient_weight(dy, x, self._cut(dweight, part, part + 1), dbias)
        elif dbias is not None:
            add_sum_of_rows(dy, dbias)

    def _weight(self, part: int) -> Parameter:
        """The parameter that q, k or v is made by."""
        own = self.layer.own_parameters()
        return own.get("in_proj_weight") or own[f"{'qkv'[part]}_proj_weight"]

    def _cut(self, weight: Array, first: int, last: int) -> Array:
        """The rows of parts [first, last), where the weight has those of all."""
        if "in_proj_weight" not in self.layer.own_parameters():
            return weight
        return weight[self.begins[first] : self.begins[last - 1] + self.rows[last - 1]]


def joined(heads: Array) -> Array:
    """(…, L, H, D) as (…, L, H · D)."""
    return heads.reshape(*heads.shape[:-2], heads.shape[-2] * heads.shape[-1])
