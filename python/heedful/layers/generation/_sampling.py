"""Sampler: the next token from its scores."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from heedful.base._types import Array
from heedful.layers.generation._ranking import highest

FEW = 1024  # tokens that usually have the mass that is drawn from


def check_scores(scores: Array, prompts: Array) -> None:
    """Reject rows with NaN, infinity or only −infinity; `prompts` (B,) are their prompts."""
    wrong = np.flatnonzero(~np.isfinite(scores.max(-1)))  # the maximum of NaN is NaN
    if wrong.size:
        raise FloatingPointError(
            f"the model's scores for the next token of sequence {prompts[wrong[0]]} hold NaN or "
            "infinity, or all are −infinity: are its weights finite?"
        )


class Sampler(NamedTuple):
    """The highest score at temperature 0, otherwise a sample from the remaining tokens."""

    temperature: float
    top_k: int | None
    top_p: float | None
    rng: np.random.Generator

    @np.errstate(all="ignore")  # probabilities may underflow
    def __call__(self, scores: Array, prompts: Array) -> Array:
        """scores (B, vocabulary) of these prompts (B,) → tokens (B,)."""
        check_scores(scores, prompts)
        if self.temperature == 0:
            best: Array = scores.argmax(-1)
            return best
        # the maximum first: a low temperature may then make the others −infinity, but not all
        scores = scores.astype(np.float64) - scores.max(-1, keepdims=True)
        scores /= self.temperature
        draws = self.rng.random(len(scores))[:, None]
        if self.top_k is None:
            order, p = _leading(scores, draws if self.top_p is None else self.top_p)
        else:
            order = highest(scores, self.top_k)
            p = np.exp(np.take_along_axis(scores, order, -1))
            p /= p.sum(-1, keepdims=True)
        sums = p.cumsum(-1)
        if self.top_p is not None:  # all after the first that reaches top_p
            p[sums - p >= self.top_p] = 0
            p[:, 0] = np.maximum(p[:, 0], np.finfo(float).tiny)
            sums = p.cumsum(-1)
        restricted = self.top_k is not None or self.top_p is not None
        drawn = draws * sums[:, -1:] if restricted else draws
        # never one of probability 0, where the draw and the sum are equal by rounding
        last = p.shape[-1] - 1 - np.argmax(p[:, ::-1] > 0, -1)
        places = np.minimum((sums <= drawn).sum(-1), last)
        tokens: Array = np.take_along_axis(order, places[:, None], -1)[:, 0]
        return tokens


def _leading(scores: Array, mass: float | Array) -> tuple[Array, Array]:
    """The most probable tokens, best first: enough to have that mass together.

    scores (B, vocabulary), at most 0 → tokens and their probabilities, both (B, count)
    """
    size = scores.shape[-1]
    p = np.exp(scores)
    p /= p.sum(-1, keepdims=True)
    # all with at most (1 − mass) / size have at most 1 − mass together
    enough = int((p > (1 - mass) / size).sum(-1).max())
    for count in (FEW, enough, size):
        if count > size // 4:  # then sorting all takes no longer
            break
        order = highest(scores, count)
        leading = np.take_along_axis(p, order, -1)
        if (leading.sum(-1, keepdims=True) > mass).all():
            return order, leading
    order = highest(scores, size)
    return order, np.take_along_axis(p, order, -1)
