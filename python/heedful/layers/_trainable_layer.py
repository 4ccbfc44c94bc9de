"""Layer: a module with the methods by which a Keras user trains it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from heedful.base._module import Module
from heedful.base._types import Rng
from heedful.layers._foreign_names import answering

if TYPE_CHECKING:
    from heedful.training import History

# heedful.training is imported when it is asked for: who only uses a model does not wait for it


class Layer(Module):
    """A function with parameters, and the gradients of both.

    ::

        y = layer(x)                           inference: keeps nothing, drops nothing out
        y, backward = layer.forward(x, rng=0)  training: the closure keeps what it needs
        dx = backward(dy)                      adds the parameters' gradients to layer.grads

    A layer or a parameter that is an attribute of a layer, alone or in lists and dicts, is part of
    it. Parameters are ordinary arrays: ``layer.weight`` is one, numbers assigned to it are copied
    into it, and it stays the same array for ever. Only another layer's parameter is not copied but
    shared: ``projection.weight = embedding.weight`` ties the two, as in PyTorch.

    To write a layer of your own, assign parameters and layers in ``__init__`` and write `compute`::

        class Scale(Layer):
            def __init__(self, size):
                self.gain = Parameter(np.ones(size, np.float32))

            def compute(self, mode, x):
                y = x * self.gain

                def backward(dy):
                    self.add_gradient("gain", (dy * x).sum(0))
                    return dy * self.gain

                return y, backward

    What `compute` is given as `mode` it gives to the layers it consists of.

    Bits: results are the same to the bit for every number of threads. They are for an item alone
    and in a batch too, unless a dense product inside has at most 8 rows in one case and more in the
    other, see :class:`Linear`; and but for dropout, which counts the item's place, and
    :class:`RelativeAttention`, some of whose products are NumPy's.

    Threads: any number of threads may call a layer, also at the same time, as long as none of them
    changes its parameters. Closures of the same layer add their gradients one after another.
    """

    # --- training

    @answering
    def compile(
        self, optimizer: Any = "adam", loss: Any = None, metrics: Sequence[Any] | None = None
    ) -> None:
        """Chooses how the model is trained.

        Parameters
        ----------
        optimizer : str or Optimizer
            "adam", "adamw", "nadam", "rmsprop", "sgd", or one of :mod:`heedful.training`.
        loss : str or function
            "binary_crossentropy", "sparse_categorical_crossentropy", "categorical_crossentropy",
            "mean_squared_error" or "mse", "mean_absolute_error" or "mae", "huber", or
            ``loss, dprediction = f(target, prediction)``. By name, cross-entropies are from logits
            unless the model ends in a sigmoid or softmax that can be seen: where the end is inside
            a layer of your own, write ``BinaryCrossEntropy(from_logits=False)``. A warning tells
            where all outputs of an epoch were in [0, 1] and taken as logits. Of a model with
            several outputs a function gets the tuple, and returns a tuple of gradients.
        metrics : sequence of str or functions
            "accuracy", "mae", "mse"; of binary cross-entropy "auc", "precision", "recall" and
            "f1", or :class:`Precision` with another threshold; or ``f(target, prediction)``, a mean
            over all targets, whatever their weights. The same name once more gets a number behind
            it.
        """
        from heedful.training._fit import compile_model

        if loss is None:
            raise ValueError("loss must be given: got None")
        compile_model(self, optimizer, loss, metrics)

    @answering
    def fit(
        self,
        x: Any,
        y: Any = None,
        *,
        epochs: int = 1,
        batch_size: int = 32,
        steps_per_epoch: int | None = None,
        validation_data: Any = None,
        validation_split: float = 0.0,
        validation_steps: int | None = None,
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
            Without y: an iterable of batches, (x, y) or (x, y, sample_weight), such as a list,
            PyTorch's DataLoader, or a generator: one that ends lasts for one epoch, one that does
            not needs steps_per_epoch.
        y : array_like, optional
            Targets. All are checked before the first step.
        epochs : int, default 1
            How often every example is seen. Another fit goes on where this one ends.
        batch_size : int, default 32
            Of arrays; an iterable has batches of its own.
        steps_per_epoch : int, optional
            An epoch is so many batches. The next one goes on behind them, and what is at its end
            begins anew; a generator that ends too early ends the training, with a warning. Another
            fit begins anew.
        validation_data : (x, y), (x, y, sample_weight) or iterable of batches, optional
            Evaluated behind each epoch. A list of pairs is a list of batches. Whether the model
            takes it is tried out before the first step.
        validation_split : float, optional
            Instead: the share of the examples, the last ones as they were given, that are for
            validation.
        validation_steps : int, optional
            Evaluates so many batches at most, the first ones each time; of a generator the next.
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
            Of the epochs of this fit, as in Keras. That of all epochs since compile is
            ``model.history``, after an interruption, too; NaN where an epoch lacks a number, as one
            without a validation set does.

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
            self, x, y, epochs=epochs, batch_size=batch_size,
            steps_per_epoch=steps_per_epoch, validation_data=validation_data,
            validation_split=validation_split, validation_steps=validation_steps,
            sample_weight=sample_weight, class_weight=class_weight, callbacks=callbacks,
            shuffle=shuffle, verbose=verbose, rng=rng,
        )  # fmt: skip

    @answering
    def evaluate(
        self, x: Any, y: Any = None, *, batch_size: int = 32, steps: int | None = None,
        sample_weight: Any = None, verbose: bool | int | str = False,
    ) -> Any:  # fmt: skip
        """(loss, metrics…) over all examples, a tuple with names; arguments as of `fit`.

        `steps` is the number of batches after which it ends, as of a generator that does not.
        """
        from heedful.training._fit import evaluate

        return evaluate(self, x, y, batch_size, steps, sample_weight, verbose)

    @answering
    def predict(
        self, x: Any, *, batch_size: int = 32, steps: int | None = None,
        verbose: bool | int | str = False,
    ) -> Any:  # fmt: skip
        """The model's outputs for all examples, computed batch by batch.

        Parameters
        ----------
        x : array_like, or a tuple of them, or a dict of them
            As of `fit`. Or an iterable of batches, such as a DataLoader, a generator, or a list of
            tuples: (x,), (x, y), (x, y, sample_weight), whose targets are passed by, or x alone,
            an array or a dict. Several inputs are a tuple in it: ((a, b),).
        batch_size : int, default 32
            Of arrays; an iterable has batches of its own.
        steps : int, optional
            The number of batches after which it ends, as of a generator that does not.
        verbose : bool, 0, 1, 2 or "auto", default False

        Returns
        -------
        numpy.ndarray
            Or tuples, lists and dicts of arrays, as the model gives them: each array has all
            examples along its first axis.

        Raises
        ------
        ValueError
            Outputs whose first axis is not the examples, or that differ between batches.
        """
        from heedful.training._fit import predict

        return predict(self, x, batch_size, steps, verbose)

    @property
    def history(self) -> History:
        """What all fits have seen since compile."""
        from heedful.training._trainer import trainer_of

        return trainer_of(self).history

    @property
    def optimizer(self) -> Any:
        from heedful.training._trainer import trainer_of

        return trainer_of(self).optimizer
