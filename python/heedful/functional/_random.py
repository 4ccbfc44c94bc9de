"""The probability of dropout, and the 64-bit seed that keys a call's random bits."""

import os
from typing import Any

import numpy as np

from heedful._checks import is_integer, named, probability


def check_dropout(dropout_p: Any, rng: Any) -> tuple[float, int]:
    """(probability, seed); a generator is drawn from only if the probability is above 0."""
    dropout_p = probability("dropout_p", dropout_p)
    if is_integer(rng):
        if not 0 <= rng < 2**64:
            raise ValueError(f"rng must be a seed from 0 to 2**64 - 1: got {named(rng)}")
        return dropout_p, int(rng)
    if rng is None:
        return dropout_p, int.from_bytes(os.urandom(8), "little") if dropout_p else 0
    if not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"rng must be None, an integer or a numpy.random.Generator: got {named(rng)}"
        )
    return dropout_p, int(rng.integers(0, 2**64, dtype=np.uint64)) if dropout_p else 0


def check_same_seed(dropout_p: Any, rng: Any) -> None:
    """The backward of an earlier call cannot draw a seed of its own."""
    if probability("dropout_p", dropout_p) and not is_integer(rng):
        raise ValueError(
            "rng must be the integer that the forward call was given, where dropout_p is above 0: "
            f"got {named(rng)}"
        )
