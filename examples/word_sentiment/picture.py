"""Where the model looks in a review, and in a headline without and with the lists of finance."""

from pathlib import Path
from typing import Any

import numpy as np
from figures import Result, inputs_of
from headlines import OWN
from reviews import words_of

REVIEW = "I wanted to love this dress but the fabric is cheap and it runs large, so it went back."
HEADLINE = "Department store files for bankruptcy protection"


def draw(result: Result, lexicon: Any, file: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot as plt

    rows = ((REVIEW, lexicon, "a review, guided by VADER"),
            (HEADLINE, None, "a headline, not guided"),
            (HEADLINE, OWN, "the same, guided by lists of finance"))  # fmt: skip
    figure, panels = plt.subplots(
        1, 3, figsize=(11, 4.4), width_ratios=(1.2, 1, 1), layout="constrained"
    )
    for axes, (text, lists, title) in zip(panels, rows, strict=True):
        words = words_of(text)
        inputs = inputs_of(result.vocabulary, text, lists)
        weights, added = (array[0, : len(words)] for array in result.model.read(*inputs))
        colors = np.where(added > 0, "C0", "C1")
        axes.barh(range(len(words)), weights, color=colors)
        axes.set_yticks(range(len(words)), words, fontsize=8)
        axes.invert_yaxis()
        axes.set(xlabel="weight of attention")
        axes.set_title(f"{title}\nlogit {result.model(*inputs)[0, 0]:+.1f}", fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    handles = [plt.Rectangle((0, 0), 1, 1, color=color) for color in ("C0", "C1")]
    panels[0].legend(handles, ("speaks for", "speaks against"), fontsize=8, frameon=False)
    figure.savefig(file, dpi=80)
