"""What AttentionClassifier and AttentionRegressor share: attention over the training examples."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from heedful._checks import flag, named, not_negative, numbers, size
from heedful.base._types import Array
from heedful.integrations.sklearn._bandwidth import Found, LeaveOneOut
from heedful.integrations.sklearn._distinct_rows import DistinctRows
from heedful.integrations.sklearn._kernel_mean import KernelMean
from heedful.integrations.sklearn._weights import check_weights

FLOATS = (np.float64, np.float32)


class OverExamples(BaseEstimator):  # type: ignore[misc]
    bandwidth_: Any
    leave_one_out_error_: float
    n_iter_: int

    def __init__(
        self,
        bandwidth: Any = None,
        *,
        per_feature: bool = False,
        alpha: float = 0.1,
        max_iter: int = 50,
        loo_samples: int = 5000,
        random_state: Any = None,
    ) -> None:
        self.bandwidth = bandwidth
        self.per_feature = per_feature
        self.alpha = alpha
        self.max_iter = max_iter
        self.loo_samples = loo_samples
        self.random_state = random_state

    def _fit(self, x: Array, targets: Array, sample_weight: Any) -> None:
        """x (N, F), targets (N, outputs), both of one floating type."""
        weights = check_weights(sample_weight, x)
        per_feature = flag("per_feature", self.per_feature)
        max_iter, count = size("max_iter", self.max_iter), size("loo_samples", self.loo_samples)
        alpha = not_negative("alpha", self.alpha)
        given = None if self.bandwidth is None else self._given(x.shape[1])
        rows = DistinctRows.of(x, targets, weights)
        left_out = LeaveOneOut(rows, count, check_random_state(self.random_state))
        if given is not None:
            found = Found(given, left_out(given), 1)
        else:
            found = left_out.per_feature(max_iter, alpha) if per_feature else left_out.common()
        self._mean = KernelMean(rows)
        self._places, self._shares = rows.places, rows.shares
        self.bandwidth_, self.leave_one_out_error_, self.n_iter_ = found

    def _given(self, features: int) -> Any:
        bandwidth = numbers("bandwidth", self.bandwidth).astype(np.float64)
        if bandwidth.shape not in ((), (features,)):
            raise ValueError(
                f"bandwidth must be a number or have shape ({features},), one for each feature: "
                f"got shape {bandwidth.shape}"
            )
        if not (np.isfinite(bandwidth) & (bandwidth > 0)).all():
            raise ValueError(f"bandwidth must be positive and finite: got {named(self.bandwidth)}")
        return bandwidth if bandwidth.ndim else float(bandwidth)

    def _checked(self, x: Any) -> Array:
        check_is_fitted(self)
        found: Array = validate_data(self, x, dtype=FLOATS, reset=False)
        return found

    def _predicted(self, x: Any) -> Array:
        """(n, outputs)"""
        x = self._checked(x)
        return self._mean.predict(x, self.bandwidth_)

    def attention_weights(self, X: Any) -> Array:
        """How much each training example counts in each prediction.

        Parameters
        ----------
        X : array_like, (n, n_features)

        Returns
        -------
        weights : numpy.ndarray, (n, N)
            In the order of the N examples that `fit` was given; each row sums to 1. This is the one
            result that is n × N large.
        """
        x = self._checked(X)
        weights = self._mean.weights(x, self.bandwidth_)
        found: Array = weights[:, self._places] * self._shares.astype(weights.dtype)
        return found
