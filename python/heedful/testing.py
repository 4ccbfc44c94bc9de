"""Checks for users' code: gradients against finite differences, results against expectations.

Imported by `import heedful.testing`, not by `import heedful`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heedful._checks import as_array

__all__ = ["assert_close", "gradcheck"]

Array = NDArray[Any]

# Roundings add up over a few thousand terms; float16 and bfloat16 keep one rounding of the result.
_TOLERANCE = {"float64": 1e-10, "float32": 2e-5, "float16": 2e-3, "bfloat16": 1.6e-2}


def gradcheck(
    function: Callable[..., tuple[Any, Callable[..., Any]]],
    *inputs: Any,
    step: float = 1e-5,
    rtol: float = 1e-5,
    atol: float = 1e-8,
    samples: int = 1000,
    rng: int | np.random.Generator = 0,
) -> bool:
    """Compare the gradients that a function returns with central differences.

    ::

        loss(x) = Σ cotangent ∘ out(x)          with random cotangents
        |gradient − (loss(x + h) − loss(x − h)) / 2h|  ≤  atol + rtol · max |difference|

    Parameters
    ----------
    function : callable
        ``function(*inputs)`` returns ``(out, pullback)``, where out is an array or a tuple of
        arrays, and ``pullback(*cotangents)``, one for each of them, returns a sequence with a
        gradient for each input; None in it is skipped. :func:`heedful.attention_vjp` is one.
    *inputs : numpy.ndarray of float64
        Where to differentiate. Entries that are not finite are held fixed.
    step : float, default 1e-5
        h, relative for entries above 1.
    rtol, atol : float
        How far the two may differ.
    samples : int, default 1000
        At most this many entries of each input are checked, chosen at random.
    rng : int or numpy.random.Generator, default 0
        Draws the cotangents and the entries.

    Returns
    -------
    bool
        True, so that it can be used in an assert.

    Raises
    ------
    AssertionError
        A gradient is wrong: names the input, the entry and both values.
    TypeError
        An input is not a float64 array.
    ValueError
        The number of gradients is not that of the inputs.

    Notes
    -----
    Use a fixed seed where the function has dropout, and stay away from kinks. Entries of a result
    that are not finite are skipped.

    Examples
    --------
    >>> import numpy as np
    >>> import heedful
    >>> from heedful.testing import gradcheck
    >>> query, key, value = np.random.default_rng(0).standard_normal((3, 5, 4))
    >>> gradcheck(heedful.attention_vjp, query, key, value)
    True

    With options, and with a bias as a further input:

    >>> def with_bias(query, key, value, bias):
    ...     return heedful.attention_vjp(query, key, value, bias=bias, causal=True)
    >>> gradcheck(with_bias, query, key, value, np.zeros((5, 5)))
    True
    """
    generator = np.random.default_rng(rng)
    for number, array in enumerate(inputs):
        if not isinstance(array, np.ndarray) or array.dtype != np.float64:
            kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            raise TypeError(f"input {number} must be a float64 array: got {kind}")
    points = [array.copy() for array in inputs]
    out, pullback = function(*points)
    parts = _as_tuple(out)
    finite = [np.isfinite(part) for part in parts]
    cotangents = [np.where(keep, generator.standard_normal(keep.shape), 0.0) for keep in finite]

    def loss() -> float:
        moved = _as_tuple(function(*points)[0])
        return sum(
            float(np.sum(cotangent[keep] * part[keep]))
            for cotangent, keep, part in zip(cotangents, finite, moved, strict=True)
        )

    gradients = _as_sequence(pullback(*cotangents))
    if len(gradients) != len(inputs):
        raise ValueError(
            f"the pullback must return a gradient for each of {len(inputs)} inputs: "
            f"got {len(gradients)}"
        )
    for number, (point, gradient) in enumerate(zip(points, gradients, strict=True)):
        if gradient.shape != point.shape:
            raise AssertionError(
                f"the gradient of input {number} must have shape {point.shape}: "
                f"got {gradient.shape}"
            )
        entries = _entries(point, samples, generator)
        differences = [_difference(loss, point, entry, step) for entry in entries]
        largest = max(map(abs, differences), default=0.0)
        for entry, difference in zip(entries, differences, strict=True):
            if not abs(gradient[entry] - difference) <= atol + rtol * largest:
                raise AssertionError(
                    f"the gradient of input {number} is wrong at {entry}: "
                    f"got {gradient[entry]:.9g}, differences give {difference:.9g}"
                )
    return True


def _as_tuple(out: Any) -> tuple[Array, ...]:
    return tuple(np.asarray(part) for part in out) if isinstance(out, tuple) else (np.asarray(out),)


def _as_sequence(gradients: Any) -> list[Array]:
    if isinstance(gradients, np.ndarray):
        return [gradients]
    return [np.asarray(gradient) for gradient in gradients if gradient is not None]


def _entries(point: Array, samples: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    places = np.flatnonzero(np.isfinite(point))
    if places.size > samples:
        places = np.sort(rng.choice(places, samples, replace=False))
    return [tuple(int(axis) for axis in np.unravel_index(place, point.shape)) for place in places]


def _difference(
    loss: Callable[[], float], point: Array, entry: tuple[int, ...], step: float
) -> float:
    centre = point[entry]
    above, below = centre + step * max(1.0, abs(centre)), centre - step * max(1.0, abs(centre))
    point[entry] = above
    rise = loss()
    point[entry] = below
    rise -= loss()
    point[entry] = centre
    return float(rise / (above - below))


def assert_close(
    actual: ArrayLike,
    expected: ArrayLike,
    *,
    rtol: float | None = None,
    atol: float = 0.0,
    name: str = "result",
) -> None:
    """Compare two arrays, possibly of different types, relative to the largest expected entry.

    ::

        |actual − expected|  ≤  atol + rtol · max |expected|

    A weighted sum may cancel, so an entry is not expected to be right to its own last digits.

    Parameters
    ----------
    actual, expected : array_like
        Of the same shape. NaN and infinities must have the same positions.
    rtol : float, optional
        None depends on the coarser of the two types: 1e-10 for float64, 2e-5 for float32, 2e-3 for
        float16, 1.6e-2 for bfloat16.
    atol : float, default 0
    name : str
        The name used in the message.

    Raises
    ------
    AssertionError
        They differ: names the position of the largest difference, and its size.

    Notes
    -----
    The backward error of a sum is bounded by the sizes of its terms, not of its result: Higham
    2002, Accuracy and Stability of Numerical Algorithms, chapter 4.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.testing import assert_close
    >>> assert_close(np.float32([1.0, 2.0]), [1.0, 2.00001])
    >>> assert_close([1.0, 2.0], [1.0, 2.5])
    Traceback (most recent call last):
        ...
    AssertionError: result differs at (1,): got 2.0, expected 2.5, off by 0.5, allowed 2.5e-10
    """
    got, wanted = as_array("actual", actual), as_array("expected", expected)
    if got.shape != wanted.shape:
        raise AssertionError(f"{name} must have shape {wanted.shape}: got {got.shape}")
    if rtol is None:
        rtol = max(_TOLERANCE.get(array.dtype.name, 1e-10) for array in (got, wanted))
    got, wanted = got.astype(np.float64), wanted.astype(np.float64)
    finite = np.isfinite(wanted)
    allowed = atol + rtol * float(np.max(np.abs(wanted[finite]), initial=0.0))
    error = np.zeros(got.shape)
    np.subtract(got, wanted, out=error, where=finite)
    strange = ~finite & ~((got == wanted) | (np.isnan(got) & np.isnan(wanted)))
    error = np.where(strange | np.isnan(error), np.inf, np.abs(error))
    if got.size and not error.max() <= allowed:
        place = tuple(int(axis) for axis in np.unravel_index(np.argmax(error), got.shape))
        raise AssertionError(
            f"{name} differs at {place}: got {got[place]:.9}, expected {wanted[place]:.9}, "
            f"off by {error[place]:.3g}, allowed {allowed:.3g}"
        )
