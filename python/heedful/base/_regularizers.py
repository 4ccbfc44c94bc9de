"""Regularizers: penalties on parameters that fit adds to the loss."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful._checks import named, not_negative
from heedful.base._shown import Shown
from heedful.base._types import Array


class L1L2(Shown):
    """l1 · Σ|w| + l2 · Σ w².

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.training import L1L2
    >>> L1L2(l1=1.0, l2=0.5).penalty(np.array([1.0, -2.0]))
    5.5
    """

    l1: float
    l2: float

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1, self.l2 = not_negative("l1", l1), not_negative("l2", l2)

    @np.errstate(all="ignore")
    def penalty(self, value: Array) -> float:
        exact = value.astype(np.float64, copy=False)
        return float(self.l1 * np.abs(exact).sum() + self.l2 * (exact * exact).sum())

    @np.errstate(all="ignore")
    def gradient(self, value: Array) -> Array:
        gradient: Array = value * value.dtype.type(2 * self.l2)
        if self.l1:
            gradient += value.dtype.type(self.l1) * np.sign(value)
        return gradient


class L1(L1L2):
    """factor · Σ|w|."""

    def __init__(self, l1: float = 0.01) -> None:
        super().__init__(l1=l1)


class L2(L1L2):
    """factor · Σ w²."""

    def __init__(self, l2: float = 0.01) -> None:
        super().__init__(l2=l2)


def as_regularizer(given: Any, name: str = "a regularizer") -> L1L2 | None:
    if given is None:
        return None
    if isinstance(given, type):
        raise TypeError(f"{name} must be a regularizer, not its class: write {given.__name__}(…)")
    if hasattr(given, "penalty") and hasattr(given, "gradient"):
        regularizer: L1L2 = given
        return regularizer
    if isinstance(given, str) and given.lower() in ("l1", "l2"):
        return L1() if given.lower() == "l1" else L2()
    kind = ValueError if isinstance(given, str) else TypeError
    raise kind(f"{name} must be 'l1', 'l2' or one such as L2(0.01): got {named(given)}")
