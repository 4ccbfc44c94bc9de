"""integrated_gradients: relevance of each feature, whose sum is the difference of two scores."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful._checks import flag, size
from heedful.explain._differentiable import Differentiable, Gradient
from heedful.explain._scored_model import ScoredModel


def integrated_gradients(
    model: Any, inputs: Any, *, target: Any = None, baseline: Any = None, steps: int = 50,
    gradient: Gradient | None = None, return_convergence_delta: bool = False,
    batch_size: int = 256,
) -> Any:  # fmt: skip
    """Gradients averaged on the way from a baseline to the input, times their difference.

    ::

        r = (x − b) ∘ ∫ ∂score(b + α (x − b))/∂x dα     over 0 ≤ α ≤ 1
        Σ r = score(x) − score(b)                       completeness

    Completeness holds up to the error of the integral.

    Parameters
    ----------
    model, inputs, target, baseline, gradient, batch_size
        See :func:`gradient_times_input`.
    steps : int, default 50
        Points of the integral (Gauss and Legendre), each a pass forward and backward.
    return_convergence_delta : bool, default False
        Also return the error of completeness of each example, Σ r − (score(x) − score(b)). If it
        is not small beside the scores, more steps are needed.

    Returns
    -------
    numpy.ndarray, of the shape of the first input
        In float64, for tokens summed over their vectors. With `return_convergence_delta` a tuple of
        it and the error, (N,).

    Raises
    ------
    ValueError
        Inputs, target, baseline or steps of another shape or range; scores that are not finite.
    TypeError
        A function without gradient; a model that returns no gradient of its input.

    Notes
    -----
    Sundararajan, Taly and Yan 2017, https://arxiv.org/abs/1703.01365. What is explained is the
    difference to the baseline: with another baseline the relevance is another one.
    Neither the model nor its gradients change; dropout is inactive. Needs memory for a second copy
    of a layer. Any number of threads may call.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.explain import integrated_gradients
    >>> from heedful.layers import Linear, Sequential
    >>> model = Sequential(Linear(3, 8, activation="tanh", rng=0), Linear(8, 1, rng=1))
    >>> x = np.array([[1.0, -2.0, 3.0]])
    >>> relevance = integrated_gradients(model, x)
    >>> bool(np.isclose(relevance.sum(), model(x)[0, 0] - model(0 * x)[0, 0], atol=1e-5))
    True
    """
    flag("return_convergence_delta", return_convergence_delta)
    points, weights = np.polynomial.legendre.leggauss(size("steps", steps))
    scored = ScoredModel(model, inputs, target, batch_size)
    differentiable = Differentiable(scored, gradient)
    relevances, deltas = [], []
    for rows in scored.rows:
        x, base = differentiable.ends(rows, baseline)
        mean = np.zeros_like(x)
        for point, weight in zip((points + 1) / 2, weights / 2, strict=True):
            mean += weight * differentiable.at(base + point * (x - base), rows)[1]
        relevance = differentiable.reduced((x - base) * mean)
        relevances.append(relevance)
        if return_convergence_delta:
            rise = scored.scores[rows] - differentiable.at(base, rows)[0]
            deltas.append(relevance.reshape(len(x), -1).sum(1) - rise)
    found = np.concatenate(relevances)
    return (found, np.concatenate(deltas)) if return_convergence_delta else found
