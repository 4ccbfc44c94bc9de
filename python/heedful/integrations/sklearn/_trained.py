"""Trained: what the estimators with a trained model share."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from heedful._checks import below_one, flag, positive, size
from heedful.base._types import Array
from heedful.integrations.sklearn._scaling import Scaling
from heedful.layers import Layer

FLOATS = (np.float64, np.float32)


class Trained(BaseEstimator):  # type: ignore[misc]
    """Of a subclass: the parameters below and `_make_model`; of sequences, what a table is."""

    max_iter: int
    batch_size: int
    learning_rate: float
    early_stopping: bool
    validation_fraction: float
    n_iter_no_change: int
    random_state: Any

    def _table(self, x: Any, fitting: bool) -> Any:
        """What is given, with two axes."""
        return x

    def _examples(self, table: Array) -> Array:
        """A table, as the model reads it: (N, …, features)."""
        return table

    def _read(self, x: Any) -> Array:
        """Validated, for a prediction."""
        check_is_fitted(self)
        table = validate_data(self, self._table(x, False), dtype=FLOATS, reset=False)
        return self._examples(table)

    def _read_both(self, x: Any, y: Any, **options: Any) -> tuple[Array, Array]:
        """Validated, for fit."""
        table, y = validate_data(self, self._table(x, True), y, dtype=FLOATS, **options)
        return self._examples(table), y

    def _make_model(self, x: Array, outputs: int, rng: np.random.Generator) -> Layer:
        """x (N, …, features) → (N, outputs)"""
        raise NotImplementedError

    def _finish(self, x: Array, rng: np.random.Generator) -> None:
        """What follows the training, with the scaled training examples."""

    def _train(self, x: Array, targets: Array, weights: Array, outputs: int, loss: str) -> None:
        """Targets are labels (N,), or scaled (N, outputs). Sets model_ and n_iter_."""
        from heedful.training import Adam, EarlyStopping

        kept = weights > 0
        x, targets, weights = x[kept], targets[kept], weights[kept]
        self._scaling = Scaling.of(
            x.reshape(-1, x.shape[-1]), np.repeat(weights, x[0].size // x.shape[-1])
        )
        x = self._scaled(x)
        random = check_random_state(self.random_state)
        rng = np.random.default_rng(random.randint(2**31 - 1))
        model = self._make_model(x, outputs, rng)
        model.compile(Adam(lr=positive("learning_rate", self.learning_rate)), loss=loss)
        # the loss is a mean over all examples, whatever their weights
        parts: list[Any] = [x, targets, weights / weights.mean()]
        options: dict[str, Any] = {}
        if flag("early_stopping", self.early_stopping):
            parts, validation = self._split(parts, random)
            patience = size("n_iter_no_change", self.n_iter_no_change)
            options = {
                "validation_data": validation,
                "callbacks": [EarlyStopping(patience=patience)],
            }
        history = model.fit(
            parts[0], parts[1], sample_weight=parts[2].astype(x.dtype),
            epochs=size("max_iter", self.max_iter), batch_size=size("batch_size", self.batch_size),
            verbose=False, rng=rng, **options,
        )  # fmt: skip
        vars(model).pop("_trainer")  # the optimizer's state would triple the size of pickles
        self.model_ = model
        self.loss_curve_: list[float] = [float(loss) for loss in history["loss"]]
        self.n_iter_: int = len(self.loss_curve_)
        self._finish(x, rng)

    def _split(self, parts: list[Any], random: Any) -> tuple[list[Any], Any]:
        fraction = below_one("validation_fraction", self.validation_fraction)
        labels = parts[1] if parts[1].ndim == 1 else None
        found = train_test_split(*parts, test_size=fraction, random_state=random, stratify=labels)
        return found[::2], tuple(found[1::2])

    def _scaled(self, x: Array) -> Array:
        return self._scaling.scaled(x.reshape(-1, x.shape[-1])).reshape(x.shape)

    def _outputs(self, x: Array) -> Array:
        """Validated x → what the model returns, (n, outputs)."""
        found: Array = self.model_.predict(self._scaled(x), batch_size=256, verbose=False)
        return found
