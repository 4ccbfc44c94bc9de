"""How close is close enough: measured, not chosen.

A result may be off from the exact one by at most twice the error that plain NumPy makes in the same
type on the same input. The floor is for the lucky case in which plain NumPy is exact or nearly so:
one unit in the last place of the largest number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

ALLOWED_RATIO = 2.0
FLOOR_IN_ULPS = 1.0


def machine_epsilon(dtype: np.dtype[Any]) -> float:
    if dtype.name == "bfloat16":
        return 2.0**-7
    return float(np.finfo(dtype).eps)


def assert_as_accurate_as_numpy(
    result: NDArray[Any], plain: NDArray[Any], exact: NDArray[Any], what: str = "result"
) -> None:
    """`plain` is NumPy's result in the computing type; it is judged rounded to that of `result`."""
    result = np.asarray(result)
    assert result.shape == exact.shape, f"{what}: shape {result.shape}, expected {exact.shape}"
    if not result.size:
        return
    epsilon = machine_epsilon(result.dtype)
    plain = plain.astype(result.dtype).astype(exact.dtype)
    result = result.astype(exact.dtype)
    regular = np.isfinite(exact)
    np.testing.assert_array_equal(result[~regular], exact[~regular], err_msg=what)
    assert np.isfinite(result[regular]).all(), f"{what}: not finite where the exact result is"
    if not regular.any():
        return
    error = np.abs(result - exact)[regular].max()
    error_of_numpy = np.abs(plain - exact)[regular].max()
    floor = FLOOR_IN_ULPS * epsilon * np.abs(exact[regular]).max()
    assert error <= ALLOWED_RATIO * error_of_numpy + floor, (
        f"{what}: error {float(error):.3g}, NumPy's {float(error_of_numpy):.3g}, "
        f"floor {float(floor):.3g}"
    )


def assert_same_bits(result: NDArray[Any], expected: NDArray[Any], what: str = "result") -> None:
    """Equal bit for bit, signs of zero and kinds of NaN included."""
    assert (result.shape, result.dtype) == (expected.shape, expected.dtype), what
    if result.tobytes() != expected.tobytes():
        difference = np.abs(result.astype(np.longdouble) - expected.astype(np.longdouble))
        count = int((difference != 0).sum())
        raise AssertionError(
            f"{what}: {count} of {result.size} numbers differ, "
            f"by at most {float(np.nanmax(difference)):.3g}"
        )
