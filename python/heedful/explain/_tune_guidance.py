"""tune_guidance: strengths of guidance that maximise a metric, without gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heedful._checks import below_one, finite, generator, named, size
from heedful.base._types import Array, Rng
from heedful.explain._guided_examples import GuidedExamples, Metric
from heedful.explain._layer_choice import Heads, Patterns, chosen_heads, chosen_layers

_RESAMPLES = 1000


class TunedGuidance(NamedTuple):
    """What a search over strengths found.

    Attributes
    ----------
    strengths : numpy.ndarray, (parts,)
        Of each part of the guidance; 0 if the held-out examples do not confirm the search.
    confirmed : bool
        Whether the held-out metric rises in at least 95 % of the resampled held-out examples.
    found : numpy.ndarray, (parts,)
        The strengths that are best on the examples searched, confirmed or not.
    searched, held_out : (float, float)
        The metric on these examples, without guidance and with the strengths found.
    confidence : float
        The share of resamples of the held-out examples in which the metric rises.
    calls : int
        How many strengths were tried.
    """

    strengths: Array
    confirmed: bool
    found: Array
    searched: tuple[float, float]
    held_out: tuple[float, float]
    confidence: float
    calls: int


def tune_guidance(
    model: Any,
    inputs: Sequence[Any],
    guidance: Any,
    metric: Metric,
    *,
    strengths: Sequence[float] = (0, 0.25, 0.5, 1, 1.5, 2, 3, 4, 6, 8),
    held_out: float = 0.5,
    where: Patterns = "*",
    heads: Heads = None,
    call: Callable[[Any, Any], Any] | None = None,
    max_rounds: int = 3,
    rng: Rng = 0,
) -> TunedGuidance:
    """The strengths of guidance that maximise a metric, and whether held-out examples agree.

    Each part of the guidance is multiplied by a strength. One part after the other gets the best of
    `strengths` while the others stay as they are, until nothing improves; of equal ones the
    strength nearest to 0 is taken.

    Parameters
    ----------
    model, inputs, metric, call
        As of :func:`find_guidable_heads`.
    guidance : sequence of Guidance, or of sequences of them
        For each input one, or as many parts as there are strengths to be found, such as
        ``(guide(t, attract=a), guide(t, repel=r))``. Strict ones hold wherever the strength is
        not 0.
    strengths : sequence of float
        What is tried; 0 is always among them. Negative ones reverse a guidance.
    held_out : float, default 0.5
        The share of examples that only the check sees.
    where, heads
        Which layers and heads are guided, as of :func:`steer`.
    max_rounds : int, default 3
        Over the parts.
    rng : None, int or numpy.random.Generator, default 0
        Splits the examples and resamples the held-out ones.

    Returns
    -------
    TunedGuidance
        Its `strengths` are 0 where the held-out examples do not confirm what was found.

    Raises
    ------
    ValueError
        A metric that is not finite, fewer than two examples on either side, and as
        :func:`find_guidable_heads`.

    Notes
    -----
    A search over a few strengths fits noise, too: so the held-out examples are resampled 1000 times
    with replacement (Efron 1979, the bootstrap, https://doi.org/10.1214/aos/1176344552), and the
    metric must rise in 95 % of them. The metric is called for each resample, the model is not.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.explain import guide, tune_guidance
    >>> from heedful.layers import AttentionPooling
    >>> model, rng = AttentionPooling(4, rng=0), np.random.default_rng(0)
    >>> inputs = rng.standard_normal((20, 5, 4), np.float32)
    >>> def is_the_third(results, examples):
    ...     return -float(np.mean([np.abs(y - inputs[i][2]) for y, i in zip(results, examples)]))
    >>> found = tune_guidance(model, inputs, [guide(5, attract=2)] * 20, is_the_third)
    >>> found.strengths, found.confirmed
    (array([8.]), True)
    """
    layers = chosen_layers(model, "where", where, without=("linear",))
    chosen_heads(layers, heads)
    given = GuidedExamples(model, inputs, guidance, metric, call)
    tried = sorted({0.0, *(finite("strengths", one) for one in strengths)}, key=abs)
    share, rounds = below_one("held_out", held_out), size("max_rounds", max_rounds)
    draw = generator(rng)
    order = draw.permutation(given.count)
    checked = round(share * given.count)
    if min(checked, given.count - checked) < 2:
        raise ValueError(
            "inputs must have two examples or more to be searched and to be held out: got "
            f"{given.count - checked} and {checked} with held_out={named(held_out)}"
        )
    aside, seen = np.sort(order[:checked]), np.sort(order[checked:])
    scores: dict[tuple[float, ...], float] = {}

    def score(point: tuple[float, ...]) -> float:
        if point not in scores:
            scores[point] = given.score(given.results(point, seen, where, heads), seen)
        return scores[point]

    zero = (0.0,) * len(given.parts[0])
    best = _ascent(score, zero, tried, rounds)
    results = [given.results(point, aside, where, heads) for point in (zero, best)]
    before, after = (given.score(each, aside) for each in results)
    confidence = _confidence(given, results, aside, draw) if best != zero else 0.0
    confirmed = after > before and confidence >= 0.95
    found = np.array(best)
    return TunedGuidance(
        found if confirmed else np.zeros_like(found), confirmed, found,
        (score(zero), score(best)), (before, after), confidence, len(scores),
    )  # fmt: skip


def _ascent(
    score: Callable[[tuple[float, ...]], float], start: tuple[float, ...], tried: list[float],
    rounds: int,
) -> tuple[float, ...]:  # fmt: skip
    """One coordinate after the other; `tried` begins with the strengths nearest to 0."""
    best = start
    for _ in range(rounds):
        before = best
        for part in range(len(start)):
            points = [(*best[:part], strength, *best[part + 1 :]) for strength in tried]
            best = max(points, key=score)  # the first of equal ones
        if best == before or len(start) == 1:
            break
    return best


def _confidence(
    given: GuidedExamples, results: list[list[Any]], examples: NDArray[np.int64],
    draw: np.random.Generator,
) -> float:  # fmt: skip
    """The share of resamples of the examples in which the metric rises."""
    rises = 0
    for _ in range(_RESAMPLES):
        chosen = draw.integers(0, len(examples), len(examples))
        before, after = (
            given.score([each[index] for index in chosen], examples[chosen]) for each in results
        )
        rises += after > before
    return rises / _RESAMPLES
