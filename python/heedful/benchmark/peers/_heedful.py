"""heedful itself, called as its users call it."""

from typing import Any

import heedful
from heedful.benchmark.peers._library import Way
from heedful.benchmark.shapes import Case, Inputs


class Heedful:
    name = "heedful"

    def __init__(self, threads: int) -> None:
        heedful.set_num_threads(threads)
        self.version = heedful.__version__

    def ways(self, case: Case, inputs: Inputs) -> list[Way]:
        query, key, value, dout = inputs.query, inputs.key, inputs.value, inputs.dout
        options: dict[str, Any] = {}
        if case.shape.causal:
            options["causal"] = True
        for name in ("bias", "mask", "kv_lengths", "window"):
            if getattr(inputs, name) is not None:
                options[name] = getattr(inputs, name)
        if case.dropout_p:
            options.update(dropout_p=case.dropout_p, rng=7)

        def forward() -> Any:
            return heedful.attention(query, key, value, **options)

        def forward_backward() -> Any:
            out, pullback = heedful.attention_vjp(query, key, value, **options)
            return out, pullback(dout)

        if not case.backward:
            return [Way("attention", forward, lambda out: [out])]

        def read(result: Any) -> list[Any]:
            out, gradients = result
            return [out, gradients.query, gradients.key, gradients.value]

        return [Way("attention_vjp", forward_backward, read)]


def create(threads: int) -> Heedful:
    return Heedful(threads)
