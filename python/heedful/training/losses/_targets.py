"""Targets: checks, with the first invalid one in the message."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from heedful._checks import as_array, named, numbers
from heedful.base._types import Array
from heedful.training.losses._sample_weights import SampleWeights

_BY_NAME = "; names become integers by `classes, y = numpy.unique(y, return_inverse=True)`"


def real_targets(target: Any, shape: tuple[int, ...], hint: str = "") -> Array:
    """Real numbers of the shape of the prediction; a last axis of length 1 is optional."""
    array = as_array("target", target)
    if array.dtype.kind in "USO":
        raise TypeError(f"target must hold real numbers: got {named(array)}{_BY_NAME}")
    array = numbers("target", array)
    if shape == (*array.shape, 1) or array.shape == (*shape, 1):
        array = array.reshape(shape)
    if array.shape != shape:
        raise ValueError(
            f"target must have the shape of prediction, {shape}: got {array.shape}{hint}"
        )
    return array


def check_finite(target: Array, weights: SampleWeights, where: str) -> None:
    if target.dtype.kind == "f":
        wrong = weights.wrong(~np.isfinite(target))
        if wrong.any():
            raise ValueError(f"target must be finite: got {_first(target, wrong, where)}")


def check_probability_targets(target: Array, weights: SampleWeights, where: str) -> None:
    """Each in [0, 1]."""
    wrong = weights.wrong(~((target >= 0) & (target <= 1)))
    if wrong.any():
        signs = bool(((target == 1) | (target == -1)).all())
        hint = "; labels -1 and 1 become 0 and 1 by `y = (y + 1) / 2`" if signs else ""
        raise ValueError(f"target must lie in [0, 1]: got {_first(target, wrong, where)}{hint}")


def check_class_probabilities(target: Array, weights: SampleWeights, where: str) -> None:
    """target (…, C): none negative, the sum of each row 1; weights (…)."""
    check = weights.wrong(np.asarray(~(target >= 0).all(-1)))
    if check.any():
        row = target[check][:1]
        raise ValueError(
            f"target must not be negative: got {row[~(row >= 0)][0]:g} at {_place(check, where)}"
        )
    sums = np.asarray(target.sum(-1, dtype=np.float64))
    wrong = weights.wrong(np.asarray(~(np.abs(sums - 1) < 1e-2)))
    if wrong.any():
        raise ValueError(
            f"target must sum to 1 over the classes: got {_first(sums, wrong, where)}; rows that "
            "count more or less are what sample_weight is for"
        )


class Labels(NamedTuple):
    """Classes as int64, and as given; `whole` marks those that were integers."""

    labels: Array
    given: Array
    whole: Array


def class_targets(target: Any, shape: tuple[int, ...]) -> Labels:
    """Integers of the shape of the prediction (…, C) without its last axis."""
    given = as_array("target", target)
    if not shape or not shape[-1]:
        raise ValueError(f"prediction must have a score for each class: got {shape}")
    if given.dtype.kind not in "iubf":
        hint = _BY_NAME if given.dtype.kind in "USO" else ""
        raise TypeError(f"target must be integers, the classes: got {named(given)}{hint}")
    if given.shape == (*shape[:-1], 1) and given.shape != shape[:-1]:
        given = given[..., 0]
    if given.shape != shape[:-1]:
        one_hot = given.shape == shape
        hint = "; one-hot targets need the loss categorical_crossentropy" if one_hot else ""
        raise ValueError(
            f"target must have shape {shape[:-1]} for predictions of shape {shape}: "
            f"got {given.shape}{hint}"
        )
    if given.dtype.kind != "f":
        return Labels(given.astype(np.int64), given, np.ones(given.shape, np.bool_))
    wide = given.astype(np.float64, copy=False)
    whole = (np.abs(wide) < 1e15) & (wide == np.floor(wide))
    return Labels(np.where(whole, wide, 0).astype(np.int64), given, whole)


def check_classes(found: Labels, classes: int, weights: SampleWeights, where: str) -> None:
    broken = weights.wrong(~found.whole)
    if broken.any():
        raise TypeError(
            f"target must be integers, the classes: got {_first(found.given, broken, where)}"
        )
    wrong = weights.wrong((found.labels < 0) | (found.labels >= classes))
    if wrong.any():
        hint = "; a model with one output needs the loss binary_crossentropy" * (classes == 1)
        raise ValueError(
            f"target must lie in [0, {classes}): got {_first(found.given, wrong, where)}{hint}"
        )


def _first(values: Array, wrong: Array, where: str) -> str:
    """A value and its index: ``3 at y[200]``."""
    value = values.reshape(-1)[int(wrong.argmax())]
    return f"{value:g} at {_place(wrong, where)}"


def _place(wrong: Array, where: str) -> str:
    shape = wrong.shape[:-1] if wrong.ndim > 1 and wrong.shape[-1] == 1 else wrong.shape
    places = np.unravel_index(int(wrong.argmax()), shape)
    return f"{where}[{', '.join(str(int(place)) for place in places)}]"
