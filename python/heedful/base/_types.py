"""Type aliases of arrays and functions in layers."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from heedful._checks import generator as generator
from heedful._checks import named

Array: TypeAlias = NDArray[Any]
DType: TypeAlias = np.dtype[Any]
Rng: TypeAlias = int | np.random.Generator | None
Backward: TypeAlias = Callable[..., Any]


def floating(dtype: DTypeLike | None) -> DType:
    """The floating type that a layer computes in."""
    try:  # NumPy reads None as float64
        found = None if dtype is None else np.dtype(dtype)
    except TypeError:
        raise TypeError(f"dtype must be float32 or float64: got {named(dtype)}") from None
    if found is None or found not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise TypeError(f"dtype must be float32 or float64: got {found}")
    return found
