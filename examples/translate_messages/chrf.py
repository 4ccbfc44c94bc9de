"""chrF: how many of the letter n-grams of a translation are those of the reference."""

from collections import Counter
from collections.abc import Sequence

import numpy as np


def grams(text: str, n: int) -> Counter[str]:
    return Counter(text[i : i + n] for i in range(len(text) - n + 1))


def chrf(translations: Sequence[str], references: Sequence[str]) -> float:
    """F2 of all letter n-grams, n = 1 … 6, spaces left out, in percent (Popović 2015)."""
    common, found, wanted = np.zeros((3, 6))
    for pair in zip(translations, references, strict=True):
        translation, reference = ("".join(text.split()) for text in pair)
        for n in range(1, 7):
            ours, right = grams(translation, n), grams(reference, n)
            if right:
                common[n - 1] += (ours & right).total()
                found[n - 1] += ours.total()
                wanted[n - 1] += right.total()
    counted = (found > 0) & (wanted > 0)
    if not counted.any():
        return 0.0
    precision = (common / np.maximum(found, 1))[counted].mean()
    recall = (common / np.maximum(wanted, 1))[counted].mean()
    return float(100 * 5 * precision * recall / max(4 * precision + recall, 1e-9))
