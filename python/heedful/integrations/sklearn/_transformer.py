"""TransformerClassifier and TransformerRegressor: sequences of numbers in a pipeline."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful._checks import probability, size
from heedful.base._types import Array
from heedful.integrations.sklearn._trained import Trained
from heedful.integrations.sklearn._trained_classifier import TrainedClassifier
from heedful.integrations.sklearn._trained_regressor import TrainedRegressor
from heedful.layers import (
    Encoder,
    GlobalAveragePooling,
    Layer,
    LearnedPositions,
    Linear,
    Sequential,
)


class TransformerModel(Trained):
    def __init__(
        self,
        n_features_per_step: int = 1,
        *,
        num_layers: int = 2,
        d_model: int = 32,
        num_heads: int = 4,
        dff: int = 64,
        dropout: float = 0.0,
        causal: bool = False,
        max_iter: int = 30,
        batch_size: int = 64,
        learning_rate: float = 0.003,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        random_state: Any = None,
    ) -> None:
        self.n_features_per_step = n_features_per_step
        self.num_layers = num_layers
        self.d_model = d_model
        self.num_heads = num_heads
        self.dff = dff
        self.dropout = dropout
        self.causal = causal
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.random_state = random_state

    def _table(self, x: Any, fitting: bool) -> Any:
        """Sequences of three axes as rows."""
        shape = np.shape(x) if isinstance(x, (np.ndarray, list, tuple)) else ()
        width = shape[2] if len(shape) == 3 else None
        if fitting:
            given = size("n_features_per_step", self.n_features_per_step)
            self._width = given if width is None else width
        elif width is not None and width != self._width:
            raise ValueError(
                f"X must have {self._width} features in each step, as in fit: got {width}"
            )
        return x if width is None else np.asarray(x).reshape(shape[0], shape[1] * shape[2])

    def _examples(self, table: Array) -> Array:
        if table.shape[1] % self._width:
            raise ValueError(
                f"n_features_per_step must divide the number of features, {table.shape[1]}: "
                f"got {self._width}"
            )
        return table.reshape(len(table), -1, self._width)

    def _make_model(self, x: Array, outputs: int, rng: np.random.Generator) -> Layer:
        d_model, dtype = size("d_model", self.d_model), x.dtype
        dropout = probability("dropout", self.dropout)
        return Sequential(
            Linear(x.shape[2], d_model, dtype=dtype, rng=rng),
            LearnedPositions(x.shape[1], d_model, dtype=dtype, rng=rng),
            Encoder(
                self.num_layers, d_model, self.num_heads, self.dff, dropout, norm_first=True,
                causal=self.causal, dtype=dtype, rng=rng,
            ),
            GlobalAveragePooling(dtype=dtype),
            Linear(d_model, outputs, dtype=dtype, rng=rng),
        )  # fmt: skip

    def attention_weights(self, X: Any) -> Array:
        """Where each step of each sequence looks, in every layer and head.

        Parameters
        ----------
        X : array_like, (n, n_features) or (n, L, features)

        Returns
        -------
        weights : numpy.ndarray, (n, num_layers, num_heads, L, L)
            The last axis sums to 1.
        """
        x = self._scaled(self._read(X))
        project, positions, encoder = self.model_.inner[:3]
        x = positions(project(x))
        found = []
        for layer in encoder.layers:
            found.append(layer.self_attn(*[layer.norm1(x)] * 3, return_weights=True)[1])
            x = layer(x)
        return np.stack(found, axis=1)


class TransformerClassifier(TransformerModel, TrainedClassifier):
    """A transformer encoder on sequences of L steps, and the mean of its outputs over the steps.

    ::

        y = dense(mean over steps of encoder(linear(x) + learned positions))

    Parameters
    ----------
    n_features_per_step : int, default 1
        A row of X holds a sequence, step after step, each of so many numbers: L = n_features /
        n_features_per_step. X may also have the shape (n, L, features); then it is ignored.
    num_layers, d_model, num_heads, dff, dropout, causal
        As in :class:`heedful.layers.Encoder`, where dropout is called rate.
    max_iter : int, default 30
        Number of passes over the training examples.
    batch_size : int, default 64
    learning_rate : float, default 0.003
        Of Adam.
    early_stopping, validation_fraction, n_iter_no_change, random_state
        As in :class:`FeatureAttentionClassifier`.

    Attributes
    ----------
    classes_ : numpy.ndarray, (n_classes,)
    model_ : heedful.layers.Sequential
        Of sequences (n, L, features), each feature standardised over all steps.
    loss_curve_ : list of float
    n_iter_ : int
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Notes
    -----
    Computes in the type of X, float64 or float32: give float32, which is twice as fast.
    Positions are learned, norms come before each sublayer.

    Vaswani et al. 2017, https://arxiv.org/abs/1706.03762.

    Examples
    --------
    Is the spike, wherever it is, like the first step? (No weighing of steps can tell.)

    >>> import numpy as np
    >>> from heedful.integrations.sklearn import TransformerClassifier
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((600, 12)).astype(np.float32) / 4
    >>> first, spike = rng.choice([-3, 3], (2, 600))
    >>> x[:, 0] += first
    >>> x[np.arange(600), rng.integers(1, 12, 600)] += spike
    >>> y = first == spike
    >>> model = TransformerClassifier(max_iter=15, num_layers=1, random_state=0)
    >>> model.fit(x[:450], y[:450]).score(x[450:], y[450:]) > 0.9
    True
    >>> model.attention_weights(x[:2]).shape
    (2, 1, 4, 12, 12)
    """


class TransformerRegressor(TransformerModel, TrainedRegressor):
    """The same for numbers: see :class:`TransformerClassifier`.

    Parameters
    ----------
    n_features_per_step, num_layers, d_model, num_heads, dff, dropout, causal, max_iter, batch_size
        As in :class:`TransformerClassifier`.
    learning_rate, early_stopping, validation_fraction, n_iter_no_change, random_state
        Likewise.

    Attributes
    ----------
    model_, loss_curve_, n_iter_, n_features_in_, feature_names_in_
        Likewise. The model's outputs are standardised targets.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.integrations.sklearn import TransformerRegressor
    >>> x = np.random.default_rng(0).standard_normal((200, 8, 3)).astype(np.float32)
    >>> model = TransformerRegressor(max_iter=10, num_layers=1, random_state=0)
    >>> model.fit(x, x[:, 0, 1]).predict(x[:5]).shape
    (5,)
    """
