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
        self, optimizer: Any = "adam", loss: Any = None, metrics: Sequence[Any] | None = None
    ) -> None:
        """Chooses how the model is trained.

        Parameters
        ----------
        optimizer : str or Optimizer
            "adam", "adamw", "sgd", or one of :mod:`heedful.training`.
        loss : str or function
            "binary_crossentropy", "sparse_categorical_crossentropy", "categorical_crossentropy",
            "mean_squared_error", or ``loss, dprediction = f(target, prediction)``. By name,
            cross-entropies are from logits unless the model ends in a sigmoid or softmax that
            can be seen: where the end is inside a layer of your own, write
            ``BinaryCrossEntropy(from_logits=False)``. A warning tells where all outputs of an
            epoch were in [0, 1] and taken as logits.
        metrics : sequence of str or functions
            "accuracy", "mae", or ``f(target, prediction)``, a mean over all targets, whatever
            their weights. The same name once more gets a number behind it.
        """
        from heedful.training._fit import compile_model

        if loss is None:
            raise ValueError("loss must be given: got None")
        compile_model(_layer(self), optimizer, loss, metrics)

    def fit(
        self,
        x: Any,
        y: Any = None,
        *,
        epochs: int = 1,
        batch_size: int = 32,
        validation_data: Any = None,
        validation_split: float = 0.0,
        sample_weight: Any = None,
        class_weight: Any = None,
        callbacks: Any = (),
        shuffle: bool = True,
        verbose: bool | int | str = True,
        rng: Rng = None,
    ) -> History:
        """Trains the model on examples.

        Parameters
        ----------
        x : array_like, or a tuple of them, or a dict of them
            The inputs, examples along the first axis; a tuple by position, a dict by name. A list
            is one array, as in NumPy, not several inputs.
            Without y: an iterable of batches, (x, y) or (x, y, sample_weight), such as a
            generator that ends, for one epoch, or PyTorch's DataLoader for many.
        y : array_like, optional
            Targets. All are checked before the first step.
        epochs : int, default 1
            How often every example is seen. Another fit goes on where this one ends.
        batch_size : int, default 32
            Of arrays; an iterable has batches of its own.
        validation_data : (x, y), (x, y, sample_weight) or iterable of batches, optional
            Evaluated behind each epoch.
        validation_split : float, optional
            Instead: the share of the examples, the last ones as they were given, that are for
            validation.
        sample_weight : array_like, (N,), or with more axes of y, such as (N, L), optional
            True and False: what counts. The loss is the mean over what counts, so False is for
            padding. Numbers multiply the losses, whose mean is over all, as in Keras. Metrics
            leave out what weighs 0 and count the rest alike.
        class_weight : dict, optional
            ``{label: weight}``, for training only: multiplies the losses of targets of this
            label, of binary and sparse categorical cross-entropy; 1 for labels left out.
        callbacks : list of Callback or functions
            See :mod:`heedful.training`.
        shuffle : bool, default True
            The order of examples in arrays, anew in each epoch.
        verbose : bool, 0, 1, 2 or "auto", default True
            Print a line for each epoch, and show a bar where tqdm is installed; 2: no bar.
        rng : None, int or numpy.random.Generator
            Order of the examples and dropout: the same seed gives the same bits. None goes on with
            the generator of the fit before.

        Returns
        -------
        History
            Of all epochs since compile; also ``model.history``, after an interruption too. NaN
            where an epoch lacks a number, as one without a validation set does.

        Raises
        ------
        FloatingPointError
            The loss or a gradient of a batch is not finite. The weights are those before that
            batch, and finite.
        KeyboardInterrupt
            Ctrl-C. The weights are those of the last batch that was finished, whatever callbacks
            would have put back at the end.

        Examples
        --------
        Sequences of different lengths, whose padding is neither attended to nor learned:

        >>> import numpy as np
        >>> from heedful.layers import Autoencoder
        >>> x, lengths = np.zeros((10, 7, 3), np.float32), np.arange(10) % 7 + 1
        >>> model = Autoencoder(3, code_size=4, d_model=8, num_heads=2, num_layers=1, rng=0)
        >>> model.compile("adam", "mse")
        >>> kept = np.arange(7) < lengths[:, None]
        >>> history = model.fit({"x": x, "lengths": lengths}, x, sample_weight=kept, verbose=False)
        >>> len(history["loss"])
        1
        """
        from heedful.training._fit import fit

        return fit(
            _layer(self), x, y, epochs=epochs, batch_size=batch_size,
            validation_data=validation_data, validation_split=validation_split,
            sample_weight=sample_weight, class_weight=class_weight, callbacks=callbacks,
            shuffle=shuffle, verbose=verbose, rng=rng,
        )  # fmt: skip

    def evaluate(
        self, x: Any, y: Any = None, *, batch_size: int = 32, sample_weight: Any = None,
        verbose: bool | int | str = False,
    ) -> Any:  # fmt: skip
        """(loss, metrics…) over all examples, a tuple with names; arguments as of `fit`."""
        from heedful.training._fit import evaluate

        return evaluate(_layer(self), x, y, batch_size, sample_weight, verbose)

    def predict(self, x: Any, *, batch_size: int = 32, verbose: bool | int | str = False) -> Array:
        """The model's outputs for all examples, computed batch by batch; x is that of `fit`."""
        from heedful.training._fit import predict

        return predict(_layer(self), x, batch_size, verbose)

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
