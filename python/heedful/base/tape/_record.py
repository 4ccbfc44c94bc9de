"""Records: from the gradients of what a layer or a step computed to those of its inputs.

A record is a tuple that begins with the function that reads it, the cheapest object for what every
layer and every step makes.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from heedful.base.tape._gradients import (
    Gradients,
    Kinds,
    add_checked,
    add_gradient,
    taken,
    without_gaps,
)  # fmt: skip
from heedful.base.tape._layer_call import named_in

Record: TypeAlias = tuple[Any, ...]


def pull_step(record: Record, gradients: Gradients, kinds: Kinds) -> None:
    """Of a step: (…, gradient, slots, outs); a gradient is a function for each input, or of all."""
    _, gradient, slots, outs = record
    if type(outs) is int:
        dy = gradients[outs]
        if dy is None:
            return
        gradients[outs] = None
        dys: Any = (dy,)
    else:
        dys, some = taken(gradients, outs)
        if not some:
            return
    if type(gradient) is tuple:
        for slot, function in zip(slots, gradient, strict=False):
            if slot is not None:
                add_gradient(gradients, kinds, slot, function(*dys))
        return
    flat = slots[0] if isinstance(slots[0], tuple) else slots
    for slot, dx in zip(flat, gradient(*dys), strict=False):
        if slot is not None:
            add_gradient(gradients, kinds, slot, dx)


def pull_layer(record: Record, gradients: Gradients, kinds: Kinds) -> None:
    """Of a layer: (…, backward, slots, outs, owner, layer, returns_weights, shared).

    owner : the layer whose tape it is, for errors
    returns_weights : whether the last output is weights, whose gradient may be None
    shared : each SharedBias to which it adds a gradient, and the slot of its value
    """
    _, backward, slots, outs, owner, layer, returns_weights, shared = record
    if type(outs) is int:
        dy = gradients[outs]
        if dy is None:
            return
        gradients[outs] = None
        found: Any = backward(dy)
    else:
        dys, some = taken(gradients, outs)
        if not some:
            return
        kept = len(outs) - 1 if returns_weights else len(outs)
        found = backward(*without_gaps(dys[:kept], outs[:kept], kinds), *dys[kept:])
    given = found if type(found) is tuple or type(found) is list else (found,)
    for place, slot in enumerate(slots):
        if slot is None:
            continue
        try:
            if place >= len(given):
                raise TypeError(
                    f"backward must return a gradient of each input, that of number {place + 1} "
                    f"is missing: got {len(given)}"
                )
            add_checked(gradients, kinds, slot, given[place])
        except (TypeError, ValueError) as error:
            raise named_in(owner, layer, error) from None
    for bias, slot in shared:
        if bias.gradient is not None:
            add_gradient(gradients, kinds, slot, bias.gradient)


def pull_parameter(record: Record, gradients: Gradients, kinds: Kinds) -> None:
    """Of a parameter that was read: (…, parameter, slot)."""
    _, own, slot = record
    if gradients[slot] is not None:
        own.add(gradients[slot])
