"""Losses: the protocol, the built-in ones by name, and checks of what a loss returns."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from heedful._checks import named, one_of
from heedful.base._types import Array
from heedful.training.losses._binary_cross_entropy import BinaryCrossEntropy
from heedful.training.losses._categorical_cross_entropy import (
    CategoricalCrossEntropy,
    SparseCategoricalCrossEntropy,
)
from heedful.training.losses._regression import (
    REGRESSION,
    Huber,
    MeanAbsoluteError,
    MeanSquaredError,
)

CROSS_ENTROPIES = (BinaryCrossEntropy, CategoricalCrossEntropy, SparseCategoricalCrossEntropy)
LOSSES = (*CROSS_ENTROPIES, *REGRESSION)


class Loss(Protocol):
    """``loss, dprediction = loss_fn(target, prediction)``: a number, and its gradient.

    A loss that supports sample weights takes them as a third argument.
    """

    def __call__(self, target: Any, prediction: Array) -> tuple[float, Array]: ...


_NAMES: dict[str, Callable[..., Loss]] = {
    "binary_crossentropy": BinaryCrossEntropy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossEntropy,
    "categorical_crossentropy": CategoricalCrossEntropy,
    "mean_squared_error": MeanSquaredError,
    "mse": MeanSquaredError,
    "mean_absolute_error": MeanAbsoluteError,
    "mae": MeanAbsoluteError,
    "huber": Huber,
}


def as_loss(given: Any, probabilities: bool | None) -> Loss:
    """A loss by name, or the argument itself if it is one.

    `probabilities` is the kind of the model's output: True after a sigmoid or softmax, False
    otherwise, None where it is unknown.
    """
    if isinstance(given, type):
        raise TypeError(f"loss must be a loss, not its class: write {given.__name__}()")
    if isinstance(given, CROSS_ENTROPIES):
        _check_end(given, probabilities)
    if callable(given):
        loss: Loss = given
        return loss
    name = one_of("loss", given.lower() if isinstance(given, str) else given, tuple(_NAMES))
    if probabilities and name.endswith("crossentropy"):
        return _NAMES[name](from_logits=False)
    return _NAMES[name]()


def _check_end(loss: Any, probabilities: bool | None) -> None:
    name = type(loss).__name__
    if loss.from_logits and probabilities:
        raise ValueError(
            f"loss must fit the output of the model: {name} takes logits and the model ends in a "
            f"sigmoid or softmax, so write {name}(from_logits=False) or leave the activation out"
        )
    if not loss.from_logits and probabilities is False:
        raise ValueError(
            f"loss must fit the output of the model: {name}(from_logits=False) takes probabilities "
            f"and the model ends without a sigmoid or softmax, so write {name}() or add one"
        )


def call_loss(loss: Any, target: Any, prediction: Any, weight: Any) -> tuple[float, Any]:
    """The number and the gradient that a loss returns, checked."""
    if weight is None:
        found = loss(target, prediction)
    else:
        check_takes_weights(loss)
        found = loss(target, prediction, weight)
    try:
        value, gradient = found
        value = float(value)
    except (TypeError, ValueError):
        raise TypeError(
            "loss must return (loss, its gradient by the prediction), as there is no automatic "
            f"differentiation: got {named(found)}"
        ) from None
    if isinstance(prediction, tuple):
        if not isinstance(gradient, (tuple, list)) or len(gradient) != len(prediction):
            raise ValueError(
                f"loss must return a gradient for each of {len(prediction)} outputs, or None for "
                f"one that it does not use: got {named(gradient)}"
            )
        for output, part in zip(prediction, gradient, strict=True):
            if part is not None:
                _check_shape(output, part)
    else:
        _check_shape(prediction, gradient)
    return value, gradient


def _check_shape(prediction: Any, gradient: Any) -> None:
    if isinstance(prediction, np.ndarray) and np.shape(gradient) != prediction.shape:
        raise ValueError(
            f"loss must return a gradient of the shape of the prediction, {prediction.shape}: "
            f"got {np.shape(gradient)}"
        )


def several(prediction: Any) -> str:
    """A description of several outputs for messages; "" for one output."""
    if not isinstance(prediction, (tuple, list, dict)):
        return ""
    return f"a {type(prediction).__name__} of {len(prediction)}"


def check_takes_weights(loss: Any) -> None:
    if isinstance(loss, LOSSES):
        return
    try:
        inspect.signature(loss).bind(None, None, None)
    except TypeError:
        raise TypeError(
            "loss must take weights as a third argument where sample_weight is given: "
            f"got {named(loss)}"
        ) from None
    except ValueError:  # a compiled function without a signature
        return


def described(loss: Any) -> str:
    """The description of a loss in the file of a training: of a function its name alone."""
    if isinstance(loss, LOSSES):
        settings = ", ".join(f"{name}={value}" for name, value in vars(loss).items())
        return f"{type(loss).__name__}({settings})"
    return str(getattr(loss, "__qualname__", type(loss).__qualname__))
