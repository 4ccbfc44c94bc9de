"""Beam search: the best prefixes of each sequence are extended in parallel."""

from __future__ import annotations

import math

import numpy as np

from heedful.base._taps import batch_items
from heedful.base._types import Array
from heedful.layers.generation._ranking import highest
from heedful.layers.generation._sampling import check_scores
from heedful.layers.generation._steps import Steps


def beam_search(
    steps: Steps, prompts: list[Array], stops: Array, max_length: int, beams: int,
    penalty: float,
) -> list[Array]:  # fmt: skip
    """For each prompt the sequence with the highest Σ log p / length^penalty that was found.

    Of all continuations of a prompt's beams by one token, those of the `beams` best that end in a
    stop token are finished sequences, and the `beams` best of the others are the next beams.
    """
    searches = [_Search(beams, penalty, max_length) for _ in prompts]
    active = np.arange(len(prompts))  # the prompt of each row of the model
    with batch_items(active):
        scores = steps.start(prompts)
    for length in range(1, max_length + 1):
        logs = _log_softmax(scores, active)
        stopping = np.isin(np.arange(logs.shape[-1]), stops)
        # a row is a beam; prompts whose search has ended have none
        parents: list[Array] = []
        tokens: list[Array] = []
        for prompt in np.unique(active):
            rows = np.flatnonzero(active == prompt)
            beam, token = searches[prompt].advance(logs[rows], stopping, length)
            parents.append(rows[beam])
            tokens.append(token)
        rows = np.concatenate(parents)
        if not rows.size or length == max_length:
            break
        active = active[rows]
        steps.reorder(rows)
        with batch_items(active):
            scores = steps.step(np.concatenate(tokens))
    return [np.array(search.best(), np.int64) for search in searches]


class _Search:
    """The beams of one prompt, and its best finished sequence."""

    def __init__(self, beams: int, penalty: float, max_length: int) -> None:
        self.beams, self.penalty, self.max_length = beams, penalty, max_length
        self.totals = np.zeros(1)  # Σ log p of each beam
        self.rows: list[list[int]] = [[]]
        self.finished: list[int] = []
        self.finished_rating = -math.inf

    def advance(self, logs: Array, stopping: Array, length: int) -> tuple[Array, Array]:
        """Log-probabilities (beams, vocabulary) of the next token → parents and tokens of beams.

        None are left if no beam can become better than the best finished sequence.
        """
        vocabulary = logs.shape[-1]
        totals = self.totals[:, None] + logs
        flat = totals.reshape(-1)
        for choice in highest(flat[None], self.beams)[0]:
            beam, token = divmod(int(choice), vocabulary)
            rating = self._rating(flat[choice], length)
            if stopping[token] and rating > self.finished_rating:
                self.finished, self.finished_rating = self.rows[beam], rating
        totals[:, stopping] = -np.inf
        live = highest(flat[None], self.beams)[0]
        live = live[flat[live] > -np.inf]
        if live.size and length < self.max_length and not self._may_improve(flat[live[0]], length):
            live = live[:0]
        parents, tokens = np.divmod(live, vocabulary)
        self.totals = flat[live]
        self.rows = [
            [*self.rows[beam], int(token)] for beam, token in zip(parents, tokens, strict=True)
        ]
        return parents, tokens

    def _may_improve(self, total: float, length: int) -> bool:
        # the sum of log p only decreases; a longer sequence divides it by more, if penalty > 0
        longest = self.max_length if self.penalty > 0 else length + 1
        return self._rating(total, longest) > self.finished_rating

    def best(self) -> list[int]:
        """The best of the finished sequence and the beams that max_length truncated."""
        if self.rows and self._rating(self.totals[0], len(self.rows[0])) > self.finished_rating:
            return self.rows[0]
        return self.finished

    def _rating(self, total: float, length: int) -> float:
        """Increases with total / length^penalty; a logarithm, as the power may overflow."""
        cost = -float(total)
        return math.inf if cost <= 0 else self.penalty * math.log(length) - math.log(cost)


@np.errstate(all="ignore")
def _log_softmax(scores: Array, prompts: Array) -> Array:
    check_scores(scores, prompts)
    scores = scores.astype(np.float64)
    scores -= scores.max(-1, keepdims=True)
    with np.errstate(under="ignore"):
        result: Array = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
    return result
