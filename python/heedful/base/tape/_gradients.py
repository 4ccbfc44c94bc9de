"""Gradients of the values of a tape, each in its slot, while a backward pass runs."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from heedful._checks import named
from heedful.base._types import Array

Gradients: TypeAlias = list[Any]  # None for none
Kinds: TypeAlias = list[tuple[tuple[int, ...], Any]]  # shape and type of each value
# The slot of a value, None for a constant; a tuple of them for a tuple of values.
Slots: TypeAlias = Any


def add_gradient(gradients: Gradients, kinds: Kinds, slot: int, gradient: Array) -> None:
    """Adds to the gradient of a value, in the value's type; NumPy's warnings are off."""
    dtype = kinds[slot][1]
    if gradient.dtype != dtype:
        gradient = gradient.astype(dtype)
    before = gradients[slot]
    # not in place: a step may have passed the same array to several values
    gradients[slot] = gradient if before is None else before + gradient


def add_checked(gradients: Gradients, kinds: Kinds, slot: Slots, gradient: Any) -> None:
    """Adds what a layer's backward function returned, which a user may have written."""
    if slot is None or gradient is None:
        return
    if isinstance(slot, tuple):
        if not isinstance(gradient, (tuple, list)) or len(gradient) != len(slot):
            raise TypeError(
                f"backward must return a tuple of {len(slot)} gradients: got {named(gradient)}"
            )
        for part, inner in zip(gradient, slot, strict=True):
            add_checked(gradients, kinds, inner, part)
        return
    shape = kinds[slot][0]
    if not isinstance(gradient, np.ndarray) or gradient.shape != shape:
        raise ValueError(f"backward must return a gradient of shape {shape}: got {named(gradient)}")
    add_gradient(gradients, kinds, slot, gradient)


def taken(gradients: Gradients, outs: Slots) -> tuple[Any, bool]:
    """The gradients of what a record computed, whose memory is released; whether there is any."""
    if outs is None:
        return None, False
    if not isinstance(outs, tuple):
        dy, gradients[outs] = gradients[outs], None
        return dy, dy is not None
    parts = [taken(gradients, out) for out in outs]
    return tuple([dy for dy, _ in parts]), any(some for _, some in parts)


def without_gaps(dys: Any, outs: Slots, kinds: Kinds) -> Any:
    """Zeros for outputs that nothing depends on."""
    if isinstance(outs, tuple):
        return tuple([without_gaps(dy, out, kinds) for dy, out in zip(dys, outs, strict=True)])
    return np.zeros(*kinds[outs]) if dys is None and outs is not None else dys


def of_input(gradients: Gradients, kinds: Kinds, slot: int | None) -> Array | None:
    """Zeros for an input that nothing depends on."""
    if slot is None:
        return None
    found: Array | None = gradients[slot]
    return np.zeros(*kinds[slot]) if found is None else found
