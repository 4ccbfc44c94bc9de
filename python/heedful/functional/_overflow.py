"""Gradients whose sums pass the largest number of the type, though they themselves do not.

They are linear in what flows back: what is not finite is computed once more, from gradients of the
output that are smaller by a power of two.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from heedful.functional._dtypes import FLOAT16, Array

SHRINK = 2.0**-64  # no less than the sum of as many numbers needs


def all_finite(arrays: tuple[Array | None, ...]) -> bool:
    """The flag of the processor also tells of what did not reach them."""
    return all(array is None or bool(np.isfinite(array).all()) for array in arrays)


def may_overflow(*upstream: Array | None) -> bool:
    """Whether sums left the range by themselves: what flows back is finite.

    Products of float16 are far from the largest float32.
    """
    return upstream[0] is not None and upstream[0].dtype != FLOAT16 and all_finite(upstream)


@np.errstate(all="ignore")
def recompute(
    compute: Callable[..., Any], upstream: tuple[Array | None, ...], sums: tuple[Array | None, ...]
) -> Array:
    """Writes what is not finite in `sums`; the first of them, delta, comes back SHRINK as large."""
    smaller = [None if array is None else _times(array, SHRINK) for array in upstream]
    fresh = [None if array is None else np.zeros_like(array) for array in sums]
    compute(*smaller, *fresh)
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
