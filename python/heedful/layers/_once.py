"""A closure that is called once."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful.layers._types import Backward


def once(y: Any, backward: Backward) -> Backward:
    """Calls `backward` at its first call and lets go of it, and of all arrays that it keeps.

    Where y is an array, its gradient must have its shape: nothing is broadcast in silence.
    """
    kept: list[Backward] = [backward]
    shape = y.shape if isinstance(y, np.ndarray) else None
    del y, backward

    def call(*gradients: Any) -> Any:
        if shape is not None and gradients and np.shape(gradients[0]) != shape:
            raise ValueError(f"dy must have shape {shape}: got {np.shape(gradients[0])}")
        try:
            function = kept.pop()
        except IndexError:
            raise RuntimeError(
                "this backward function was called before: call forward again for another one"
            ) from None
        return function(*gradients)

    return call
