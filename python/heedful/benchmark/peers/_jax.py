"""JAX: jax.nn.dot_product_attention, compiled, with its vector-Jacobian product."""

import os
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful.benchmark.peers._library import Unsupported, Way, refuse_ragged
from heedful.benchmark.shapes import Case, Inputs


class Jax:
    name = "jax"

    def __init__(self, threads: int) -> None:
        # XLA uses all processors available at its start, and no environment variable limits it
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
        self._jax: Any = import_module("jax")
        self.version = str(self._jax.__version__)

    def ways(self, case: Case, inputs: Inputs) -> list[Way]:
        refuse_ragged(case)
        jax, shape = self._jax, case.shape
        if case.dropout_p:
            raise Unsupported("no dropout on attention weights")
        if case.dtype == "float64":
            raise Unsupported("computes the softmax of float64 scores in float32")

        def device(
            array: NDArray[Any],
        ) -> Any:  # JAX has the heads after the length: (B, L, H, D)
            return jax.device_put(np.ascontiguousarray(array.swapaxes(1, 2)))

        arrays = [device(a) for a in (inputs.query, inputs.key, inputs.value)]
        dout = device(inputs.dout)
        bias = None if inputs.bias is None else jax.device_put(inputs.bias)
        seen = inputs.mask if inputs.window is None else inputs.seen
        mask = None if seen is None else jax.device_put(seen)
        lengths = (
            None
            if inputs.kv_lengths is None
            else jax.device_put(inputs.kv_lengths.astype(np.int32))
        )

        def attend(query: Any, key: Any, value: Any) -> Any:
            return jax.nn.dot_product_attention(
                query,
                key,
                value,
                bias=bias,
                mask=mask,
                is_causal=shape.causal,
                key_value_seq_lengths=lengths,
            )

        def with_gradients(query: Any, key: Any, value: Any) -> Any:
            out, pullback = jax.vjp(attend, query, key, value)
            return out, *pullback(dout)

        compiled = jax.jit(with_gradients if case.backward else lambda *a: (attend(*a),))

        def run() -> Any:
            return jax.block_until_ready(compiled(*arrays))

        def read(results: Any) -> list[NDArray[Any]]:
            return [np.asarray(result).swapaxes(1, 2) for result in results]

        return [Way("dot_product_attention", run, read)]


def create(threads: int) -> Jax:
    return Jax(threads)
