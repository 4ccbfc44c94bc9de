"""gradient_times_input: relevance of each feature, to first order."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful.base._types import Array
from heedful.explain._differentiable import Differentiable, Gradient
from heedful.explain._scored_model import ScoredModel


def gradient_times_input(
    model: Any, inputs: Any, *, target: Any = None, baseline: Any = None,
    gradient: Gradient | None = None, batch_size: int = 256,
) -> Array:  # fmt: skip
    """Gradient × input: how much the score would fall if a feature went away, were it linear.

    ::

        r = (x − b) ∘ ∂score(x)/∂x         tokens:  r_i = Σ_e (x_ie − b_ie) ∂score/∂x_ie

    with the score of the target, the baseline b, and for tokens their vectors x_i.

    Parameters
    ----------
    model : Layer or function
        x → scores (N,) or (N, C).
    inputs : array_like, (N, …), or a tuple of them, or a dict of them
        As of :meth:`heedful.layers.Layer.fit`; the first is explained, the others, such as
        lengths, are passed on. Integers are tokens of a layer that passes them to an
        :class:`heedful.layers.Embedding`.
    target : int or array_like of int, (N,), optional
        Classes. None is that with the highest score. A model with one output has the targets 1, its
        score and the default, and 0, its negative.
    baseline : array_like, optional
        What an absent feature is: a number, or an array that broadcasts to the inputs; tokens for
        tokens. None is 0, and for tokens the vector 0.
    gradient : function, optional
        ``gradient(x, dscores) → dx`` for a model that is a function.
    batch_size : int, default 256
        Examples computed at a time.

    Returns
    -------
    numpy.ndarray, of the shape of the first input
        In float64. The sign says in which direction the feature moves the score.

    Raises
    ------
    ValueError
        Inputs, target or baseline of another shape or range; scores that are not finite.
    TypeError
        A function without gradient; a model that returns no gradient of its input.

    Notes
    -----
    Shrikumar et al. 2017, https://arxiv.org/abs/1704.02685. A feature at which the score saturates
    gets no relevance though it decides; :func:`integrated_gradients` does not have that fault. A
    model that ends in a sigmoid or softmax saturates: explain its logits.
    Neither the model nor its gradients change; dropout is inactive. Needs memory for a second copy
    of a layer. Any number of threads may call.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.explain import gradient_times_input
    >>> from heedful.layers import Linear
    >>> layer = Linear(3, 1, rng=0)
    >>> layer.weight = [[2.0, 0.0, -1.0]]
    >>> gradient_times_input(layer, [[1.0, 5.0, 3.0]])
    array([[ 2.,  0., -3.]])
    """
    scored = ScoredModel(model, inputs, target, batch_size)
    differentiable = Differentiable(scored, gradient)
    parts = []
    for rows in scored.rows:
        x, base = differentiable.ends(rows, baseline)
        parts.append(differentiable.reduced((x - base) * differentiable.at(x, rows)[1]))
    return np.concatenate(parts)
