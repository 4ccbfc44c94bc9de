"""The words in which layers speak of arrays and functions."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from heedful._checks import generator as generator

Array: TypeAlias = NDArray[Any]
DType: TypeAlias = np.dtype[Any]
Rng: TypeAlias = int | np.random.Generator | None
Backward: TypeAlias = Callable[..., Any]


def floating(dtype: DTypeLike) -> DType:
    """The type that a layer computes in."""
    wanted = np.dtype(dtype)
    if wanted not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise TypeError(f"dtype must be float32 or float64: got {wanted}")
    return wanted
