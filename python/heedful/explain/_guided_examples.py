"""GuidedExamples: the results of a model for examples, each with its own guidance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from heedful._checks import named, real
from heedful.base._types import Array
from heedful.explain._guidance import Guidance
from heedful.explain._layer_choice import Heads, Patterns

Metric: TypeAlias = Callable[[list[Any], NDArray[np.int64]], float]


class GuidedExamples:
    """Inputs with a guidance each, and what a user's metric says of the model's results for them.

    inputs : sequence
    guidance : a Guidance or a sequence of them, added to each other, for each input
    """

    def __init__(
        self, model: Any, inputs: Any, guidance: Any, metric: Any, call: Any = None
    ) -> None:
        if isinstance(inputs, str) or not hasattr(inputs, "__len__"):
            raise TypeError(f"inputs must be a sequence of examples: got {named(inputs)}")
        if not len(inputs):
            raise ValueError("inputs must hold an example: got none")
        if isinstance(guidance, Guidance) or len(guidance) != len(inputs):
            count = 1 if isinstance(guidance, Guidance) else len(guidance)
            raise ValueError(
                f"guidance must be one for each of the {len(inputs)} inputs: got {count}"
            )
        self.parts = [_parts(one) for one in guidance]
        if len({len(parts) for parts in self.parts}) != 1:
            raise ValueError("guidance must have as many parts for each input: got different ones")
        for name, given in (("metric", metric), ("call", call)):
            if given is not None and not callable(given):
                raise TypeError(f"{name} must be a function: got {named(given)}")
        self.model, self.inputs, self.metric = model, inputs, metric
        self._call = call or _call_of(model)

    @property
    def count(self) -> int:
        return len(self.inputs)

    def results(
        self, strengths: Array | Sequence[float], examples: Any, where: Patterns, heads: Heads
    ) -> list[Any]:
        """Of some examples, each part of their guidance multiplied by its strength."""
        found = []
        for index in examples:
            total = Guidance()
            for strength, part in zip(strengths, self.parts[index], strict=True):
                if strength:
                    total = total + float(strength) * part
            with total.steer(self.model, where, heads):
                found.append(self._call(self.model, self.inputs[index]))
        return found

    def score(self, results: list[Any], examples: NDArray[np.int64]) -> float:
        """The metric, which must be a finite number."""
        found = real("metric's result", self.metric(results, examples))
        if not np.isfinite(found):
            raise ValueError(f"metric must return a finite number: got {found}")
        return found


def _parts(given: Any) -> tuple[Guidance, ...]:
    parts = (given,) if isinstance(given, Guidance) else tuple(given)
    for part in parts:
        if not isinstance(part, Guidance):
            raise TypeError(f"guidance must hold what guide() returns: got {named(part)}")
    return tuple(Guidance(part.bias, part.mask) for part in parts)  # at the layers of the search


def _call_of(model: Any) -> Callable[[Any, Any], Any]:
    if not callable(model) and hasattr(model, "encode"):  # a SentenceEncoder
        return lambda model, text: model.encode(text)
    return lambda model, inputs: model(*(inputs if isinstance(inputs, tuple) else (inputs,)))
