"""heedful itself, by its public API."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

import heedful
from heedful.benchmark.peers._library import Way
from heedful.benchmark.shapes import Case, Inputs

Array = NDArray[Any]


class Heedful:
    name = "heedful"

    def __init__(self, threads: int) -> None:
        heedful.set_num_threads(threads)
        self.version = heedful.__version__

    def ways(self, case: Case, inputs: Inputs) -> list[Way]:
        if case.shape.ragged == "packed":
            return [_packed(case, inputs)]
        arrays = (inputs.query, inputs.key, inputs.value)
        options: dict[str, Any] = {}
        if case.shape.causal:
            options["causal"] = True
        for name in ("bias", "mask", "kv_lengths", "q_lengths", "window"):
            if getattr(inputs, name) is not None:
                options[name] = getattr(inputs, name)
        if case.dropout_p:
            options.update(dropout_p=case.dropout_p, rng=7)
        return [
            _way(case, heedful.attention, heedful.attention_vjp, arrays, inputs.dout, options, list)
        ]


def _packed(case: Case, inputs: Inputs) -> Way:
    """The sequences packed end to end without padding: (tokens, heads, depth)."""
    lengths = inputs.q_lengths
    assert lengths is not None
    starts = np.concatenate([[0], np.cumsum(lengths)])
    options = {"causal": True} if case.shape.causal else {}

    def pack(array: Array) -> Array:
        items = zip(array, lengths, strict=True)
        return np.concatenate([item[:, :length].swapaxes(0, 1) for item, length in items])

    def unpack(arrays: list[Array]) -> list[Array]:
        places = [inputs.query, inputs.query, inputs.key, inputs.value][: len(arrays)]
        padded = [np.zeros_like(place) for place in places]
        for array, place in zip(arrays, padded, strict=True):
            for item, (first, last) in enumerate(pairwise(starts)):
                place[item, :, : last - first] = array[first:last].swapaxes(0, 1)
        return padded

    arrays = [pack(array) for array in (inputs.query, inputs.key, inputs.value)]
    return _way(
        case, heedful.attention_varlen, heedful.attention_varlen_vjp,
        (*arrays, starts, starts), pack(inputs.dout), options, unpack,
    )  # fmt: skip


def _way(
    case: Case,
    attend: Callable[..., Any],
    attend_vjp: Callable[..., Any],
    arrays: tuple[Array, ...],
    dout: Array,
    options: dict[str, Any],
    arrange: Callable[[list[Array]], list[Array]],
) -> Way:
    """A call of `attend`, or of `attend_vjp` and its pullback."""

    def forward() -> Any:
        return attend(*arrays, **options)

    def forward_backward() -> Any:
        out, pullback = attend_vjp(*arrays, **options)
        return out, pullback(dout)

    if not case.backward:
        return Way(attend.__name__, forward, lambda out: arrange([out]))

    def read(result: Any) -> list[Array]:
        out, gradients = result
        return arrange([out, gradients.query, gradients.key, gradients.value])

    return Way(attend_vjp.__name__, forward_backward, read)


def create(threads: int) -> Heedful:
    return Heedful(threads)
