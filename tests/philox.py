"""Philox4x32-10, counter-based random bits, in plain NumPy, and the dropout drawn from them.

J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw: Parallel random numbers: as easy as 1, 2, 3.
SC'11, 2011.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LOW_32_BITS = np.uint64(0xFFFFFFFF)
MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
KEY_STEPS = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)  # golden ratio, √3 − 1
ROUNDS = 10


def philox4x32(counter: NDArray[np.uint64], key: tuple[int, int]) -> NDArray[np.uint64]:
    """The four random 32-bit words of each counter, (…, 4) to (…, 4), held in uint64."""
    word_0, word_1, word_2, word_3 = np.moveaxis(np.asarray(counter, np.uint64), -1, 0)
    key_0, key_1 = np.uint64(key[0]), np.uint64(key[1])
    for _ in range(ROUNDS):
        product_0 = MULTIPLIERS[0] * word_0  # 32 × 32 bits fit into 64
        product_1 = MULTIPLIERS[1] * word_2
        word_0, word_1, word_2, word_3 = (
            (product_1 >> np.uint64(32)) ^ word_1 ^ key_0,
            product_1 & LOW_32_BITS,
            (product_0 >> np.uint64(32)) ^ word_3 ^ key_1,
            product_0 & LOW_32_BITS,
        )
        key_0 = (key_0 + KEY_STEPS[0]) & LOW_32_BITS
        key_1 = (key_1 + KEY_STEPS[1]) & LOW_32_BITS
    return np.stack([word_0, word_1, word_2, word_3], axis=-1)


DROPOUT, GUMBEL, KEY_DROPOUT = range(3)  # what draws its own words from one seed


def words_of_pairs(
    items: NDArray[np.int64], heads: int, queries: int, keys: int, seed: int, stream: int
) -> NDArray[np.uint64]:
    """A word for each pair of a query and a key: (len(items), heads, queries, keys).

    The counter (j >> 2, i, h, b + stream · 2^30) gives four words; word j & 3 is that of key j for
    query i, head h, item b.
    """
    counter = np.zeros((len(items), heads, queries, -(-keys // 4), 4), np.uint64)
    counter[..., 0] = np.arange(counter.shape[3])
    counter[..., 1] = np.arange(queries)[:, None]
    counter[..., 2] = np.arange(heads)[:, None, None]
    counter[..., 3] = (items + (stream << 30))[:, None, None, None]
    words = philox4x32(counter, (seed & 0xFFFFFFFF, seed >> 32))
    return words.reshape(*counter.shape[:3], 4 * counter.shape[3])[..., :keys]


def kept_weights(
    items: NDArray[np.int64],
    heads: int,
    queries: int,
    keys: int,
    probability: float,
    seed: int,
    stream: int = DROPOUT,
) -> NDArray[np.bool_]:
    """Which weights, or with KEY_DROPOUT keys, are kept: (len(items), heads, queries, keys)."""
    if probability >= 1.0:
        return np.zeros((len(items), heads, queries, keys), bool)
    words = words_of_pairs(items, heads, queries, keys, seed, stream)
    return words >= np.uint64(min(round(probability * 2**32), 2**32 - 1))


def gumbel_noise(
    items: NDArray[np.int64], heads: int, queries: int, keys: int, seed: int
) -> NDArray[np.float64]:
    """−ln(−ln u), u = (n + ½) / 2^31, n the upper 31 bits of a word."""
    words = words_of_pairs(items, heads, queries, keys, seed, GUMBEL)
    u = ((words >> np.uint64(1)).astype(np.float64) + 0.5) / 2**31
    exponential = -np.log1p(-(1 - u))  # 1 − u is exact
    return -np.log(exponential)


def kept_elements(count: int, probability: float, seed: int) -> NDArray[np.bool_]:
    """Which elements of an array a layer's dropout keeps: (count,).

    The counter (n // 64, n % 16, 0, n >> 38) gives four words; word n // 16 % 4 decides about
    element n.
    """
    n = np.arange(count, dtype=np.uint64)
    if probability >= 1.0:
        return np.zeros(count, bool)
    sixteen, sixty_four = np.uint64(16), np.uint64(64)
    counter = np.stack([n // sixty_four, n % sixteen, n * 0, n >> np.uint64(38)], axis=-1)
    words = philox4x32(counter, (seed & 0xFFFFFFFF, seed >> 32))
    words = words[np.arange(count), (n // sixteen % np.uint64(4)).astype(int)]
    return words >= np.uint64(min(round(probability * 2**32), 2**32 - 1))
