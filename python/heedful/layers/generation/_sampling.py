"""Sampler: the next token from its scores."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from heedful.base._types import Array


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
        order = np.argsort(-scores, -1, kind="stable")
        p = np.exp(np.take_along_axis(scores, order, -1))
        if self.top_k is not None:  # ties in the order of the tokens
            p[:, self.top_k :] = 0
        p /= p.sum(-1, keepdims=True)
        sums = p.cumsum(-1)
        if self.top_p is not None:  # all after the first that reaches top_p
            p[sums - p >= self.top_p] = 0
            p[:, 0] = np.maximum(p[:, 0], np.finfo(float).tiny)
            sums = p.cumsum(-1)
        drawn = self.rng.random(len(scores))[:, None] * sums[:, -1:]
        # never one of probability 0, where the draw and the sum are equal by rounding
        last = p.shape[-1] - 1 - np.argmax(p[:, ::-1] > 0, -1)
        places = np.minimum((sums <= drawn).sum(-1), last)
        tokens: Array = np.take_along_axis(order, places[:, None], -1)[:, 0]
        return tokens
