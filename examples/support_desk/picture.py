"""Where questions look, and how probable the best topic is to those of the desk and to others."""

from pathlib import Path
from typing import Any

import numpy as np
from trial import Trial

EXAMPLES = (
    "How can I sort a list in Python?",
    "Are robots able to feel happy?",
    "Which team should win the cup in football?",
    "How do I get a refund for my train ticket?",
)


def draw(trial: Trial, encoder: Any, file: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(
        1, 2, figsize=(11, 4), width_ratios=(2, 1), layout="constrained"
    )
    place, ticks, labels = 0.0, [], []
    for text, vector in zip(EXAMPLES, encoder.encode(list(EXAMPLES)), strict=True):
        p = trial.probabilities(vector[None])[0]
        weights = trial.desk.weights(vector[None], trial.x(trial.known))[0]
        refused = p.max() < trial.threshold()
        said = "refused" if refused else trial.names[p.argmax()]
        left.text(0, place - 0.75, f"{text}  {said}", fontsize=9, weight="bold")
        best = np.argsort(-weights)[:3]
        for one in [*best, None]:
            value = 1 - weights.sum() if one is None else weights[one]
            left.barh(place, value, color="0.6" if one is None else "C1")
            known = "" if one is None else " ".join(trial.questions.texts[trial.known[one]].split())
            labels.append("none of the known" if one is None else known[:40])
            ticks.append(place)
            place += 1
        place += 1.3
    left.set_yticks(ticks, labels, fontsize=8)
    left.set(xlim=(0, 1), xlabel="weight of attention")
    left.invert_yaxis()
    bins = np.linspace(0, 1, 21)
    for part, name, color in ((trial.asked, "topics of the desk", "C1"),
                              (trial.left_out, "topics left out", "0.6")):  # fmt: skip
        score = trial.probabilities(trial.x(part)).max(1)
        right.hist(score, bins, density=True, alpha=0.7, color=color, label=name)
    right.axvline(trial.threshold(), color="k", linewidth=0.8, label="refused below")
    right.set(xlabel="probability of the best topic", yticks=[])
    right.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(0, 1.22))
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=80)
