"""The scale of the scores, in the range of the type that is computed in."""

from typing import Any

import numpy as np

from heedful._checks import finite, named
from heedful.functional._dtypes import FLOAT32, DType

_LARGEST = float(np.finfo(np.float32).max)


def check_scale(scale: Any, computing: DType) -> float:
    number = finite("scale", scale)
    if computing is FLOAT32 and not -_LARGEST <= number <= _LARGEST:
        raise ValueError(
            "scale must be finite in float32, in which float32 and 16-bit inputs are computed: "
            f"got {named(scale)}"
        )
    return number
