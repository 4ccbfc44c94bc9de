"""How close is close enough: measured, not chosen.

A result may be off from the exact one by at most twice the error that plain NumPy makes in the same
type on the same input. The error is the root mean square over the array, and also the largest one:
the former is a stable measure, the latter detects a single wrong element.

The floors allow for chance. NumPy may be exact by chance (one key: the result is its value), and
the errors of a row share the one rounding of its lse: two units in the last place of the type
computed in, of the mean element, and more where only a few elements, sums of many terms each, make
the mean. The largest of a thousand errors is itself random, some roundings more or less: eight
units in the last place of the type computed in, and one of a narrower type returned, of the largest
element.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

ALLOWED_RATIO = 2.0
FLOOR_OF_THE_MEAN = 2.0  # units in the last place
FLOOR_OF_FEW = 16.0  # the same, divided by the root of their number
FLOOR_OF_THE_LARGEST = 8.0


def machine_epsilon(dtype: np.dtype[Any]) -> float:
    if dtype.name == "bfloat16":
        return 2.0**-7
    return float(np.finfo(dtype).eps)


def assert_as_accurate_as_numpy(
    result: NDArray[Any],
    plain: NDArray[Any],
    exact: NDArray[Any],
    what: str = "result",
    ratio: float = ALLOWED_RATIO,
) -> None:
    """`plain` is NumPy's result in the computing type; it is judged rounded to that of `result`.

    Where the result is a difference of terms that are much larger, both errors are samples of the
    terms' roundings, and the floors, which are relative to the result, do not apply: `ratio` is
    larger there.
    """
    result = np.asarray(result)
    assert result.shape == exact.shape, f"{what}: shape {result.shape}, expected {exact.shape}"
    if not result.size:
        return
    computing_epsilon, epsilon = machine_epsilon(plain.dtype), machine_epsilon(result.dtype)
    plain = plain.astype(result.dtype).astype(exact.dtype)
    result = result.astype(exact.dtype)
    regular = np.isfinite(exact)
    np.testing.assert_array_equal(result[~regular], exact[~regular], err_msg=what)
    assert np.isfinite(result[regular]).all(), f"{what}: not finite where the exact result is"
    if not regular.any():
        return
    result, plain, exact = result[regular], plain[regular], exact[regular]
    if epsilon == computing_epsilon:
        epsilon = 0.0
    few = FLOOR_OF_FEW / np.sqrt(exact.size)
    floors = {
        mean: (FLOOR_OF_THE_MEAN + few) * computing_epsilon,
        largest: (FLOOR_OF_THE_LARGEST + few) * computing_epsilon + epsilon,
    }
    for measure, floor in floors.items():
        error, error_of_numpy = measure(result - exact), measure(plain - exact)
        allowed = ratio * error_of_numpy + floor * measure(exact)
        assert error <= allowed, (
            f"{what}: {measure.__name__} error {error:.3g}, NumPy's {error_of_numpy:.3g}, "
            f"allowed {allowed:.3g}"
        )


def mean(array: NDArray[Any]) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(array))))


def largest(array: NDArray[Any]) -> float:
    return float(np.abs(array).max())


def assert_same_bits(result: NDArray[Any], expected: NDArray[Any], what: str = "result") -> None:
    """Equal bit for bit, signs of zero and kinds of NaN included."""
    assert (result.shape, result.dtype) == (expected.shape, expected.dtype), what
    if result.tobytes() != expected.tobytes():
        difference = np.abs(result.astype(np.longdouble) - expected.astype(np.longdouble))
        count = int((difference != 0).sum())
        raise AssertionError(
            f"{what}: {count} of {result.size} elements differ, "
            f"by at most {float(np.nanmax(difference)):.3g}"
        )
