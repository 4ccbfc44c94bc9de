"""Metrics of predictions in addition to the loss, and their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from keyword import iskeyword
from typing import Any, TypeAlias

import numpy as np

from heedful._checks import named
from heedful.base._types import Array
from heedful.training.losses._binary_cross_entropy import BinaryCrossEntropy
from heedful.training.losses._categorical_cross_entropy import (
    CategoricalCrossEntropy,
    SparseCategoricalCrossEntropy,
)
from heedful.training.losses._sample_weights import SampleWeights
from heedful.training.metrics._binary import AUC, BINARY, F1, Precision, Recall
from heedful.training.metrics._sums import Mean, Sum

# from target, prediction and sample weights to a sum over batches; classes rather than closures,
# which cannot be pickled
Metric: TypeAlias = Callable[[Any, Array, Any], Sum]


class BinaryAccuracy:
    def __init__(self, threshold: float) -> None:
        self.threshold = threshold

    def __call__(self, target: Any, prediction: Array, weight: Any) -> Mean:
        target = np.asarray(target).reshape(prediction.shape)
        return _mean((prediction > self.threshold) == (target > 0.5), weight)


class SparseAccuracy:
    def __init__(self, ignored: int | None) -> None:
        self.ignored = ignored

    def __call__(self, target: Any, prediction: Array, weight: Any) -> Mean:
        target = np.asarray(target).reshape(prediction.shape[:-1])
        counted = None if self.ignored is None else target != self.ignored
        return _mean(prediction.argmax(-1) == target, weight, counted)


class CategoricalAccuracy:
    def __call__(self, target: Any, prediction: Array, weight: Any) -> Mean:
        return _mean(prediction.argmax(-1) == np.asarray(target).argmax(-1), weight)


class SquaredError:
    @np.errstate(all="ignore")
    def __call__(self, target: Any, prediction: Array, weight: Any) -> Mean:
        difference = prediction - np.asarray(target).reshape(prediction.shape)
        return _mean(np.square(difference, dtype=np.float64), weight)


class AbsoluteError:
    @np.errstate(all="ignore")
    def __call__(self, target: Any, prediction: Array, weight: Any) -> Mean:
        return _mean(np.abs(prediction - np.asarray(target).reshape(prediction.shape)), weight)


class OfFunction:
    """A user's function returns a mean; batches are weighted by their size."""

    def __init__(self, function: Callable[[Any, Array], Any], name: str) -> None:
        self.function, self.name = function, name

    def __call__(self, target: Any, prediction: Array, weight: Any) -> Mean:
        found, count = self.function(target, prediction), len(target)
        try:
            return Mean(float(found) * count, count)
        except (TypeError, ValueError):
            raise TypeError(
                f"the metric {self.name} must return a number: got {named(found)}"
            ) from None


def _mean(values: Array, weight: Any, counted: Array | None = None) -> Mean:
    """Sum and count of the values that count: all weights other than 0 count equally."""
    there = SampleWeights(weight, values.shape, counted).counted
    if there is not None:
        values = values[there]
    return Mean(float(values.sum(dtype=np.float64)), float(values.size))


def as_metrics(given: Any, loss: Any) -> list[tuple[str, Metric]]:
    """Metrics with their names in the history, which are distinct."""
    if given is None:
        given = ()
    if isinstance(given, str) or callable(given):
        given = [given]
    if not isinstance(given, Iterable):
        raise _unknown("metrics", given)
    items: Sequence[Any] = list(given)
    found: list[tuple[str, Metric]] = []
    for item in items:
        name, metric = as_metric("metrics", item, loss)
        taken, count, first = {name for name, _ in found}, 1, name
        while name in taken:
            count += 1
            name = f"{first}_{count}"
        found.append((name, metric))
    return found


def as_metric(argument: str, given: Any, loss: Any) -> tuple[str, Metric]:
    """Its name, and the metric that the name denotes with this loss."""
    if isinstance(given, type):
        hint = f": write {given.__name__}()" if given in BINARY else ""
        raise TypeError(f"{argument} must be functions, not classes: got {given.__name__}{hint}")
    if isinstance(given, BINARY):
        return given.name, given.of(loss)
    if callable(given):
        name = _identifier(getattr(given, "__name__", type(given).__name__))
        return name, OfFunction(given, name)
    name = given.lower() if isinstance(given, str) else ""
    if name in ("accuracy", "acc"):
        return "accuracy", _accuracy(loss)
    if name in ("mae", "mean_absolute_error"):
        return "mae", AbsoluteError()
    if name in ("mse", "mean_squared_error"):
        return "mse", SquaredError()
    for kind in BINARY:
        if name == kind.name:
            return name, _by_name(kind, loss)
    raise _unknown(argument, given)


def _unknown(argument: str, given: Any) -> Exception:
    kind = ValueError if isinstance(given, str) else TypeError
    return kind(
        f"{argument} must be 'accuracy', 'auc', 'precision', 'recall', 'f1', 'mae', 'mse' or "
        f"functions: got {named(given)}"
    )


def _by_name(kind: type[AUC | Precision | Recall | F1], loss: Any) -> Metric:
    metric = kind().of(loss)
    if kind is not AUC and not isinstance(loss, BinaryCrossEntropy):
        raise ValueError(
            f"{kind.name!r} needs binary_crossentropy as the loss, for its threshold; with "
            f"another one, write {kind.__name__}(threshold=…)"
        )
    return metric


def _accuracy(loss: Any) -> Metric:
    if isinstance(loss, BinaryCrossEntropy):
        return BinaryAccuracy(0.0 if loss.from_logits else 0.5)
    if isinstance(loss, SparseCategoricalCrossEntropy):
        return SparseAccuracy(loss.ignore_index)
    if isinstance(loss, CategoricalCrossEntropy):
        return CategoricalAccuracy()
    raise ValueError("'accuracy' needs one of the cross-entropies as the loss")


def _identifier(name: str) -> str:
    """A name for a column and for a field of what evaluate returns."""
    if name == "<lambda>":
        return "metric"
    found = re.sub(r"\W+", "_", name).strip("_") or "metric"
    if found == "loss" or found.startswith("val_"):
        raise ValueError(
            f"a metric must not be called {found!r}, which is reserved in history: rename it"
        )
    if found[0].isdigit():
        found = f"metric_{found}"
    return f"{found}_" if iskeyword(found) else found
