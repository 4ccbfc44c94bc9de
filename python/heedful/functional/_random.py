"""Dropout and noise, and the 64-bit seed that keys a call's random bits."""

import os
from typing import Any

import numpy as np

from heedful._checks import below_one, is_integer, named, positive, probability

_EXTREME = 2.0**100  # at it weights are equal, at 1 / it one-hot: beyond nothing changes


def check_random(
    dropout_p: Any, key_dropout_p: Any, gumbel_temperature: Any, rng: Any
) -> tuple[float, int, float, float]:
    """(dropout_p, seed, key_dropout_p, temperature or 0), as the compiled functions take them.

    A generator is drawn from only if something is random.
    """
    dropout_p = probability("dropout_p", dropout_p)
    key_dropout_p = below_one("key_dropout_p", key_dropout_p)
    temperature = 0.0
    if gumbel_temperature is not None:
        temperature = positive("gumbel_temperature", gumbel_temperature)
        temperature = min(max(temperature, 1 / _EXTREME), _EXTREME)
        if rng is None:
            raise ValueError("rng must be a seed or a generator with gumbel_temperature: got None")
    is_random = dropout_p > 0 or key_dropout_p > 0 or temperature > 0
    return dropout_p, _seed(rng, is_random), key_dropout_p, temperature


def _seed(rng: Any, is_random: bool) -> int:
    if is_integer(rng):
        if not 0 <= rng < 2**64:
            raise ValueError(f"rng must be a seed from 0 to 2**64 - 1: got {named(rng)}")
        return int(rng)
    if rng is None:
        return int.from_bytes(os.urandom(8), "little") if is_random else 0
    if not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"rng must be None, an integer or a numpy.random.Generator: got {named(rng)}"
        )
    return int(rng.integers(0, 2**64, dtype=np.uint64)) if is_random else 0


def check_same_seed(call_is_random: bool, rng: Any) -> None:
    """The backward of an earlier call cannot draw a seed of its own."""
    if call_is_random and not is_integer(rng):
        raise ValueError(
            "rng must be the integer that the forward call was given, where there is dropout or "
            f"noise: got {named(rng)}"
        )
