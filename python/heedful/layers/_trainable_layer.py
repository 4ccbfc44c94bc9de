"""Layer: a module with Keras's methods of training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from heedful.base._mode import Mode
from heedful.base._module import Module
from heedful.base._types import Backward, Rng
from heedful.base.tape._call import computed_by_call
from heedful.layers._foreign_names import with_hints

if TYPE_CHECKING:
    from inspect import Signature

    from heedful.training import History

# heedful.training is imported on first use: inference alone does not need it


class Layer(Module):
    """A function with parameters, and the gradients of both.

    ::

        y = layer(x)                           inference: keeps nothing, no dropout
        y, backward = layer.forward(x, rng=0)  training: the closure keeps what it needs
        dx = backward(dy)                      adds the parameters' gradients to layer.grads

    A layer or a parameter that is an attribute of a layer, alone or in lists and dicts, is part of
    it. Parameters are ordinary arrays: ``layer.weight`` is one, values assigned to it are copied
    into it, and it remains the same array. Only another layer's parameter is not copied but shared:
    ``projection.weight = embedding.weight`` ties the two, as in PyTorch.

    To write a layer of your own, assign parameters and layers in ``__init__`` and write `call`, the
    forward pass alone; the backward function is derived from it::

        class Scale(Layer):
            def __init__(self, size):
                self.gain = Parameter(np.ones(size, np.float32))

            def call(self, x):
                return x * self.gain

    In `call` floating inputs and parameters are values of a :class:`Tape`, on which it may use
    layers, operators and the functions of :mod:`heedful.layers.steps`; integers and booleans are
    plain arrays. Or write `compute`, with a backward function of your own::

        class Scale(Layer):
            def __init__(self, size):
                self.gain = Parameter(np.ones(size, np.float32))

            def compute(self, mode, x):
                y = x * self.gain

                def backward(dy):
                    self.add_gradient("gain", (dy * x).sum(0))
                    return dy * self.gain

                return y, backward

    `compute` passes its `mode` to the layers inside.

    Reproducibility: results are bitwise identical for every number of threads, and for an item
    alone and in a batch. Exceptions to the latter: a dense product inside with at most 8 rows in
    one case and more in the other, see :class:`Linear`; dropout, which depends on the item's
    position; and :class:`RelativeAttention`, some of whose products are NumPy's.

    Threads: any number of threads may call a layer, also at the same time, as long as none of them
    changes its parameters. Closures of the same layer add their gradients one after another.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "call" in vars(cls) and "compute" not in vars(cls):
            cls.compute = Layer.compute  # type: ignore[method-assign]

    def compute(self, mode: Mode, *inputs: Any, **options: Any) -> tuple[Any, Backward]:
        """The result, and the function from its gradient to those of the inputs.

        That of a layer with `call` is derived: it returns a gradient of each input given, None for
        those without one, such as integers.
        """
        if not hasattr(type(self), "call"):
            raise TypeError(f"{type(self).__name__} has no call and no compute: write one of them")
        return computed_by_call(self, mode, inputs, options)

    def call_signature(self) -> Signature:
        if type(self).compute is not Layer.compute or not hasattr(type(self), "call"):
            return super().call_signature()
        from inspect import signature  # only now: slow, and rarely needed

        return signature(self.call)

    # --- training

    @with_hints
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
            unless the model's last layer is known to be a sigmoid or softmax: if it is inside a
            layer of your own, write ``BinaryCrossEntropy(from_logits=False)``. A warning is issued
            if all outputs of an epoch were in [0, 1] and taken as logits. For a model with several
            outputs a function gets the tuple, and returns a tuple of gradients.
        metrics : sequence of str or functions
            "accuracy", "mae", "mse"; of binary cross-entropy "auc", "precision", "recall" and
            "f1", or :class:`Precision` with another threshold; or ``f(target, prediction)``, a mean
            over all targets, whatever their weights. A duplicate name gets a number at its end.
        """
        from heedful.training._fit import compile_model

        if loss is None:
            raise ValueError("loss must be given: got None")
        compile_model(self, optimizer, loss, metrics)

    @with_hints
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
            PyTorch's DataLoader, or a generator: a finite one lasts for one epoch, an infinite one
            needs steps_per_epoch.
        y : array_like, optional
            Targets. All are checked before the first step.
        epochs : int, default 1
            Number of passes over the data. Another fit continues from this one.
        batch_size : int, default 32
            For arrays; an iterable has batches of its own.
        steps_per_epoch : int, optional
            Number of batches in an epoch. The next epoch continues after them, and data at their
            end restart; a generator that ends too early ends the training, with a warning. Another
            fit restarts the data.
        validation_data : (x, y), (x, y, sample_weight) or iterable of batches, optional
            Evaluated after each epoch. A list of pairs is a list of batches. Whether the model
            accepts it is checked before the first step.
        validation_split : float, optional
            Instead: the fraction of the examples, the last ones in their order, that are for
            validation.
        validation_steps : int, optional
            Maximum number of batches to evaluate, the first ones each time; of a generator the
            next.
        sample_weight : array_like, (N,), or with more axes of y, such as (N, L), optional
            Booleans are a mask: the loss is the mean over True, so False is for padding. Numbers
            multiply the losses, whose mean is over all, as in Keras. Metrics skip weight 0 and
            count all other weights equally.
        class_weight : dict, optional
            ``{label: weight}``, for training only: multiplies the losses of targets of this
            label, of binary and sparse categorical cross-entropy; 1 for labels left out.
        callbacks : list of Callback or functions
            See :mod:`heedful.training`.
        shuffle : bool, default True
            Shuffle the examples of arrays, again in each epoch.
        verbose : bool, 0, 1, 2 or "auto", default True
            Print a line for each epoch, and show a bar where tqdm is installed; 2: no bar.
        rng : None, int or numpy.random.Generator
            Order of the examples and dropout: the same seed gives the same bits. None continues
            with the generator of the previous fit.

        Returns
        -------
        History
            Of the epochs of this fit, as in Keras. That of all epochs since compile is
            ``model.history``, also after an interruption; NaN where an epoch lacks a value, such as
            one without a validation set.

        Raises
        ------
        FloatingPointError
            The loss or a gradient of a batch is not finite. The weights are those before that
            batch, and finite.
        KeyboardInterrupt
            Ctrl-C. The weights are those of the last finished batch, whatever callbacks would have
            restored at the end.

        Examples
        --------
        Sequences of different lengths, whose padding is neither attended to nor counted in the
        loss:

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

    @with_hints
    def evaluate(
        self, x: Any, y: Any = None, *, batch_size: int = 32, steps: int | None = None,
        sample_weight: Any = None, verbose: bool | int | str = False,
    ) -> Any:  # fmt: skip
        """(loss, metrics…) over all examples, a named tuple; arguments as in `fit`.

        `steps` is the number of batches to evaluate, for example of an infinite generator.
        """
        from heedful.training._fit import evaluate

        return evaluate(self, x, y, batch_size, steps, sample_weight, verbose)

    @with_hints
    def predict(
        self, x: Any, *, batch_size: int = 32, steps: int | None = None,
        verbose: bool | int | str = False,
    ) -> Any:  # fmt: skip
        """The model's outputs for all examples, computed batch by batch.

        Parameters
        ----------
        x : array_like, or a tuple of them, or a dict of them
            As of `fit`. Or an iterable of batches, such as a DataLoader, a generator, or a list of
            tuples: (x,), (x, y), (x, y, sample_weight), whose targets are ignored, or x alone,
            an array or a dict. Several inputs are a tuple in it: ((a, b),).
        batch_size : int, default 32
            For arrays; an iterable has batches of its own.
        steps : int, optional
            Number of batches to predict, for example of an infinite generator.
        verbose : bool, 0, 1, 2 or "auto", default False

        Returns
        -------
        numpy.ndarray
            Or tuples, lists and dicts of arrays, as the model returns them: each array has all
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
        """Loss and metrics of all epochs since compile."""
        from heedful.training._trainer import trainer_of

        return trainer_of(self).history

    @property
    def optimizer(self) -> Any:
        from heedful.training._trainer import trainer_of

        return trainer_of(self).optimizer
