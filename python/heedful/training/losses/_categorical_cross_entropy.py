"""Cross-entropies of classes, given as integers or as class probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful._checks import as_array, flag, int64_array, is_integer, named, probability
from heedful._core import native
from heedful.base._shown import Shown
from heedful.base._types import Array
from heedful.training.losses._prediction import as_rows, floating, log_probabilities
from heedful.training.losses._sample_weights import SampleWeights
from heedful.training.losses._targets import (
    check_class_probabilities,
    check_classes,
    class_targets,
    real_targets,
)


class SparseCategoricalCrossEntropy(Shown):
    """mean of −log p[target], with p = softmax(prediction).

    Parameters
    ----------
    from_logits : bool, default True
        False: predictions are probabilities, and p = prediction, as of a model that ends in a
        softmax. p is clipped to at least 1e-30 before the logarithm.
    label_smoothing : float, default 0
        s: the target becomes 1 − s + s/C, every other class s/C, of C classes.
    ignore_index : int, optional
        A target that is ignored, such as padding.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.training import SparseCategoricalCrossEntropy
    >>> loss, gradient = SparseCategoricalCrossEntropy()([1], np.array([[0.0, 0.0]]))
    >>> round(loss, 4), gradient
    (0.6931, array([[ 0.5, -0.5]]))
    """

    def __init__(
        self, from_logits: bool = True, label_smoothing: float = 0.0,
        ignore_index: int | None = None,
    ) -> None:  # fmt: skip
        self.from_logits: bool = flag("from_logits", from_logits)
        self.label_smoothing: float = probability("label_smoothing", label_smoothing)
        if ignore_index is not None and not is_integer(ignore_index):
            raise TypeError(f"ignore_index must be an integer or None: got {named(ignore_index)}")
        if ignore_index is not None:
            int64_array("ignore_index", ignore_index)
        self.ignore_index = ignore_index

    def count(self, target: Any, sample_weight: Any = None) -> int:
        """Number of targets that the mean is taken over."""
        labels = as_array("target", target)
        return self._weights(labels, sample_weight).count

    @np.errstate(all="ignore")
    def __call__(
        self, target: Any, prediction: Array, sample_weight: Any = None
    ) -> tuple[float, Array]:
        """target (…) of integers, prediction (…, C).

        sample_weight, of the shape of target or of its first axes, as of
        :class:`BinaryCrossEntropy`.
        """
        prediction = floating(prediction)
        labels, weights = self.checked(target, prediction.shape, sample_weight)
        # a label of no class, if none is ignored
        ignored = -1 if self.ignore_index is None else int(self.ignore_index)
        if weights.counted is not None:
            labels = np.where(weights.counted, labels, ignored)
        rows, flat = as_rows(prediction), np.require(labels.reshape(-1), None, ["C", "ALIGNED"])
        count = max(weights.count, 1)
        losses, gradient = self._of_rows(flat, rows, ignored, count)
        if weights.factors is not None:
            factors = weights.factors.reshape(-1).astype(rows.dtype)
            losses, gradient = losses * factors, gradient * factors[:, None]
        loss = float(losses.sum(dtype=np.float64) / count)
        return loss, gradient.reshape(prediction.shape)

    def checked(
        self, target: Any, shape: tuple[int, ...], sample_weight: Any = None, where: str = "target"
    ) -> tuple[Array, SampleWeights]:
        found = class_targets(target, shape)
        weights = self._weights(found.given, sample_weight)
        check_classes(found, shape[-1], weights, where)
        return found.labels, weights

    def _weights(self, labels: Array, sample_weight: Any) -> SampleWeights:
        counted = None if self.ignore_index is None else labels != self.ignore_index
        return SampleWeights(sample_weight, labels.shape, counted)

    def _of_rows(self, flat: Array, rows: Array, ignored: int, count: int) -> tuple[Array, Array]:
        smooth = self.label_smoothing
        if self.from_logits:
            losses, gradient = np.empty(len(rows), rows.dtype), np.empty_like(rows)
            native.cross_entropy(rows, flat, ignored, smooth, 1 / count, losses, gradient)
            return losses, gradient
        counted, classes = flat != ignored, rows.shape[-1]
        wanted = np.full(rows.shape, smooth / classes, rows.dtype)
        places = np.where(counted, flat, 0)[:, None]
        np.put_along_axis(wanted, places, 1 - smooth + smooth / classes, 1)
        wanted[~counted] = 0
        log_p, probabilities = log_probabilities(rows, False)
        losses = -np.where(counted[:, None], wanted * log_p, 0).sum(-1)
        return losses, -wanted / probabilities * rows.dtype.type(1 / count)


class CategoricalCrossEntropy(Shown):
    """mean of −Σ target log p, with p = softmax(prediction) and targets that sum to 1.

    Parameters
    ----------
    from_logits, label_smoothing
        As of :class:`SparseCategoricalCrossEntropy`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.training import CategoricalCrossEntropy
    >>> loss, gradient = CategoricalCrossEntropy()([[0.0, 1.0]], np.array([[0.0, 0.0]]))
    >>> round(loss, 4), gradient
    (0.6931, array([[ 0.5, -0.5]]))
    """

    def __init__(self, from_logits: bool = True, label_smoothing: float = 0.0) -> None:
        self.from_logits: bool = flag("from_logits", from_logits)
        self.label_smoothing: float = probability("label_smoothing", label_smoothing)

    @np.errstate(all="ignore")
    def __call__(
        self, target: Any, prediction: Array, sample_weight: Any = None
    ) -> tuple[float, Array]:
        """target and prediction (…, C); sample_weight (…) or of the first axes, as of
        :class:`BinaryCrossEntropy`."""
        prediction = floating(prediction)
        target, weights = self.checked(target, prediction.shape, sample_weight)
        smooth = prediction.dtype.type(self.label_smoothing)
        wanted = weights.only(target).astype(prediction.dtype)
        wanted = wanted * (1 - smooth) + smooth / prediction.shape[-1]
        count = max(weights.count, 1)
        log_p, probabilities = log_probabilities(prediction, self.from_logits)
        loss = float(-weights.apply(wanted * log_p).sum(dtype=np.float64) / count)
        if self.from_logits:
            gradient = probabilities * wanted.sum(-1, keepdims=True) - wanted
        else:
            gradient = -wanted / probabilities
        return loss, weights.apply(gradient) * prediction.dtype.type(1 / count)

    def count(self, target: Any, sample_weight: Any = None) -> int:
        """Number of targets that the mean is taken over."""
        return SampleWeights(sample_weight, np.shape(target)[:-1]).count

    def checked(
        self, target: Any, shape: tuple[int, ...], sample_weight: Any = None, where: str = "target"
    ) -> tuple[Array, SampleWeights]:
        whole = np.ndim(target) and np.shape(target) in (shape[:-1], (*shape[:-1], 1))
        hint = "; classes as integers need the loss sparse_categorical_crossentropy"
        target = real_targets(target, shape, hint if whole else "")
        weights = SampleWeights(sample_weight, shape[:-1])
        check_class_probabilities(target, weights, where)
        return target, weights
