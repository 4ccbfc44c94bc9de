"""Plain NumPy: the equation as written, with the whole matrix of weights in memory."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful.benchmark.peers._library import Unsupported, Way, refuse_ragged
from heedful.benchmark.shapes import Case, Inputs, default_scale

Array = NDArray[Any]


class NumPy:
    name = "numpy"

    def __init__(self, threads: int) -> None:  # the harness sets them in the environment
        self.version = np.__version__

    def ways(self, case: Case, inputs: Inputs) -> list[Way]:
        refuse_ragged(case)
        shape = case.shape
        if case.dtype not in ("float32", "float64"):
            raise Unsupported(f"no fast products of {case.dtype}")
        group = shape.H // shape.Hkv
        key, value = inputs.key, inputs.value
        scale = np.asarray(default_scale(shape), dtype=key.dtype)
        bias = _additive(case, inputs, group)
        rng = np.random.default_rng(7)

        def stacked(array: Array) -> Array:
            """Query heads of a group as rows (B, Hkv, group · Lq, D), so that no key is repeated.

            A copy where they are not adjacent in memory.
            """
            return array.reshape(shape.B, shape.Hkv, group * shape.Lq, shape.D)

        def weigh(query: Array) -> Array:
            weights: Array = (query * scale) @ key.swapaxes(-1, -2)  # (B, Hkv, group · Lq, Lk)
            if bias is not None:
                weights += bias
            weights -= weights.max(axis=-1, keepdims=True)
            np.exp(weights, out=weights)
            weights /= weights.sum(axis=-1, keepdims=True)
            return weights

        def keep(weights: Array) -> Array | None:
            if not case.dropout_p:
                return None
            kept = rng.random(weights.shape, dtype=np.float32) >= case.dropout_p
            factors: Array = kept / np.asarray(1 - case.dropout_p, dtype=weights.dtype)
            return factors

        def forward() -> list[Array]:
            weights = weigh(stacked(inputs.query))
            kept = keep(weights)
            return [(weights if kept is None else weights * kept) @ value]

        def forward_backward() -> list[Array]:
            query, dout = stacked(inputs.query), stacked(inputs.dout)
            weights = weigh(query)
            kept = keep(weights)
            applied = weights if kept is None else weights * kept
            out = applied @ value
            dvalue = applied.swapaxes(-1, -2) @ dout
            dscores = dout @ value.swapaxes(-1, -2)
            if kept is not None:
                dscores *= kept
            dscores -= (dout * out).sum(axis=-1, keepdims=True)
            dscores *= weights
            dquery = dscores @ key * scale
            dkey = dscores.swapaxes(-1, -2) @ query * scale
            return [out, dquery, dkey, dvalue]

        def read(results: list[Array]) -> list[Array]:
            return [array.reshape(inputs.query.shape) for array in results[:2]] + results[2:]

        return [Way("plain", forward_backward if case.backward else forward, read)]


def _additive(case: Case, inputs: Inputs, group: int) -> Array | None:
    """All restrictions as one additive array: (B or 1, 1, group · Lq or 1, Lk)."""
    shape = case.shape
    bias = inputs.bias
    seen = inputs.seen
    if shape.causal:
        causal = np.tri(shape.Lq, shape.Lk, dtype=bool)[None, None]
        seen = causal if seen is None else seen & causal
    if seen is not None:
        masked = np.where(seen, 0, -np.inf).astype(inputs.query.dtype)
        bias = masked if bias is None else bias + masked
    if bias is not None and bias.shape[2] > 1 and group > 1:
        bias = np.tile(bias, (1, 1, group, 1))
    return bias


def create(threads: int) -> NumPy:
    return NumPy(threads)
