"""Lexicon: how probable each piece of the translation is, given one piece of the message."""

from collections.abc import Sequence

import numpy as np
from scipy import sparse


def lexicon(
    sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], count: int, rounds: int = 5
) -> sparse.csr_array:
    """p(target piece | source piece), (V, V), by counting: IBM Model 1 (Brown et al. 1993).

    ::

        share[j, i] = p[t_j | s_i] / Σ_i' p[t_j | s_i']      of each target piece j of a pair
        p[t | s]    = Σ share[j, i] over all pairs, where t_j = t and s_i = s, normalised over t

    in turns, from equal p. Probabilities below 0.003 are left out.
    """
    pairs = list(zip(sources, targets, strict=True))
    source = np.concatenate([np.tile(s, len(t)) for s, t in pairs])
    target = np.concatenate([np.repeat(t, len(s)) for s, t in pairs])
    choices = np.concatenate([np.full(len(t), len(s)) for s, t in pairs])
    place = np.repeat(np.arange(len(choices)), choices)  # which target piece, of all pairs
    both, entry = np.unique(source * count + target, return_inverse=True)
    p = np.ones(len(both))
    for _ in range(rounds):
        share = p[entry]
        share /= np.bincount(place, share)[place]
        counts = np.bincount(entry, share)
        p = counts / np.bincount(both // count, counts, count)[both // count]
    kept = p >= 0.003
    where = both[kept] // count, both[kept] % count
    return sparse.coo_array((p[kept].astype(np.float32), where), (count, count)).tocsr()


def word_by_word(table: sparse.csr_array, rows: Sequence[Sequence[int]]) -> list[np.ndarray]:
    """The most probable piece for each piece."""
    return [np.asarray(table[np.array(row)].toarray()).argmax(axis=1) for row in rows]
