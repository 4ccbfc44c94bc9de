"""Losses: how far predictions are from what they should be, and which way is down."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from heedful._checks import flag, is_integer, named, numbers, one_of, probability
from heedful._core import native
from heedful.training._types import Array


class Loss(Protocol):
    """``loss, dprediction = loss_fn(target, prediction)``: a number, and its gradient."""

    def __call__(self, target: Any, prediction: Array) -> tuple[float, Array]: ...


class MeanSquaredError:
    """mean (prediction − target)².

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.training import MeanSquaredError
    >>> MeanSquaredError()([1.0, 2.0], np.array([1.0, 4.0]))
    (2.0, array([0., 2.]))
    """

    def __call__(self, target: Any, prediction: Array) -> tuple[float, Array]:
        """target and prediction of the same shape."""
        prediction = _floating(prediction)
        target = numbers("target", target).astype(prediction.dtype)
        target = _column(target, prediction)
        _check_shape(target.shape, prediction.shape)
        difference = prediction - target
        count = max(difference.size, 1)
        loss = float(np.square(difference, dtype=np.float64).sum() / count)
        return loss, difference * prediction.dtype.type(2 / count)


class BinaryCrossEntropy:
    """mean of −t log p − (1 − t) log(1 − p), with p = σ(prediction).

    Parameters
    ----------
    from_logits : bool, default True
        False: predictions are probabilities, and p = prediction.
    label_smoothing : float, default 0
        s: a target t becomes t (1 − s) + s / 2.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.training import BinaryCrossEntropy
    >>> loss, gradient = BinaryCrossEntropy()([1, 0], np.array([0.0, 0.0]))
    >>> round(loss, 4), gradient
    (0.6931, array([-0.25,  0.25]))
    """

    def __init__(self, from_logits: bool = True, label_smoothing: float = 0.0) -> None:
        self.from_logits = flag("from_logits", from_logits)
        self.label_smoothing = probability("label_smoothing", label_smoothing)

    def __call__(self, target: Any, prediction: Array) -> tuple[float, Array]:
        """target, in [0, 1], has the shape of prediction; a last axis of 1 may be left out."""
        prediction, given = _floating(prediction), numbers("target", target)
        if given.size and not bool(((given >= 0) & (given <= 1)).all()):
            raise ValueError(f"target must lie in [0, 1]: got {named(target)}")
        t = _column(given.astype(np.float64), prediction)
        _check_shape(t.shape, prediction.shape)
        t = t * (1 - self.label_smoothing) + self.label_smoothing / 2
        count = max(t.size, 1)
        x = prediction.astype(np.float64)
        if self.from_logits:
            loss = (np.maximum(x, 0) - x * t + np.log1p(np.exp(-np.abs(x)))).sum() / count
            gradient = _sigmoid(x) - t
        else:
            p = np.clip(x, 1e-7, 1 - 1e-7)
            loss = -(t * np.log(p) + (1 - t) * np.log1p(-p)).sum() / count
            gradient = (p - t) / (p * (1 - p))
        return float(loss), (gradient / count).astype(prediction.dtype)


class SparseCategoricalCrossEntropy:
    """mean of −log p[target], with p = softmax(prediction).

    Parameters
    ----------
    from_logits : bool, default True
        False: predictions are probabilities, and p = prediction.
    label_smoothing : float, default 0
        s: the target becomes 1 − s + s/C, every other class s/C, of C classes.
    ignore_index : int, optional
        A target that does not count, such as padding.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.training import SparseCategoricalCrossEntropy
    >>> loss, gradient = SparseCategoricalCrossEntropy()([1], np.array([[0.0, 0.0]]))
    >>> round(loss, 4), gradient
    (0.6931, array([[ 0.5, -0.5]]))
    """

    def __init__(
        self, from_logits: bool = True, label_smoothing: float = 0.0,
        ignore_index: int | None = None,
    ) -> None:  # fmt: skip
        self.from_logits = flag("from_logits", from_logits)
        self.label_smoothing = probability("label_smoothing", label_smoothing)
        if ignore_index is not None and not is_integer(ignore_index):
            raise TypeError(f"ignore_index must be an integer or None: got {named(ignore_index)}")
        self.ignore_index = ignore_index

    def count(self, target: Any) -> int:
        """Targets that the mean is taken over."""
        target = np.asarray(target)
        if self.ignore_index is None:
            return int(target.size)
        return int((target != self.ignore_index).sum())

    def __call__(self, target: Any, prediction: Array) -> tuple[float, Array]:
        """target (…) of integers, prediction (…, C)."""
        prediction = _floating(prediction)
        labels = check_labels(target, prediction, self.ignore_index)
        rows, flat = as_rows(prediction), np.ascontiguousarray(labels.reshape(-1))
        # a label that no class has, where none is to be ignored
        ignored = -1 if self.ignore_index is None else self.ignore_index
        count = max(int((flat != ignored).sum()), 1)
        if not self.from_logits:
            return self._of_probabilities(flat, rows, ignored, count, prediction.shape)
        losses, gradient = np.empty(len(rows), rows.dtype), np.empty_like(rows)
        native.cross_entropy(rows, flat, ignored, self.label_smoothing, 1 / count, losses, gradient)
        loss = float(losses.sum(dtype=np.float64) / count)
        return loss, gradient.reshape(prediction.shape)

    def _of_probabilities(
        self, flat: Array, rows: Array, ignored: int, count: int, shape: tuple[int, ...]
    ) -> tuple[float, Array]:
        counted, classes, smooth = flat != ignored, rows.shape[-1], self.label_smoothing
        wanted = np.full(rows.shape, smooth / classes, rows.dtype)
        places = np.where(counted, flat, 0)[:, None]
        np.put_along_axis(wanted, places, 1 - smooth + smooth / classes, 1)
        wanted[~counted] = 0
        chances = np.clip(rows, 1e-7, 1)
        loss = float(-(wanted * np.log(chances)).sum(dtype=np.float64) / count)
        gradient = -wanted / chances * rows.dtype.type(1 / count)
        return loss, gradient.reshape(shape)


class CategoricalCrossEntropy:
    """mean of −Σ target log p, with p = softmax(prediction) and targets that sum to 1.

    Parameters
    ----------
    from_logits, label_smoothing
        As of :class:`SparseCategoricalCrossEntropy`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.training import CategoricalCrossEntropy
    >>> loss, gradient = CategoricalCrossEntropy()([[0.0, 1.0]], np.array([[0.0, 0.0]]))
    >>> round(loss, 4), gradient
    (0.6931, array([[ 0.5, -0.5]]))
    """

    def __init__(self, from_logits: bool = True, label_smoothing: float = 0.0) -> None:
        self.from_logits = flag("from_logits", from_logits)
        self.label_smoothing = probability("label_smoothing", label_smoothing)

    def __call__(self, target: Any, prediction: Array) -> tuple[float, Array]:
        """target and prediction (…, C)."""
        prediction = _floating(prediction)
        target = numbers("target", target).astype(prediction.dtype)
        _check_shape(target.shape, prediction.shape)
        classes = prediction.shape[-1]
        rows = prediction.reshape(-1, classes)
        smooth = prediction.dtype.type(self.label_smoothing)
        wanted = target.reshape(-1, classes) * (1 - smooth) + smooth / classes
        count = max(len(rows), 1)
        logs, chances = _logs(rows, self.from_logits)
        loss = float(-(wanted * logs).sum(dtype=np.float64) / count)
        sums = wanted.sum(1, keepdims=True)
        gradient = _gradient(chances, wanted, self.from_logits, sums)
        gradient *= rows.dtype.type(1 / count)
        return loss, gradient.reshape(prediction.shape)


def _floating(prediction: Any) -> Array:
    """Predictions as they are, whole numbers as floating ones: their gradient is none."""
    array = numbers("prediction", prediction)
    return array.astype(np.float64) if array.dtype.kind in "iub" else array


def check_labels(target: Any, prediction: Array, ignored: int | None) -> Array:
    labels = np.asarray(target)
    finite = labels.dtype.kind == "f" and bool(np.isfinite(labels).all())
    if finite and bool((labels == np.floor(labels)).all()):
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in "iub":
        raise TypeError(f"target must be integers, the classes: got {named(labels)}")
    if labels.shape == (*prediction.shape[:-1], 1) and labels.shape != prediction.shape[:-1]:
        labels = labels[..., 0]
    if prediction.ndim == 0 or not prediction.shape[-1]:
        raise ValueError(f"prediction must have a score for each class: got {prediction.shape}")
    if labels.shape != prediction.shape[:-1]:
        raise ValueError(
            f"target must have shape {prediction.shape[:-1]} for predictions of shape "
            f"{prediction.shape}: got {labels.shape}"
        )
    labels = labels.astype(np.int64)
    seen = labels if ignored is None else labels[labels != ignored]
    classes = prediction.shape[-1]
    if seen.size and not 0 <= int(seen.min()) <= int(seen.max()) < classes:
        wrong = seen.min() if seen.min() < 0 else seen.max()
        raise ValueError(f"target must lie in [0, {classes}): got {int(wrong)}")
    return labels


def as_rows(prediction: Array) -> Array:
    """(…, C) as (rows, C) in a floating type that compiled functions know."""
    dtype = prediction.dtype if prediction.dtype in (np.float32, np.float64) else np.float64
    return np.ascontiguousarray(prediction.reshape(-1, prediction.shape[-1]), dtype)


def _logs(rows: Array, from_logits: bool) -> tuple[Array, Array]:
    """log p and p, row by row."""
    if not from_logits:
        chances = np.clip(rows, 1e-7, 1)
        return np.log(chances), chances
    shifted = rows - rows.max(-1, keepdims=True)
    chances = np.exp(shifted)
    sums = chances.sum(-1, keepdims=True)
    shifted -= np.log(sums)
    chances /= sums
    return shifted, chances


def _gradient(chances: Array, wanted: Array, from_logits: bool, sums: Any = None) -> Array:
    if not from_logits:
        return -wanted / chances
    return (chances if sums is None else chances * sums) - wanted


def _sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    chance: Array = np.where(x >= 0, 1, e) / (1 + e)
    return chance


def _column(target: Array, prediction: Array) -> Array:
    """Targets (N,) for predictions (N, 1), and the other way round."""
    if prediction.shape == (*target.shape, 1) or target.shape == (*prediction.shape, 1):
        return target.reshape(prediction.shape)
    return target


def _check_shape(target: tuple[int, ...], prediction: tuple[int, ...]) -> None:
    if target != prediction:
        raise ValueError(f"target must have the shape of prediction, {prediction}: got {target}")


_NAMES: dict[str, Callable[..., Loss]] = {
    "binary_crossentropy": BinaryCrossEntropy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossEntropy,
    "categorical_crossentropy": CategoricalCrossEntropy,
    "mean_squared_error": MeanSquaredError,
    "mse": MeanSquaredError,
}


def as_loss(given: Any, gives_probabilities: bool) -> Loss:
    """A loss by its name or as it is; `gives_probabilities` tells what a model's output is."""
    if callable(given):
        loss: Loss = given
        return loss
    name = one_of("loss", given, tuple(_NAMES))
    if gives_probabilities and name.endswith("crossentropy"):
        return _NAMES[name](from_logits=False)
    return _NAMES[name]()
