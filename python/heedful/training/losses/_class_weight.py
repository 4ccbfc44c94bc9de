"""ClassWeight: the weight of each class in the training loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from heedful._checks import finite, is_integer, named
from heedful.base._types import Array
from heedful.training.losses._binary_cross_entropy import BinaryCrossEntropy
from heedful.training.losses._categorical_cross_entropy import SparseCategoricalCrossEntropy
from heedful.training.losses._sample_weights import Masked, checked_weights


class ClassWeight:
    """{label: weight}; 1 for other labels. None or an empty dict has no effect."""

    def __init__(self, given: Any, loss: Any) -> None:
        self.by_label: dict[int, float] = {}
        if given is None:
            return
        if not isinstance(given, Mapping):
            raise TypeError(f"class_weight must be a dict, {{label: weight}}: got {named(given)}")
        if not isinstance(loss, (BinaryCrossEntropy, SparseCategoricalCrossEntropy)):
            raise ValueError(
                "class_weight needs targets that are labels: the loss binary_crossentropy or "
                "sparse_categorical_crossentropy"
            )
        for label, weight in given.items():
            if not is_integer(label):
                raise TypeError(f"class_weight must have integers as labels: got {named(label)}")
            number = finite("class_weight", weight)
            if number < 0:
                raise ValueError(f"class_weight must not be negative: got {weight} for {label}")
            self.by_label[int(label)] = number
        self.binary = isinstance(loss, BinaryCrossEntropy)

    def check(self, prediction: Any) -> None:
        """Check the labels as soon as the number of classes is known."""
        for label in self.by_label:
            classes = 2 if self.binary else np.shape(prediction)[-1]
            if not 0 <= label < classes:
                raise ValueError(f"class_weight must have labels in [0, {classes}): got {label}")

    def apply(self, weight: Any, target: Array) -> Any:
        """Sample weights of a batch, times the weights of the targets' classes."""
        if not self.by_label:
            return weight
        factors = np.ones(target.shape)
        for label, number in self.by_label.items():
            factors[target == label] = number
        if weight is None:
            return factors
        given = checked_weights(weight)
        if given.dtype == np.bool_:
            return Masked(given, factors)
        if given.ndim > factors.ndim and given.shape[-1] == 1:
            given = given[..., 0]
        if given.shape != factors.shape[: given.ndim]:
            raise ValueError(
                f"sample_weight must have the first axes of {factors.shape}: "
                f"got shape {given.shape}"
            )
        return factors * given.reshape(given.shape + (1,) * (factors.ndim - given.ndim))
