"""AttentionClassifier: each training example votes by its attention weight."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import validate_data

from heedful.base._types import Array
from heedful.integrations.sklearn._classes import encoded
from heedful.integrations.sklearn._over_examples import FLOATS, OverExamples


class AttentionClassifier(ClassifierMixin, OverExamples):  # type: ignore[misc]
    """Probabilities of classes as means over the training examples, weighted by their distance.

    ::

        weight[i, j] = softmax over j of  log w_j − Σ_f (x_if − X_jf)² / 2 h_f²
        p[i, c]      = Σ_j weight[i, j] · (y_j = c)

    as in :class:`AttentionRegressor`, whose bandwidths and notes are the same here.

    Parameters
    ----------
    bandwidth : float or array_like, (n_features,), optional
        h, for all features or for each. None chooses the one of the smallest leave-one-out error,
        that of the probabilities: each example predicted by all others.
    per_feature, alpha, max_iter, loo_samples, random_state
        As in :class:`AttentionRegressor`.

    Attributes
    ----------
    classes_ : numpy.ndarray, (n_classes,)
    bandwidth_ : float or numpy.ndarray, (n_features,)
    leave_one_out_error_ : float
        The squared error of the probabilities (Brier's score) of the examples that were left out,
        as a share of that of the classes' frequencies; the mean over the classes.
    n_iter_ : int
        Passes over the pairs of examples, or steps of the gradient descent.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Notes
    -----
    With per_feature this is a learned metric, as neighbourhood components analysis learns one
    (Goldberger et al. 2004, https://papers.nips.cc/paper/2566-neighbourhood-components-analysis),
    with a diagonal matrix and the squared error.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from heedful.integrations.sklearn import AttentionClassifier
    >>> x, y = load_iris(return_X_y=True)
    >>> model = AttentionClassifier().fit(x[::2], y[::2])
    >>> model.score(x[1::2], y[1::2]) > 0.9
    True
    >>> model.attention_weights(x[1:2]).shape
    (1, 75)
    """

    classes_: Array

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> AttentionClassifier:
        """Keeps the examples, and chooses the bandwidth if none is given.

        Parameters
        ----------
        X : array_like, (N, n_features)
        y : array_like, (N,)
        sample_weight : array_like, (N,), optional
            Not negative.
        """
        X, y = validate_data(self, X, y, dtype=FLOATS)
        self.classes_, labels = encoded(y)
        self._fit(X, np.eye(len(self.classes_), dtype=X.dtype)[labels], sample_weight)
        return self

    def predict_proba(self, X: Any) -> Array:
        """X (n, n_features) → (n, n_classes), in the order of `classes_`"""
        return self._predicted(X)

    def predict(self, X: Any) -> Array:
        """X (n, n_features) → (n,)"""
        probabilities = self._predicted(X)
        found: Array = self.classes_[probabilities.argmax(axis=1)]
        return found
