"""FeatureImportance: how much a model's output or score depends on each feature of its input."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np

from heedful._checks import named
from heedful.base._types import Array
from heedful.layers._trainable_layer import Layer
from heedful.layers.attention._additive import AdditiveAttention
from heedful.layers.attention._multi_head import MultiHeadAttention
from heedful.layers.attention._relative import RelativeAttention
from heedful.layers.blocks._dropout import Dropout


class FeatureImportance(NamedTuple):
    """What :meth:`FeatureAttention.importance` returns; the names are those of scikit-learn.

    Attributes
    ----------
    importances_mean : numpy.ndarray, (F,)
    importances_std : numpy.ndarray, (F,)
        Mean and standard deviation of each row of `importances`.
    importances : numpy.ndarray, (F, n)
        One column for each example (gradient) or for each repetition (permutation).
    """

    importances_mean: Array
    importances_std: Array
    importances: Array

    @classmethod
    def of(cls, importances: Array) -> FeatureImportance:
        return cls(importances.mean(1), importances.std(1), importances)


def gradient_importance(model: Layer, x: Array, batch_size: int) -> FeatureImportance:
    """Mean over the outputs of |x ∘ ∂output/∂x|, a column for each of the N examples."""
    model = without_dropout(model)
    parts = [_gradient_times_input(model, x[i : i + batch_size])
             for i in range(0, len(x), batch_size)]  # fmt: skip
    return FeatureImportance.of(np.concatenate(parts).T)


def _gradient_times_input(model: Layer, x: Array) -> Array:
    """(n, …, F) → (n, F)."""
    sums, outputs, index = np.zeros(x.shape), 1, 0
    while index < outputs:
        y, backward = model.forward(x, rng=0)
        if not isinstance(y, np.ndarray) or len(y) != len(x):
            raise TypeError(f"model must return outputs for each example: got {named(y)}")
        outputs = y[0].size
        dy = np.zeros((len(x), outputs), y.dtype)
        dy[:, index] = 1.0
        dx = backward(dy.reshape(y.shape))
        if not isinstance(dx, np.ndarray) or dx.shape != x.shape:
            raise TypeError(f"model must return a gradient of x: got {named(dx)}")
        sums += np.abs(x.astype(np.float64) * dx)
        index += 1
    importances: Array = sums.reshape(len(x), -1, x.shape[-1]).mean(1) / outputs
    return importances


def without_dropout(model: Layer) -> Layer:
    """A frozen copy that computes in training what the model computes in inference.

    So the gradients of the model's own parameters are unchanged.
    """
    model = deepcopy(model)
    model.freeze()
    for _, layer in model.named_layers():
        if isinstance(layer, Dropout):
            layer.rate = 0.0
        elif isinstance(layer, (AdditiveAttention, MultiHeadAttention, RelativeAttention)):
            layer.dropout = layer.key_dropout = 0.0
            layer.gumbel_temperature = None
        if isinstance(layer, (MultiHeadAttention, RelativeAttention)):
            layer.head_dropout = 0.0
        if getattr(layer, "penalties", None):
            layer.penalties = None
    return model


def permutation_importance(
    score: Callable[[Array], float], x: Array, n_repeats: int, rng: np.random.Generator
) -> FeatureImportance:
    """score(x) − score(x with one feature permuted among the examples), a column per repetition."""
    before, permuted = score(x), x.copy()
    importances = np.empty((x.shape[-1], n_repeats))
    for feature, row in enumerate(importances):
        for repeat in range(n_repeats):
            permuted[..., feature] = x[rng.permutation(len(x)), ..., feature]
            row[repeat] = before - score(permuted)
        permuted[..., feature] = x[..., feature]
    return FeatureImportance.of(importances)


def score_of(model: Layer, y: Any, metric: Any, batch_size: int) -> Callable[[Array], float]:
    """A function of x, higher is better: the metric, or minus the loss or the error."""
    if metric is None:
        return lambda x: -float(model.evaluate(x, y, batch_size=batch_size).loss)
    from heedful.training.metrics._binary import BINARY
    from heedful.training.metrics._metrics import AbsoluteError, SquaredError, as_metric

    if callable(metric) and not isinstance(metric, (type, *BINARY)):
        return lambda x: float(metric(y, model.predict(x, batch_size=batch_size)))
    # the loss determines whether the outputs are logits or probabilities, and the kind of target
    loss = getattr(vars(model).get("_trainer"), "loss", None)
    _, measured = as_metric("metric", metric, loss)
    sign = -1.0 if isinstance(measured, (AbsoluteError, SquaredError)) else 1.0

    def score(x: Array) -> float:
        return sign * measured(y, model.predict(x, batch_size=batch_size), None).value()

    return score
