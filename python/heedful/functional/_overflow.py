"""Gradients whose sums overflow on the way, though they themselves are in range.

They are linear in the gradients of the outputs: elements that are not finite are recomputed from
gradients of the outputs that are scaled down by a power of two.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from heedful.functional._dtypes import FLOAT16, Array

SHRINK = 2.0**-64  # enough for sums of 2**64 terms


def all_finite(arrays: tuple[Array | None, ...]) -> bool:
    """The processor's flag is also set by values that did not reach them."""
    return all(array is None or bool(np.isfinite(array).all()) for array in arrays)


def may_overflow(*gradients: Array | None) -> bool:
    """Whether sums overflowed by themselves: the gradients of the outputs are finite.

    Products of float16 are far from the largest float32.
    """
    return gradients[0] is not None and gradients[0].dtype != FLOAT16 and all_finite(gradients)


@np.errstate(all="ignore")
def recompute(
    compute: Callable[..., Any],
    gradients: tuple[Array | None, ...],
    sums: tuple[Array | None, ...],
) -> Array:
    """Replaces elements of `sums` that are not finite; returns the first, delta, times SHRINK."""
    scaled = [None if array is None else _times(array, SHRINK) for array in gradients]
    fresh = [None if array is None else np.zeros_like(array) for array in sums]
    compute(*scaled, *fresh)
    for array, new in zip(sums[1:], fresh[1:], strict=True):
        if array is None or new is None:
            continue
        wrong = ~np.isfinite(array)
        array[wrong] = _times(new[wrong], 1 / SHRINK)
    delta = fresh[0]
    assert delta is not None
    return delta


def _times(array: Array, factor: float) -> Array:
    product: Array = array * array.dtype.type(factor)
    return product
