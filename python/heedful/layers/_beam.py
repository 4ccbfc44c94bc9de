"""Beam search: the best beginnings are carried on side by side."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from heedful.layers._sampling import check_scores
from heedful.layers._steps import Steps
from heedful.layers._types import Array


class _Finished(NamedTuple):
    rating: float
    tokens: list[int]


def beam_search(
    steps: Steps, prompts: list[Array], stops: Array, max_length: int, beams: int,
    penalty: float,
) -> list[Array]:  # fmt: skip
    """For each prompt the sequence with the highest Σ log p / length^penalty that was found."""
    batch = len(prompts)
    scores = _log_softmax(steps.start(prompts))  # (B, vocabulary)
    vocabulary = scores.shape[-1]
    # every prompt as `beams` rows, of which only the first is different from the others at first
    steps.reorder(np.repeat(np.arange(batch), beams))
    scores = np.repeat(scores, beams, 0)
    totals = np.full((batch, beams), -np.inf)
    totals[:, 0] = 0
    rows: list[list[list[int]]] = [[[] for _ in range(beams)] for _ in prompts]
    finished: list[list[_Finished]] = [[] for _ in prompts]
    for length in range(1, max_length + 1):
        candidates = totals[:, :, None] + scores.reshape(batch, beams, vocabulary)
        flat = candidates.reshape(batch, -1)
        # as many again as beams: each of them may stop
        best = np.argsort(-flat, -1, kind="stable")[:, : 2 * beams]
        parents = np.zeros((batch, beams), np.int64)
        tokens = np.zeros((batch, beams), np.int64)
        grown: list[list[list[int]]] = []
        for item in range(batch):
            kept: list[list[int]] = []
            for place, choice in enumerate(best[item]):
                total = flat[item, choice]
                beam, token = divmod(int(choice), vocabulary)
                if len(kept) == beams or total == -np.inf:
                    break
                if token in stops:
                    if place < beams:
                        rating = total / length**penalty
                        finished[item].append(_Finished(rating, rows[item][beam]))
                    continue
                parents[item, len(kept)], tokens[item, len(kept)] = beam, token
                totals[item, len(kept)] = total
                kept.append([*rows[item][beam], token])
            totals[item, len(kept) :] = -np.inf
            grown.append(kept + [[] for _ in range(beams - len(kept))])
            finished[item] = sorted(finished[item], key=lambda found: -found.rating)[:beams]
        rows = grown
        if length == max_length or all(
            _is_done(finished[item], totals[item], length, max_length, penalty, beams)
            for item in range(batch)
        ):
            break
        steps.reorder((np.arange(batch)[:, None] * beams + parents).reshape(-1))
        scores = _log_softmax(steps.step(tokens.reshape(-1)))
    for item in range(batch):
        for beam in range(beams):
            if totals[item, beam] > -np.inf:
                rating = totals[item, beam] / len(rows[item][beam]) ** penalty
                finished[item].append(_Finished(rating, rows[item][beam]))
    best_of = [max(found, key=lambda f: f.rating).tokens if found else [] for found in finished]
    return [np.array(tokens, np.int64) for tokens in best_of]


def _is_done(
    finished: list[_Finished], totals: Array, length: int, max_length: int, penalty: float,
    beams: int,
) -> bool:  # fmt: skip
    """Nothing that is still written can become better than what is finished."""
    if len(finished) < beams:
        return False
    # a sum of logarithms only falls; a longer sequence divides it by more, if penalty > 0
    longest = max_length if penalty > 0 else length
    reachable = totals.max() / longest**penalty
    return bool(min(found.rating for found in finished) >= reachable)


@np.errstate(all="ignore")
def _log_softmax(scores: Array) -> Array:
    check_scores(scores)
    scores = scores.astype(np.float64)
    scores -= scores.max(-1, keepdims=True)
    result: Array = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
    return result
