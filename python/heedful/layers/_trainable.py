"""The methods by which a model is trained as a Keras user knows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from heedful.layers._types import Array, Rng

if TYPE_CHECKING:
    from heedful.layers._layer import Layer
    from heedful.training import History


class Trainable:
    """compile, fit, evaluate, predict: the work is done in heedful.training, which is imported
    when one of them is called, because it is built upon layers."""

    def compile(
        self, optimizer: Any = "adam", loss: Any = None, metrics: Sequence[Any] = ()
    ) -> None:
        """Chooses how the model is trained.

        Parameters
        ----------
        optimizer : str or Optimizer
            "adam", "adamw", "sgd", or one of :mod:`heedful.training`.
        loss : str or function
            "binary_crossentropy", "sparse_categorical_crossentropy", "categorical_crossentropy",
            "mean_squared_error", or ``loss, dprediction = f(target, prediction)``. By name,
            cross-entropies are from logits unless the model ends in a sigmoid or softmax.
        metrics : sequence of str or functions
            "accuracy", "mae", or ``f(target, prediction)``, a mean.
        """
        from heedful.training._fit import compile_model

        if loss is None:
            raise ValueError("loss must be given: got None")
        compile_model(_layer(self), optimizer, loss, metrics)

    def fit(
        self,
        x: Any,
        y: Any,
        *,
        epochs: int = 1,
        batch_size: int = 32,
        validation_data: Any = None,
        callbacks: Any = (),
        shuffle: bool = True,
        verbose: bool = True,
        rng: Rng = None,
    ) -> History:
        """Trains the model on examples.

        Parameters
        ----------
        x : array_like, or a tuple of them, or a dict of them
            The inputs, examples along the first axis; a tuple by position, a dict by name.
        y : array_like
            Targets.
        epochs : int, default 1
            How often every example is seen. Another fit goes on where this one ends.
        batch_size : int, default 32
        validation_data : (x, y), optional
            Evaluated behind each epoch.
        callbacks : list of Callback or functions
            See :mod:`heedful.training`.
        shuffle : bool, default True
        verbose : bool, default True
            Print a line for each epoch, and show a bar where tqdm is installed.
        rng : None, int or numpy.random.Generator
            Order of the examples and dropout: the same seed gives the same bits. None goes on with
            the generator of the fit before.

        Returns
        -------
        History
            Of all epochs since compile; also ``model.history``, after an interruption too.

        Raises
        ------
        FloatingPointError
            The loss of a batch is not finite. The weights are those before that batch.
        KeyboardInterrupt
            Ctrl-C. The weights are those of the last batch that was finished.
        """
        from heedful.training._fit import fit

        return fit(
            _layer(self), x, y, epochs=epochs, batch_size=batch_size,
            validation_data=validation_data, callbacks=callbacks, shuffle=shuffle,
            verbose=verbose, rng=rng,
        )  # fmt: skip

    def evaluate(self, x: Any, y: Any, *, batch_size: int = 32) -> Any:
        """(loss, metrics…) over all examples, a tuple with names."""
        from heedful.training._fit import evaluate

        return evaluate(_layer(self), x, y, batch_size)

    def predict(self, x: Any, *, batch_size: int = 32) -> Array:
        """The model's outputs for all examples, computed batch by batch."""
        from heedful.training._fit import predict

        return predict(_layer(self), x, batch_size)

    @property
    def history(self) -> History:
        """What fit has seen since compile."""
        from heedful.training._trainer import trainer_of

        return trainer_of(_layer(self)).history

    @property
    def optimizer(self) -> Any:
        from heedful.training._trainer import trainer_of

        return trainer_of(_layer(self)).optimizer


def _layer(model: Trainable) -> Layer:
    from heedful.layers._layer import Layer

    assert isinstance(model, Layer)  # the only class that is built upon this one
    return model
