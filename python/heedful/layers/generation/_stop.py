"""Stop tokens: those of a generation, and those that a model has as its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from heedful._checks import integers, named
from heedful.base._types import Array


def own_stop(stop: int | Sequence[int]) -> tuple[int, ...]:
    """The argument `stop` of a model."""
    found = tuple(integers("stop", stop))
    if any(token < 0 for token in found):
        raise ValueError(f"stop must be tokens, from 0 on: got {named(stop)}")
    return found


def stop_tokens(model: Any, given: Any) -> Array:
    """Those given, or where there are none the model's own."""
    found = integers("stop", getattr(model, "stop", ()) if given is None else given)
    for token in found:
        if not -(2**63) <= token < 2**63:
            raise ValueError(f"stop must be tokens: got {token}")
    return np.array(found, np.int64)
