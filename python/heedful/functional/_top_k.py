"""How many keys each query attends to."""

from typing import Any

from heedful._checks import size

_MAX_KEYS = 2**31 - 1  # kept keys are 32-bit integers


def check_top_k(top_k: Any, keys: int) -> int:
    """0 where it is no restriction."""
    if top_k is None:
        return 0
    count = size("top_k", top_k)
    if count > keys:
        raise ValueError(f"top_k must be at most the number of keys, {keys}: got {count}")
    if count < keys and keys > _MAX_KEYS:
        raise ValueError(f"top_k must be None for more than {_MAX_KEYS} keys: got {count}")
    return 0 if count == keys else count
