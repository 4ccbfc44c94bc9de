"""Metrics: what one wants to know of predictions beside the loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from heedful._checks import named
from heedful.training._types import Array

# from target and prediction to (sum, count), so that batches can be added up
Metric: TypeAlias = Callable[[Any, Array], tuple[float, float]]


def binary_accuracy(threshold: float) -> Metric:
    def accuracy(target: Any, prediction: Array) -> tuple[float, float]:
        target = np.asarray(target).reshape(prediction.shape)
        hits = (prediction > threshold) == (target > 0.5)
        return float(hits.sum()), hits.size

    return accuracy


def sparse_accuracy(ignored: int | None) -> Metric:
    def accuracy(target: Any, prediction: Array) -> tuple[float, float]:
        target = np.asarray(target).reshape(prediction.shape[:-1])
        hits = prediction.argmax(-1) == target
        counted = np.ones(hits.shape, np.bool_) if ignored is None else target != ignored
        return float((hits & counted).sum()), float(counted.sum())

    return accuracy


def categorical_accuracy(target: Any, prediction: Array) -> tuple[float, float]:
    hits = prediction.argmax(-1) == np.asarray(target).argmax(-1)
    return float(hits.sum()), hits.size


def mean_absolute_error(target: Any, prediction: Array) -> tuple[float, float]:
    difference = np.abs(prediction - np.asarray(target).reshape(prediction.shape))
    return float(difference.sum(dtype=np.float64)), difference.size


def as_metric(given: Any, loss: Any, gives_probabilities: bool) -> tuple[str, Metric]:
    """Its name, and the metric that the name means together with a loss."""
    from heedful.training._losses import (
        BinaryCrossEntropy,
        CategoricalCrossEntropy,
        SparseCategoricalCrossEntropy,
    )

    if callable(given):
        return getattr(given, "__name__", type(given).__name__), _of_function(given)
    if given in ("accuracy", "acc"):
        name = "accuracy"
        if isinstance(loss, BinaryCrossEntropy):
            return name, binary_accuracy(0.0 if loss.from_logits else 0.5)
        if isinstance(loss, SparseCategoricalCrossEntropy):
            return name, sparse_accuracy(loss.ignore_index)
        if isinstance(loss, CategoricalCrossEntropy):
            return name, categorical_accuracy
        raise ValueError("'accuracy' needs one of the cross-entropies as the loss")
    if given in ("mae", "mean_absolute_error"):
        return "mae", mean_absolute_error
    raise ValueError(f"metrics must be 'accuracy', 'mae' or functions: got {named(given)}")


def _of_function(function: Callable[[Any, Array], Any]) -> Metric:
    """A user's function gives a mean; batches count by their size."""

    def metric(target: Any, prediction: Array) -> tuple[float, float]:
        count = len(prediction)
        return float(function(target, prediction)) * count, count

    return metric
