"""FeatureAttentionClassifier and FeatureAttentionRegressor: which features decide."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful._checks import not_negative, size
from heedful.base._types import Array
from heedful.integrations.sklearn._trained import Trained
from heedful.integrations.sklearn._trained_classifier import TrainedClassifier
from heedful.integrations.sklearn._trained_regressor import TrainedRegressor
from heedful.layers import FeatureAttention, Layer, Linear, ReLU, Sequential

_MAX_EXAMPLES = 1000  # that importances are the mean of


class FeatureAttentionModel(Trained):
    def __init__(
        self,
        hidden_units: int = 64,
        *,
        alpha: float = 0.01,
        score_alpha: float = 0.1,
        max_iter: int = 100,
        batch_size: int = 64,
        learning_rate: float = 0.005,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        random_state: Any = None,
    ) -> None:
        self.hidden_units = hidden_units
        self.alpha = alpha
        self.score_alpha = score_alpha
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.random_state = random_state

    def _make_model(self, x: Array, outputs: int, rng: np.random.Generator) -> Layer:
        from heedful.training import L2

        alpha, score_alpha = (
            not_negative(name, getattr(self, name)) for name in ("alpha", "score_alpha")
        )
        features, hidden = x.shape[1], size("hidden_units", self.hidden_units)
        attention = FeatureAttention(features, dtype=x.dtype, rng=rng)
        first = Linear(features, hidden, dtype=x.dtype, rng=rng)
        last = Linear(hidden, outputs, dtype=x.dtype, rng=rng)
        for layer, weight in ((attention.scores, score_alpha), (first, alpha), (last, alpha)):
            layer.parameter("weight").regularizer = L2(weight)
        return Sequential(attention, first, ReLU(), last)

    def _finish(self, x: Array, rng: np.random.Generator) -> None:
        chosen = rng.permutation(len(x))[:_MAX_EXAMPLES]
        found = self._attention.importance(self.model_, x[chosen]).importances_mean
        total = found.sum()
        self.feature_importances_: Any | Array = found / total if total > 0 else found

    @property
    def _attention(self) -> FeatureAttention:
        layer: FeatureAttention = self.model_.inner[0]
        return layer

    def attention_weights(self, X: Any) -> Array:
        """How much each feature of each example is let through.

        Parameters
        ----------
        X : array_like, (n, n_features)

        Returns
        -------
        weights : numpy.ndarray, (n, n_features)
            Each row sums to 1; equal weights change nothing.
        """
        x = self._scaled(self._read(X))
        weights: Array = self._attention(x, return_weights=True)[1]
        return weights


class FeatureAttentionClassifier(FeatureAttentionModel, TrainedClassifier):
    """A small network whose features are first weighed, for each example anew.

    ::

        a = softmax(W x + b)                      over the n_features features of x, standardised
        y = dense(relu(dense(n_features · a ∘ x)))

    It tells what a forest tells, `feature_importances_`, and for each example where it looked,
    `attention_weights`.

    Parameters
    ----------
    hidden_units : int, default 64
        Width of the hidden layer.
    alpha : float, default 0.01
        Weight of the squared weights of both dense layers in the loss.
    score_alpha : float, default 0.1
        The same of W. It makes trainings from different seeds agree on the weights.
    max_iter : int, default 100
        Number of passes over the training examples.
    batch_size : int, default 64
    learning_rate : float, default 0.005
        Of Adam.
    early_stopping : bool, default False
        Set aside a `validation_fraction` of the examples, and stop when the loss on them has not
        improved for `n_iter_no_change` passes; the best model is kept.
    validation_fraction : float, default 0.1
    n_iter_no_change : int, default 10
    random_state : None, int or numpy.random.RandomState
        The start of the weights and the order of the examples.

    Attributes
    ----------
    classes_ : numpy.ndarray, (n_classes,)
    feature_importances_ : numpy.ndarray, (n_features,)
        Mean over training examples (1000 at most) and outputs of abs(x_f · ∂output / ∂x_f), divided
        by the sum. Correlated features share it.
    model_ : heedful.layers.Sequential
        Of standardised features.
    loss_curve_ : list of float
    n_iter_ : int
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Notes
    -----
    Computes in the type of X, float64 or float32; features are standardised inside, with the sample
    weights. Examples of weight 0 are left out.

    :class:`heedful.layers.FeatureAttention` says what the weights mean and what they do not;
    gradient × input: Shrikumar et al. 2017, https://arxiv.org/abs/1704.02685.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.integrations.sklearn import FeatureAttentionClassifier
    >>> x = np.random.default_rng(0).standard_normal((300, 6))
    >>> model = FeatureAttentionClassifier(max_iter=30, random_state=0)
    >>> model.fit(x, x[:, 2] > x[:, 4]).feature_importances_.argsort()[-2:]
    array([4, 2])
    >>> model.attention_weights(x).shape
    (300, 6)
    """


class FeatureAttentionRegressor(FeatureAttentionModel, TrainedRegressor):
    """The same for numbers: see :class:`FeatureAttentionClassifier`.

    Parameters
    ----------
    hidden_units, alpha, score_alpha, max_iter, batch_size, learning_rate
        As in :class:`FeatureAttentionClassifier`.
    early_stopping, validation_fraction, n_iter_no_change, random_state
        Likewise.

    Attributes
    ----------
    feature_importances_, model_, loss_curve_, n_iter_, n_features_in_, feature_names_in_
        Likewise. The model's outputs are standardised targets.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.integrations.sklearn import FeatureAttentionRegressor
    >>> x = np.random.default_rng(0).standard_normal((300, 6))
    >>> model = FeatureAttentionRegressor(max_iter=30, random_state=0).fit(x, 3 * x[:, 1])
    >>> int(model.feature_importances_.argmax())
    1
    """
