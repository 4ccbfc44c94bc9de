"""Binary cross-entropy."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful._checks import flag, probability
from heedful.base._shown import Shown
from heedful.base._types import Array
from heedful.training.losses._prediction import FLOOR, check_probabilities, floating, sigmoid
from heedful.training.losses._sample_weights import SampleWeights
from heedful.training.losses._targets import check_probability_targets, real_targets


class BinaryCrossEntropy(Shown):
    """mean of −t log p − (1 − t) log(1 − p), with p = σ(prediction).

    Parameters
    ----------
    from_logits : bool, default True
        False: predictions are probabilities, and p = prediction, as of a model that ends in a
        sigmoid. p is clipped to at least 1e-30, and 1 − p to at least half an ulp of 1, before the
        logarithm.
    label_smoothing : float, default 0
        s: a target t becomes t (1 − s) + s / 2.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.training import BinaryCrossEntropy
    >>> loss, gradient = BinaryCrossEntropy()([1, 0], np.array([0.0, 0.0]))
    >>> round(loss, 4), gradient
    (0.6931, array([-0.25,  0.25]))
    """

    def __init__(self, from_logits: bool = True, label_smoothing: float = 0.0) -> None:
        self.from_logits: bool = flag("from_logits", from_logits)
        self.label_smoothing: float = probability("label_smoothing", label_smoothing)

    @np.errstate(all="ignore")
    def __call__(
        self, target: Any, prediction: Array, sample_weight: Any = None
    ) -> tuple[float, Array]:
        """target, in [0, 1], has the shape of prediction; a last axis of 1 may be left out.

        sample_weight has the first axes of target or all: a boolean one is a mask, such as False
        for padding, and the mean is over its True elements. Numbers multiply the losses, and the
        mean is over all of them, as in Keras.
        """
        prediction = floating(prediction)
        t, weights = self.checked(target, prediction.shape, sample_weight)
        t = weights.only(t).astype(np.float64)
        t = t * (1 - self.label_smoothing) + self.label_smoothing / 2
        x = prediction.astype(np.float64)
        if self.from_logits:
            losses = np.maximum(x, 0) - x * t + np.log1p(np.exp(-np.abs(x)))
            gradient = sigmoid(x) - t
        else:
            check_probabilities(prediction)
            yes = np.maximum(x, FLOOR)
            kind = prediction.dtype if prediction.dtype.kind == "f" else np.float32
            no = np.maximum(1 - x, np.finfo(kind).epsneg)
            losses = -(t * np.log(yes) + (1 - t) * np.log(no))
            gradient = (1 - t) / no - t / yes
        count = max(weights.count, 1)
        loss = float(weights.apply(losses).sum() / count)
        return loss, (weights.apply(gradient) / count).astype(prediction.dtype)

    def count(self, target: Any, sample_weight: Any = None) -> int:
        """Number of targets that the mean is taken over."""
        return SampleWeights(sample_weight, np.shape(target)).count

    def checked(
        self, target: Any, shape: tuple[int, ...], sample_weight: Any = None, where: str = "target"
    ) -> tuple[Array, SampleWeights]:
        classes = len(shape) > 1 and shape[-1] > 1 and np.shape(target) == shape[:-1]
        hint = "; one label of several classes needs the loss sparse_categorical_crossentropy"
        t = real_targets(target, shape, hint * classes)
        weights = SampleWeights(sample_weight, shape)
        check_probability_targets(t, weights, where)
        return t, weights
