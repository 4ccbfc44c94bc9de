"""TrainedClassifier: a trained model whose outputs are the logits of classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin

from heedful.base._types import Array
from heedful.integrations.sklearn._classes import encoded
from heedful.integrations.sklearn._trained import Trained
from heedful.integrations.sklearn._weights import check_weights


class TrainedClassifier(ClassifierMixin, Trained):  # type: ignore[misc]
    classes_: Array

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Trains a new model.

        Parameters
        ----------
        X : array_like
            The examples, see the class.
        y : array_like, (N,)
            Their classes.
        sample_weight : array_like, (N,), optional
            Not negative. An example of weight 2 counts as two.
        """
        x, y = self._read_both(X, y)
        self.classes_, labels = encoded(y)
        weights = check_weights(sample_weight, x)
        self._train(x, labels, weights, len(self.classes_), "sparse_categorical_crossentropy")
        return self

    def predict_proba(self, X: Any) -> Array:
        """Probabilities (n, n_classes), in the order of `classes_`."""
        logits = self._outputs(self._read(X))
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        found: Array = weights / weights.sum(axis=1, keepdims=True)
        return found

    def predict(self, X: Any) -> Array:
        """The classes (n,)."""
        probabilities = self.predict_proba(X)
        found: Array = self.classes_[probabilities.argmax(axis=1)]
        return found
