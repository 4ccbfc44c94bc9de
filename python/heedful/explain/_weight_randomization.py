"""weight_randomization: whether relevance changes when the model's weights do."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np

from heedful._checks import generator, named, size
from heedful.base._types import Array, Rng
from heedful.explain._rank_correlation import rank_correlation
from heedful.explain._removal import as_relevance
from heedful.layers import Layer


class WeightRandomization:
    """What :func:`weight_randomization` returns.

    Attributes
    ----------
    correlations : numpy.ndarray, (n_repeats, N)
        Rank correlation of each example's relevance before and after; NaN where one is constant.
    absolute : numpy.ndarray, (n_repeats, N)
        The same of the absolute values of the relevance.
    """

    correlations: Array
    absolute: Array

    def __init__(self, correlations: Array, absolute: Array) -> None:
        self.correlations, self.absolute = correlations, absolute

    def __repr__(self) -> str:
        repeats, examples = self.correlations.shape
        return (
            f"Rank correlation of relevance before and after the weights are shuffled: "
            f"{_mean(self.correlations)}, of absolute values {_mean(self.absolute)} "
            f"({examples} examples, {repeats} repeats)"
        )


def weight_randomization(
    model: Layer, inputs: Any, explain: Callable[[Layer, Any], Any], *, n_repeats: int = 5,
    rng: Rng = 0,
) -> WeightRandomization:  # fmt: skip
    """Rank correlation of relevance with that of the same model after its weights are shuffled.

    A relevance that stays the same describes the inputs, such as the edges of an image, and not
    what the model has learned. Correlations near 0 are right, near 1 wrong.

    Parameters
    ----------
    model : Layer
        It is not changed: copies are.
    inputs : array_like, (N, …)
        Or anything else that `explain` takes.
    explain : function
        ``explain(model, inputs)`` → relevance (N, …), such as :func:`integrated_gradients`. To
        explain the same class before and after, give the target:
        ``lambda model, x: integrated_gradients(model, x, target=labels)``.
    n_repeats : int, default 5
        Number of shuffled copies.
    rng : None, int or numpy.random.Generator, default 0

    Returns
    -------
    WeightRandomization

    Raises
    ------
    TypeError
        A model that is not a layer; `explain` that is no function.
    ValueError
        Relevance that is not finite, or of another shape after than before.

    Notes
    -----
    Adebayo et al. 2018, Sanity Checks for Saliency Maps, https://arxiv.org/abs/1810.03292. The
    elements of each parameter are shuffled within it, in all layers at once, so that every
    distribution stays. Frozen parameters are shuffled too. Needs memory for a second copy.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.explain import gradient_times_input, weight_randomization
    >>> from heedful.layers import Linear
    >>> x = np.random.default_rng(0).standard_normal((20, 30))
    >>> found = weight_randomization(Linear(30, 1, rng=0), x, gradient_times_input)
    >>> bool(abs(found.correlations.mean()) < 0.3)
    True
    >>> found = weight_randomization(Linear(30, 1, rng=0), x, lambda model, x: np.abs(x))
    >>> found.correlations.mean().round(6).tolist()
    1.0
    """
    if not isinstance(model, Layer):
        raise TypeError(f"model must be a layer: got {named(model)}")
    if not callable(explain):
        raise TypeError(
            f"explain must be a function (model, inputs) → relevance: got {named(explain)}"
        )
    rng = generator(rng)
    before = _relevance(explain(model, inputs), None)
    signed, absolute = [], []
    for _ in range(size("n_repeats", n_repeats)):
        copy = deepcopy(model)
        for own in copy.distinct_parameters().values():
            own.value[...] = rng.permutation(own.value.reshape(-1)).reshape(own.value.shape)
        after = _relevance(explain(copy, inputs), before.shape)
        signed.append(rank_correlation(before, after))
        absolute.append(rank_correlation(np.abs(before), np.abs(after)))
    return WeightRandomization(np.array(signed), np.array(absolute))


def _relevance(given: Any, shape: tuple[int, ...] | None) -> Array:
    """(N, …) → (N, F)."""
    relevance = np.asarray(given)
    relevance = as_relevance("the result of explain", relevance, relevance.shape)
    relevance = relevance.reshape(len(relevance), -1)
    if shape is not None and relevance.shape != shape:
        raise ValueError(
            f"explain must return the same shape again, {shape}: got {relevance.shape}"
        )
    return relevance


def _mean(correlations: Array) -> str:
    known = correlations[~np.isnan(correlations)]
    return f"{known.mean():.2f} ± {known.std():.2f}" if known.size else "unknown"
