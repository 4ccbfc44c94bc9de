"""The tasks of one call: one for each pair of chunks, forward and backward, and reductions."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

import heedful
from heedful._checks import is_integer, named
from heedful.integrations import _key_pieces
from heedful.integrations._key_pieces import (
    Array,
    check_pieces,
    check_scores,
    gradient_type,
    length_axis,
    narrowed,
)
from heedful.integrations.dask._chunks import (
    as_dask,
    joined,
    joined_scores,
    pieces,
    score_pieces,
    score_sizes,
    spans,
    tree,
)

if TYPE_CHECKING:
    from heedful.functional._option_types import LayoutName

delayed: Any = import_module("dask").delayed


class Tasks:
    """A checked call with its arrays in chunks."""

    def __init__(
        self, query: Any, key: Any, value: Any, mask: Any, bias: Any, num_threads: Any,
        **options: Any,
    ) -> None:  # fmt: skip
        if not is_integer(num_threads) or num_threads < 1:
            raise ValueError(f"num_threads must be a positive integer: got {named(num_threads)}")
        self.inputs = tuple(
            as_dask(name, array, options["layout"])
            for name, array in (("query", query), ("key", key), ("value", value))
        )
        query, key, value = self.inputs
        axes = self.axes = [length_axis(array.ndim, options["layout"]) for array in self.inputs]
        lengths = query.shape[axes[0]], key.shape[axes[1]]
        self.call = check_pieces(query, key, value, lengths, **options)
        self.out_axis = length_axis(len(self.call.out_shape), options["layout"])
        self.threads = int(num_threads)
        self.rows, self.keys = query.chunks[axes[0]], key.chunks[axes[1]]
        self.query_pieces = pieces(query, axes[0], self.rows)
        self.key_pieces = pieces(key, axes[1], self.keys)
        self.value_pieces = pieces(value, axes[2], self.keys)
        self.scores: dict[str, list[list[Any]]] = {}
        self.bias: Any = None
        for name, given in (("mask", mask), ("bias", bias)):
            if given is not None:
                array = as_dask(name, given)
                check_scores(name, array, self.call)
                self.scores[name] = score_pieces(array, self.rows, self.keys)
                self.bias = array if name == "bias" else self.bias
        self.visible = [
            [n for n, keys in enumerate(spans(self.keys)) if self.call.sees(rows, keys)] or [0]
            for rows in spans(self.rows)
        ]  # one at least, which yields zeros

    def forward(self, dtype: np.dtype[Any]) -> tuple[Any, Any]:
        """Dask arrays out, of that type, and lse."""
        compute, merge = delayed(_forward, nout=2), delayed(_merge, nout=2)
        outs, lses = [], []
        for number in range(len(self.rows)):
            parts = [
                compute(self.threads, self.call.computing, self.query_pieces[number],
                        self.key_pieces[piece], self.value_pieces[piece],
                        **self._options(number, piece))
                for piece in self.visible[number]
            ]  # fmt: skip
            out, lse = tree(lambda some: merge(some, self.call.layout), parts)
            outs.append(delayed(narrowed)(out, dtype))
            lses.append(lse)
        call, axis = self.call, len(self.call.lse_shape) - 1
        return (
            joined(outs, call.out_shape, self.out_axis, self.rows, dtype),
            joined(lses, call.lse_shape, axis, self.rows, call.computing),
        )

    def backward(self, dout: Any, dlse: Any, out: Any, lse: Any) -> heedful.Gradients:
        """Dask arrays: what each pair of chunks adds, summed over the pairs."""
        call, compute = self.call, delayed(_backward, nout=5)
        results = [
            pieces(_like("dout", dout, call.out_shape), self.out_axis, self.rows),
            pieces(out, self.out_axis, self.rows),
            pieces(lse, len(call.lse_shape) - 1, self.rows),
        ]
        if dlse is not None:
            dlse = _like("dlse", dlse, call.lse_shape)
            results.append(pieces(dlse, len(call.lse_shape) - 1, self.rows))
        query: list[list[Any]] = [[] for _ in self.rows]
        key: list[list[Any]] = [[] for _ in self.keys]
        value: list[list[Any]] = [[] for _ in self.keys]
        bias: list[list[list[Any]]] = []
        sink = []
        if self.bias is not None:
            grid = score_sizes((1, 1, *self.bias.shape), self.rows, self.keys)
            bias = [[[] for _ in grid[1]] for _ in grid[0]]
        for row, visible in enumerate(self.visible):
            for piece in visible:
                found = compute(
                    self.threads, call.computing, self.query_pieces[row], self.key_pieces[piece],
                    self.value_pieces[piece], *(array[row] for array in results),
                    **self._options(row, piece),
                )  # fmt: skip
                query[row].append(found[0])
                key[piece].append(found[1])
                value[piece].append(found[2])
                if bias:
                    bias[row % len(bias)][piece % len(bias[0])].append(found[3])
                if piece == visible[0]:
                    sink.append(found[4])
        dquery, dkey, dvalue = (
            joined([_total(some, gradient_type(array.dtype)) for some in parts], array.shape,
                   axis, sizes, gradient_type(array.dtype)).rechunk(array.chunks)
            for parts, array, axis, sizes in zip(
                (query, key, value), self.inputs, self.axes, (self.rows, self.keys, self.keys),
                strict=True,
            )
        )  # fmt: skip
        dbias = dsink = None
        if bias:
            blocks = [[_total(some, self.bias.dtype) for some in line] for line in bias]
            dbias = joined_scores(blocks, self.bias, self.rows, self.keys)
        if call.sink is not None:
            dtype = call.sink.dtype
            dsink = joined([_total(sink, dtype)], call.sink.shape, 0, call.sink.shape, dtype)
        return heedful.Gradients(dquery, dkey, dvalue, dbias, dsink)

    def _options(self, rows: int, keys: int) -> dict[str, Any]:
        options = self.call.of(
            spans(self.rows)[rows], spans(self.keys)[keys], keys == self.visible[rows][0]
        )
        return options | {name: found[rows][keys] for name, found in self.scores.items()}


def _like(name: str, given: Any, shape: tuple[int, ...]) -> Any:
    array = as_dask(name, given)
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}: got shape {array.shape}")
    return array


def _total(parts: list[Any], dtype: np.dtype[Any]) -> Any:
    """A delayed sum, None of nothing."""
    return delayed(narrowed)(tree(delayed(_sum), parts), dtype) if parts else None


def _sum(parts: list[Array]) -> Array:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _forward(threads: int, computing: np.dtype[Any], *arrays: Any, **options: Any) -> Any:
    with heedful.num_threads(threads):
        return _key_pieces.forward(computing, *arrays, **options)


def _merge(parts: list[Any], layout: LayoutName) -> tuple[Array, Array]:
    return heedful.merge_attention(*zip(*parts, strict=True), layout=layout)


def _backward(
    threads: int, computing: np.dtype[Any], query: Any, key: Any, value: Any, dout: Any, out: Any,
    lse: Any, dlse: Any = None, **options: Any,
) -> Any:  # fmt: skip
    with heedful.num_threads(threads):
        found = _key_pieces.backward(
            computing, dout, query, key, value, out, lse, dlse=dlse, **options
        )
    return tuple(found)
