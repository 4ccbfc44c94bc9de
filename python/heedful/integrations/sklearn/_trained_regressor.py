"""TrainedRegressor: a trained model whose outputs are the targets, scaled."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import RegressorMixin

from heedful.base._types import Array
from heedful.integrations.sklearn._scaling import Scaling
from heedful.integrations.sklearn._trained import Trained
from heedful.integrations.sklearn._weights import check_weights


class TrainedRegressor(RegressorMixin, Trained):  # type: ignore[misc]
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Trains a new model.

        Parameters
        ----------
        X : array_like
            The examples, see the class.
        y : array_like, (N,) or (N, n_outputs)
        sample_weight : array_like, (N,), optional
            Not negative. An example of weight 2 counts as two.
        """
        x, y = self._read_both(X, y, multi_output=True, y_numeric=True)
        targets = np.asarray(y, x.dtype)
        self._single = targets.ndim == 1
        targets = targets.reshape(len(x), -1)
        weights = check_weights(sample_weight, x)
        self._target_scaling = Scaling.of(targets, weights)
        scaled = self._target_scaling.scaled(targets)
        self._train(x, scaled, weights, targets.shape[1], "mse")
        return self

    def predict(self, X: Any) -> Array:
        """The targets (n,) or (n, n_outputs)."""
        x = self._read(X)
        found = self._target_scaling.restored(self._outputs(x))
        return found[:, 0] if self._single else found

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
