"""Writing: translations piece by piece, by beam search."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pieces import START, STOP, Pieces, padded
from translator import Translator

from heedful.layers import generate


class Writing:
    """The steps that `generate` asks for: the scores of the next piece of each translation.

    Messages are short, so that each step computes the whole translation so far again.
    """

    longest = None

    def __init__(self, model: Translator, lexicon: Any, source: np.ndarray) -> None:
        self.model, self.lexicon, self.source = model, lexicon, source
        self.target = np.zeros((len(source), 0), int)

    def start(self, prompts: list[np.ndarray]) -> np.ndarray:
        return self.step(np.concatenate(prompts))

    def step(self, tokens: np.ndarray) -> np.ndarray:
        self.target = np.concatenate([self.target, tokens[:, None]], axis=1)
        scores: np.ndarray = self.model(self.source, self.target, lexicon=self.lexicon)
        return scores[:, -1]

    def reorder(self, items: np.ndarray) -> None:
        self.source, self.target = self.source[items], self.target[items]


def translated(
    model: Translator, lexicon: Any, pieces: Pieces, messages: Sequence[str], beams: int = 1
) -> list[str]:
    """In batches of messages of similar length."""
    rows, found = pieces.rows(messages), [""] * len(messages)
    order = np.argsort([len(row) for row in rows], kind="stable")
    for begin in range(0, len(order), 64):
        chosen = order[begin : begin + 64]
        source = padded([rows[index] for index in chosen])
        targets = generate(
            Writing(model, lexicon, source), [np.array([START])] * len(source), stop=STOP,
            max_length=30, num_beams=beams,
        )  # fmt: skip
        for index, target in zip(chosen, targets, strict=True):
            found[index] = pieces.text(target)
    return found
