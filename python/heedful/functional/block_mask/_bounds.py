"""Bounds of a function of positions over whole blocks: interval arithmetic on arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from heedful.functional.block_structure import Grid

_LARGEST = 2**62  # sums of two numbers within it fit into 64 bits


class Bounds(np.lib.mixins.NDArrayOperatorsMixin):
    """low ≤ x ≤ high for arrays of whole numbers; for truth values False < True.

    Operators and some functions of NumPy compute with them; everything else raises an error.
    """

    __slots__ = ("high", "low")

    def __init__(self, low: NDArray[Any], high: NDArray[Any]) -> None:
        kind = low.dtype
        if kind.kind not in "biu" or kind == np.uint64:
            raise TypeError("only integers and truth values")
        if kind != np.bool_:
            low, high = low.astype(np.int64, copy=False), high.astype(np.int64, copy=False)
            if low.size and not -_LARGEST <= low.min() <= high.max() <= _LARGEST:
                raise OverflowError("too large")
        self.low, self.high = low, high

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        if method != "__call__" or options:
            return NotImplemented
        given = [one if isinstance(one, Bounds) else Bounds(*2 * [np.asarray(one)])
                 for one in inputs]  # fmt: skip
        truth = {one.low.dtype == np.bool_ for one in given}
        rules = _RULES_OF_TRUTH if truth == {True} else _RULES if truth == {False} else {}
        return rules[ufunc](*given) if ufunc in rules else NotImplemented

    def __array_function__(self, *arguments: Any) -> Any:
        return NotImplemented

    def __array__(self, *arguments: Any, **options: Any) -> Any:
        raise TypeError("bounds are no array")

    def __bool__(self) -> bool:
        raise TypeError("bounds have no single truth value")


def block_bounds(
    f: Callable[..., Any], item: NDArray[np.int64], head: NDArray[np.int64], grid: Grid
) -> Bounds | None:
    """What is certain about f in each block, (…, nq, nk); None where f cannot be asked this way."""
    row, column = grid.firsts(0)[:, None], grid.firsts(1)
    queries = Bounds(row[None, None], (row + grid.sizes(0)[:, None] - 1)[None, None])
    keys = Bounds(column[None, None, None], (column + grid.sizes(1) - 1)[None, None, None])
    try:
        found = f(item, head, queries, keys)
    except Exception:  # what is an error of its own is raised again when it is asked in full
        return None
    if isinstance(found, Bounds) and found.low.dtype == np.bool_ and found.low.ndim == 4:
        return found
    return None


def _subtract(a: Bounds, b: Bounds) -> Bounds:
    return Bounds(a.low - b.high, a.high - b.low)


def _multiply(a: Bounds, b: Bounds) -> Bounds:
    corners = [
        np.multiply(x, y, dtype=np.float64) for x in (a.low, a.high) for y in (b.low, b.high)
    ]
    if any(corner.size and np.abs(corner).max() > _LARGEST for corner in corners):
        raise OverflowError("too large")
    exact = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
    return Bounds(np.minimum.reduce(exact), np.maximum.reduce(exact))


def _absolute(a: Bounds) -> Bounds:
    return Bounds(
        np.maximum(0, np.maximum(a.low, -a.high)), np.maximum(np.abs(a.low), np.abs(a.high))
    )


def _divisor(b: Bounds) -> NDArray[np.int64]:
    if not (b.low is b.high and (b.low > 0).all()):
        raise ValueError("only divisors that are known")
    return b.low


def _floor_divide(a: Bounds, b: Bounds) -> Bounds:
    divisor = _divisor(b)
    return Bounds(a.low // divisor, a.high // divisor)


def _remainder(a: Bounds, b: Bounds) -> Bounds:
    divisor = _divisor(b)
    same = a.low // divisor == a.high // divisor
    return Bounds(np.where(same, a.low % divisor, 0), np.where(same, a.high % divisor, divisor - 1))


def _less(a: Bounds, b: Bounds) -> Bounds:
    return Bounds(a.high < b.low, a.low < b.high)


def _less_equal(a: Bounds, b: Bounds) -> Bounds:
    return Bounds(a.high <= b.low, a.low <= b.high)


def _equal(a: Bounds, b: Bounds) -> Bounds:
    known = (a.low == a.high) & (b.low == b.high)
    return Bounds(known & (a.low == b.low), (a.low <= b.high) & (b.low <= a.high))


def _not(a: Bounds) -> Bounds:
    return Bounds(~a.high, ~a.low)


def _monotonic(ufunc: np.ufunc) -> Callable[[Bounds, Bounds], Bounds]:
    return lambda a, b: Bounds(ufunc(a.low, b.low), ufunc(a.high, b.high))


_RULES: dict[np.ufunc, Callable[..., Bounds]] = {
    np.add: _monotonic(np.add),
    np.subtract: _subtract,
    np.multiply: _multiply,
    np.negative: lambda a: Bounds(-a.high, -a.low),
    np.absolute: _absolute,
    np.minimum: _monotonic(np.minimum),
    np.maximum: _monotonic(np.maximum),
    np.floor_divide: _floor_divide,
    np.remainder: _remainder,
    np.less: _less,
    np.less_equal: _less_equal,
    np.greater: lambda a, b: _less(b, a),
    np.greater_equal: lambda a, b: _less_equal(b, a),
    np.equal: _equal,
    np.not_equal: lambda a, b: _not(_equal(a, b)),
}
_RULES_OF_TRUTH: dict[np.ufunc, Callable[..., Bounds]] = {
    **dict.fromkeys([np.bitwise_and, np.logical_and], _monotonic(np.logical_and)),
    **dict.fromkeys([np.bitwise_or, np.logical_or], _monotonic(np.logical_or)),
    **dict.fromkeys([np.invert, np.logical_not], _not),
}
