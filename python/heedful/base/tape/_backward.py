"""backward_of: the backward function of what a tape has recorded."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful._checks import numbers
from heedful.base._single_use import called_before
from heedful.base._types import Backward
from heedful.base.tape._gradients import Gradients, Kinds, Slots, add_gradient, of_input
from heedful.base.tape._record import Record


def backward_of(
    records: list[Record], kinds: Kinds, results: list[Slots], inputs: list[int | None]
) -> Backward:
    """From the gradients of the values in the slots `results` to those of `inputs`."""
    kept: list[list[Record]] = [records]

    def backward(dy: Any, *more: Any) -> Any:
        if not kept:
            raise called_before()
        gradients: Gradients = [None] * len(kinds)
        with np.errstate(all="ignore"):
            for place, (slot, given) in enumerate(zip(results, (dy, *more), strict=False)):
                if slot is None or (given is None and place):
                    continue
                name = f"gradient {place + 1}" if place else "dy"
                gradient = numbers(name, given)
                if gradient.shape != kinds[slot][0]:
                    raise ValueError(
                        f"{name} must have shape {kinds[slot][0]}: got {gradient.shape}"
                    )
                add_gradient(gradients, kinds, slot, gradient)
            left = kept.pop()
            while left:  # each releases its arrays as soon as it has run
                record = left.pop()
                record[0](record, gradients, kinds)
        found = tuple([of_input(gradients, kinds, slot) for slot in inputs])
        return found[0] if len(found) == 1 else (found or None)

    return backward
