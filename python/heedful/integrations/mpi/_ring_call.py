"""One call of ring attention: its arguments, on which all processes agree, and its gradients."""

from __future__ import annotations

from typing import Any

import heedful
from heedful._checks import as_array, one_of
from heedful.integrations._key_pieces import (
    Array,
    check_pieces,
    check_scores,
    gradient_type,
    length_axis,
    narrowed,
)
from heedful.integrations.mpi import _world
from heedful.integrations.mpi._agreement import agreed
from heedful.integrations.mpi._positions import runs, spans_of_all
from heedful.integrations.mpi._ring import Ring


class RingCall:
    """The checked arguments of one process, and the ring of all."""

    def __init__(
        self, comm: Any, query: Any, key: Any, value: Any, positions: Any, query_positions: Any,
        mask: Any, bias: Any, **options: Any,
    ) -> None:  # fmt: skip
        comm = self.comm = _world.world() if comm is None else comm
        layout = options["layout"]
        inputs: dict[str, Array] = {}
        scores: dict[str, Array] = {}

        def own() -> tuple[Any, ...]:
            one_of("layout", layout, ("bhld", "blhd"))
            for name, given in (("query", query), ("key", key), ("value", value)):
                array = inputs[name] = as_array(name, given)
                if array.ndim < 2:
                    raise ValueError(f"{name} must have two axes at least: got shape {array.shape}")
            arrays = list(inputs.values())
            counts = [array.shape[length_axis(array.ndim, layout)] for array in arrays]
            scores.update(
                (name, as_array(name, array))
                for name, array in (("mask", mask), ("bias", bias))
                if array is not None
            )
            of_query = positions if query_positions is None else query_positions
            return (
                counts,
                None if positions is None else runs("positions", positions, counts[1]),
                None if of_query is None else runs("query_positions", of_query, counts[0]),
                [_without_length(array, layout) for array in arrays[1:]],
                scores["bias"].shape[-2:] if bias is not None else (),
            )

        everyone = comm.allgather(agreed(comm, own))
        counts, key_spans, query_spans, like, biases = zip(*everyone, strict=True)
        keys = spans_of_all("positions", [count[1] for count in counts], key_spans)
        rows = spans_of_all("query_positions", [count[0] for count in counts], query_spans)
        for rank, other in enumerate(like):
            if other != like[0]:
                raise ValueError(
                    "key and value must have the same shape, but for their length, and type in "
                    f"all processes: process 0 has {like[0]}, process {rank} has {other}"
                )
        # one row for all queries, and not the only one that this process has
        self.shared_bias = all(len(own) < 2 or own[0] == 1 for own in biases) and any(
            count[0] > 1 for count in counts
        )
        lengths = sum(count[0] for count in counts), sum(count[1] for count in counts)

        def check() -> None:
            self.pieced = check_pieces(**inputs, lengths=lengths, **options)
            for name, array in scores.items():
                check_scores(name, array, self.pieced)

        agreed(comm, check)
        self.inputs, self.bias = list(inputs.values()), scores.get("bias")
        self.ring = Ring(comm, self.pieced, **inputs, scores=scores, rows=rows, keys=keys)

    def backward(self, dout: Any, dlse: Any, out: Array, lse: Array) -> heedful.Gradients:
        def check() -> tuple[Array, Array | None]:
            return (
                _like("dout", dout, out.shape),
                None if dlse is None else _like("dlse", dlse, lse.shape),
            )

        given = agreed(self.comm, check)
        *found, dbias, dsink = self.ring.backward(*given, out, lse)
        if dbias is not None and self.shared_bias:
            self.comm.Allreduce(_world.mpi().IN_PLACE, dbias)
        if dsink is not None:
            self.comm.Allreduce(_world.mpi().IN_PLACE, dsink)
        sink = self.pieced.sink
        query, key, value = (
            narrowed(gradient, gradient_type(array.dtype))
            for gradient, array in zip(found, self.inputs, strict=True)
        )
        return heedful.Gradients(
            query, key, value,
            None if dbias is None or self.bias is None else narrowed(dbias, self.bias.dtype),
            None if sink is None or dsink is None else narrowed(dsink, sink.dtype),
        )  # fmt: skip


def _like(name: str, given: Any, shape: tuple[int, ...]) -> Array:
    array = as_array(name, given)
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}: got shape {array.shape}")
    return array


def _without_length(array: Array, layout: str) -> tuple[Any, ...]:
    axis = length_axis(array.ndim, layout)
    return (*array.shape[:axis], "L", *array.shape[axis + 1 :], array.dtype.name)
