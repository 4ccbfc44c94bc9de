"""permutation_importance: how much a metric falls when a feature belongs to other examples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from heedful._checks import finite, generator, named, numbers, size
from heedful.base._types import Array, Rng
from heedful.layers import FeatureImportance, Layer
from heedful.layers.attention._feature_importance import score_of
from heedful.training._batches import Table, slices


def permutation_importance(
    model: Any, inputs: Any, y: Any, *, metric: Any = None, n_repeats: int = 5,
    batch_size: int = 256, rng: Rng = 0,
) -> FeatureImportance:  # fmt: skip
    """How much a metric falls if a feature is permuted among the examples.

    ::

        I_f = mean over r of  metric(y, model(x)) − metric(y, model(x_fr))

    with x_fr the examples x in which feature f has the values of other examples.

    Parameters
    ----------
    model : Layer or function
        x → predictions, such as ``classifier.predict_proba`` of scikit-learn.
    inputs : array_like, (N, …)
        Examples, preferably not from the training set. Every element of an example is a feature.
    y : array_like, (N, …)
        Targets.
    metric : str or function, optional
        ``f(target, prediction)``, higher is better, such as those of sklearn.metrics; of a layer
        also "accuracy" or "mae", and None is minus the loss that it is compiled with.
    n_repeats : int, default 5
    batch_size : int, default 256
        Examples computed at a time.
    rng : None, int or numpy.random.Generator, default 0

    Returns
    -------
    FeatureImportance
        (importances_mean (…), importances_std (…), importances (…, n_repeats)) in float64, with the
        names of scikit-learn's ``permutation_importance``.

    Raises
    ------
    ValueError
        Inputs without examples or features; no metric for a function; a metric that is not finite.
    RuntimeError
        The loss of a model that is not compiled.

    Notes
    -----
    Breiman 2001, https://doi.org/10.1023/A:1010933404324. It measures what the metric loses, not
    what one prediction is made of: no example has an importance of its own. Correlated features
    substitute for each other, so that each may seem to matter little.
    Takes 1 + features · n_repeats predictions of all examples. The model does not change.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.explain import permutation_importance
    >>> x = np.random.default_rng(0).standard_normal((200, 3))
    >>> def error(target, prediction):
    ...     return -np.mean((target - prediction) ** 2)
    >>> found = permutation_importance(lambda x: 2 * x[:, 1], x, 2 * x[:, 1], metric=error)
    >>> found.importances_mean.argsort()[::-1][:1]
    array([1])
    """
    x = numbers("inputs", Table(inputs, y).inputs.by_position[0])
    if x.ndim < 2 or not x.size:
        raise ValueError(f"inputs must have shape (N, …) with features: got {x.shape}")
    size("n_repeats", n_repeats)
    score = _score_of(model, y, metric, size("batch_size", batch_size))
    rng = generator(rng)
    before, permuted = score(x), x.copy()
    of_features = permuted.reshape(len(x), -1)  # a view
    importances = np.empty((of_features.shape[1], n_repeats))
    for feature, row in enumerate(importances):
        own = of_features[:, feature].copy()
        for repeat in range(n_repeats):
            of_features[:, feature] = own[rng.permutation(len(x))]
            row[repeat] = before - score(permuted)
        of_features[:, feature] = own
    importances = importances.reshape(*x.shape[1:], n_repeats)
    return FeatureImportance(importances.mean(-1), importances.std(-1), importances)


def _score_of(model: Any, y: Any, metric: Any, batch_size: int) -> Callable[[Array], float]:
    """A function of x that is higher the better the predictions are."""
    if isinstance(model, Layer):
        score = score_of(model, y, metric, batch_size)
        return lambda x: finite("metric", score(x))
    if not callable(model):
        raise TypeError(f"model must be a layer or a function of x: got {named(model)}")
    if not callable(metric):
        raise ValueError(
            "metric must be a function (target, prediction) for a model that is a function: "
            f"got {named(metric)}"
        )

    def of_function(x: Array) -> float:
        found = [np.asarray(model(x[rows])) for rows in slices(len(x), batch_size)]
        return finite("metric", metric(y, np.concatenate(found)))

    return of_function
