"""How the axes of arrays lie in memory; calls see (B, H, L, D) either way."""

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

# bhld: contiguous.  blhd: the transposed view of contiguous (B, L, H, D), which projections split
# into heads deliver: the rows of a head are H · D elements apart
Layout = Literal["bhld", "blhd"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
NAMES: dict[Layout, str] = {"bhld": "(B, H, L, D)", "blhd": "(B, L, H, D)"}


def laid_out(array: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """The array (B, H, L, D) with its axes in that order in memory."""
    if layout == "bhld":
        return np.ascontiguousarray(array)
    other: NDArray[Any] = np.ascontiguousarray(array.swapaxes(1, 2))
    other = other.swapaxes(1, 2)
    return other
