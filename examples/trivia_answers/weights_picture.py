"""What some questions attend to."""

from pathlib import Path

import numpy as np

SHOWN = ("softest mineral", "Squab", "Orly", "largest lizard")


def draw(
    path: Path, questions: list[str], texts: list[str], weights: list[np.ndarray],
    rights: list[set[int]],
) -> None:  # fmt: skip
    """The six heaviest keys of each question; those of the right answer are green."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(len(questions), 1, figsize=(8, 1.7 * len(questions)))
    for panel, question, row, right in zip(panels, questions, weights, rights, strict=True):
        order = np.argsort(-row)[:6][::-1]
        names = [texts[key][:66] + "…" * (len(texts[key]) > 66) for key in order]
        colours = ["#2a7f4f" if key in right else "#9aa5b1" for key in order]
        panel.barh(range(6), row[order], color=colours)
        panel.set(yticks=range(6), xlim=(0, 1), title=question)
        panel.set_yticklabels(names, fontsize=7)
        panel.title.set_fontsize(9)
        panel.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=100, bbox_inches="tight")
