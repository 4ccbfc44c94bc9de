"""AttentionRegressor: kernel regression, which is attention to the training examples."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.validation import validate_data

from heedful.base._types import Array
from heedful.integrations.sklearn._over_examples import FLOATS, OverExamples


class AttentionRegressor(RegressorMixin, OverExamples):  # type: ignore[misc]
    """The mean of the training targets, weighted by a Gaussian kernel of the distance.

    ::

        weight[i, j] = softmax over j of  log w_j − Σ_f (x_if − X_jf)² / 2 h_f²
        y[i]         = Σ_j weight[i, j] · y_j

    for training examples X_j with sample weights w_j (Nadaraya and Watson, 1964). Its prediction
    never leaves the range of the training targets, and far from all examples it is that of the
    nearest ones. Scale the features first, as for nearest neighbours.

    Parameters
    ----------
    bandwidth : float or array_like, (n_features,), optional
        h, for all features or for each. None chooses the one of the smallest leave-one-out error:
        each example predicted by all others.
    per_feature : bool, default False
        Where the bandwidth is chosen: one for each feature, by the gradient of the leave-one-out
        error. A large one tells that a feature hardly matters.
    alpha : float, default 0.1
        Holds these together: alpha · mean of log² (h_f / h) is added to the error, h being the best
        common bandwidth. 0 adapts most, and overfits where examples are few.
    max_iter : int, default 50
        Maximum number of steps of that gradient descent (L-BFGS).
    loo_samples : int, default 5000
        How many examples are left out, one after another, to measure the error: of more, so many
        are drawn. All of them are always attended to.
    random_state : None, int or numpy.random.RandomState
        Draws these.

    Attributes
    ----------
    bandwidth_ : float or numpy.ndarray, (n_features,)
    leave_one_out_error_ : float
        1 − R² of the examples that were left out, the mean over the outputs.
    n_iter_ : int
        Passes over the pairs of examples, or steps of the gradient descent.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Notes
    -----
    Examples of equal features count as one, with the sum of their weights and the mean of their
    targets; leaving one out leaves out all of them. So a weight of 2 is the same as the example
    twice, and the order of the examples does not matter.

    A prediction costs n · N products of length n_features for N training examples, in memory linear
    in both: no matrix of distances is stored. float32 stays float32, at twice the speed. The choice
    of the bandwidth takes 10 to 25 passes over min(N, loo_samples) · N pairs, one for each feature
    about `max_iter` times 4 more.

    Nadaraya 1964, https://doi.org/10.1137/1109020; leave-one-out: Stone 1974,
    https://doi.org/10.1111/j.2517-6161.1974.tb00994.x. A bandwidth for each feature: Weinberger and
    Tesauro 2007, https://proceedings.mlr.press/v2/weinberger07a.html.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.integrations.sklearn import AttentionRegressor
    >>> x = np.linspace(0, 6, 50)[:, None]
    >>> model = AttentionRegressor().fit(x, np.sin(x).ravel())
    >>> model.predict([[1.0], [2.0]]).round(1)
    array([0.8, 0.9])
    >>> model.score(x, np.sin(x).ravel()) > 0.999
    True
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> AttentionRegressor:
        """Keeps the examples, and chooses the bandwidth if none is given.

        Parameters
        ----------
        X : array_like, (N, n_features)
        y : array_like, (N,) or (N, n_outputs)
        sample_weight : array_like, (N,), optional
            Not negative.
        """
        X, y = validate_data(self, X, y, dtype=FLOATS, multi_output=True, y_numeric=True)
        targets = np.asarray(y, X.dtype)
        self._single = targets.ndim == 1
        self._fit(X, targets.reshape(len(X), -1), sample_weight)
        return self

    def predict(self, X: Any) -> Array:
        """X (n, n_features) → (n,) or (n, n_outputs)"""
        found = self._predicted(X)
        return found[:, 0] if self._single else found

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
