"""Constants: numbers and arrays beside values of a tape, in the type of those."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful.base.tape._gradients import Slots


def in_one_type(plain: list[Any], slots: list[Slots]) -> list[Any]:
    """Constants beside values of the tape in the type of those: float32 stays float32."""
    if None not in slots and type(slots[0]) is int:
        return plain
    traced = [x.dtype for x, slot in zip(plain, slots, strict=True) if type(slot) is int]
    if not traced:  # in a list
        return [
            x if slot is None else _in_type_of(x, slot)
            for x, slot in zip(plain, slots, strict=True)
        ]
    dtype = traced[0] if len(traced) == 1 else np.result_type(*traced)
    return [
        x if slot is not None else _as_constant(x, dtype)
        for x, slot in zip(plain, slots, strict=True)
    ]


def _in_type_of(given: list[Any], slots: Slots) -> list[Any]:
    """A list of arrays, the constants among them in the type of the values."""
    dtype = np.result_type(*[x for x, slot in zip(given, slots, strict=True) if slot is not None])
    return [
        x if slot is not None else _as_constant(x, dtype)
        for x, slot in zip(given, slots, strict=True)
    ]


def _as_constant(given: Any, dtype: Any) -> Any:
    """A number or an array beside values of a tape, in their type."""
    if type(given) is float or type(given) is int:
        return given
    if isinstance(given, np.generic):
        return given.item()
    if isinstance(given, np.ndarray) and given.dtype != dtype and given.dtype.kind != "b":
        return given.item() if given.ndim == 0 else given.astype(dtype)
    return given
