"""Binary metrics: AUC, precision, recall and F1."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from typing import Any, TypeVar

import numpy as np

from heedful._checks import probability
from heedful.base._shown import Shown
from heedful.base._types import Array
from heedful.training.losses._binary_cross_entropy import BinaryCrossEntropy
from heedful.training.losses._categorical_cross_entropy import (
    CategoricalCrossEntropy,
    SparseCategoricalCrossEntropy,
)
from heedful.training.losses._sample_weights import SampleWeights
from heedful.training.metrics._sums import Mean, Ranking

Own = TypeVar("Own", bound="BinaryMetric")


class BinaryMetric(Shown, ABC):
    """One score for each target, which is positive above ½; several outputs are pooled.

    Exact over all batches of an epoch, as if they were one batch.
    """

    name: str

    def of(self: Own, loss: Any) -> Own:
        """The same metric for the predictions of this loss."""
        if isinstance(loss, (CategoricalCrossEntropy, SparseCategoricalCrossEntropy)):
            raise ValueError(
                f"the metric {self.name} is binary: it needs a model with one output and "
                "the loss binary_crossentropy"
            )
        return copy.copy(self)

    def counted(self, target: Any, prediction: Array, weight: Any) -> tuple[Array, Array]:
        """Which targets are positive, and their scores; those with weight 0 are left out."""
        target = np.asarray(target)
        if target.size != prediction.size:
            raise ValueError(
                f"the metric {self.name} needs a score for each target: got targets of shape "
                f"{target.shape} and predictions of shape {prediction.shape}"
            )
        positive = target.reshape(prediction.shape) > 0.5
        there = SampleWeights(weight, prediction.shape).counted
        if there is None:
            return positive.reshape(-1), prediction.reshape(-1)
        return positive[there], prediction[there]


class AUC(BinaryMetric):
    """Area under the ROC curve: the probability that a positive target has the higher score.

    Computed from all scores, not from thresholds: it is exact, and an epoch keeps its scores. NaN
    if all targets are positive or all negative. Within an epoch, the values that callbacks get
    after a batch may leave out up to the last fifth of the scores.

    Examples
    --------
    >>> from heedful.layers import Linear
    >>> from heedful.training import AUC
    >>> model = Linear(1, 1, rng=0)
    >>> model.weight = [[1.0]]
    >>> model.compile("sgd", "binary_crossentropy", [AUC()])
    >>> model.evaluate([[1.0], [2.0], [3.0], [4.0]], [0, 1, 0, 1]).auc
    0.75
    """

    name = "auc"

    def __call__(self, target: Any, prediction: Array, weight: Any) -> Ranking:
        positive, scores = self.counted(target, prediction, weight)
        if scores.dtype not in (np.float32, np.float64):
            scores = scores.astype(np.float64)
        return Ranking(scores[positive], scores[~positive])


class _Thresholded(BinaryMetric):
    def __init__(self, threshold: float) -> None:
        self.threshold: float = probability("threshold", threshold)
        self.cut: float = self.threshold

    def of(self: Own, loss: Any) -> Own:
        found: Any = super().of(loss)
        if isinstance(loss, BinaryCrossEntropy) and loss.from_logits:
            found.cut = _logit(found.threshold)
        bound: Own = found
        return bound

    def __call__(self, target: Any, prediction: Array, weight: Any) -> Mean:
        positive, scores = self.counted(target, prediction, weight)
        found = scores > self.cut
        right = float(np.count_nonzero(positive & found))
        return self.ratio(right, float(found.sum()), float(positive.sum()))

    @abstractmethod
    def ratio(self, right: float, found: float, positive: float) -> Mean:
        """From the counts of true positives, predicted positives and positives."""


class Precision(_Thresholded):
    """The fraction of predicted positives that are positive; 0 if none is predicted.

    Parameters
    ----------
    threshold : float, default 0.5
        A target is predicted positive if its probability is above it. Logits are compared with its
        logit if the loss is binary cross-entropy; with other losses scores are compared with the
        threshold itself.
    """

    name = "precision"

    def __init__(self, threshold: float = 0.5) -> None:
        super().__init__(threshold)

    def ratio(self, right: float, found: float, positive: float) -> Mean:
        return Mean(right, found)


class Recall(_Thresholded):
    """The fraction of positive targets that are predicted positive; 0 if none is positive.

    Parameters
    ----------
    threshold : float, default 0.5
        As of :class:`Precision`.
    """

    name = "recall"

    def __init__(self, threshold: float = 0.5) -> None:
        super().__init__(threshold)

    def ratio(self, right: float, found: float, positive: float) -> Mean:
        return Mean(right, positive)


class F1(_Thresholded):
    """2 · precision · recall / (precision + recall); 0 if none is predicted positive or positive.

    Parameters
    ----------
    threshold : float, default 0.5
        As of :class:`Precision`.
    """

    name = "f1"

    def __init__(self, threshold: float = 0.5) -> None:
        super().__init__(threshold)

    def ratio(self, right: float, found: float, positive: float) -> Mean:
        return Mean(2 * right, found + positive)


BINARY = (AUC, Precision, Recall, F1)


def _logit(p: float) -> float:
    if p in (0, 1):
        return math.inf if p else -math.inf
    return math.log(p) - math.log1p(-p)
