"""Regression losses: functions of the difference between prediction and target."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from heedful._checks import positive
from heedful.base._shown import Shown
from heedful.base._types import Array
from heedful.functional._dtypes import finite_cast
from heedful.training.losses._prediction import floating
from heedful.training.losses._sample_weights import SampleWeights
from heedful.training.losses._targets import check_finite, real_targets


class Regression(Shown, ABC):
    """The mean of an element-wise function of prediction − target."""

    factor: float = 1.0  # of the derivatives

    @np.errstate(all="ignore")
    def __call__(
        self, target: Any, prediction: Array, sample_weight: Any = None
    ) -> tuple[float, Array]:
        """target of the shape of prediction; sample_weight as of :class:`BinaryCrossEntropy`."""
        prediction = floating(prediction)
        target, weights = self.checked(target, prediction.shape, sample_weight)
        difference = prediction - finite_cast(weights.only(target), prediction.dtype)
        count = max(weights.count, 1)
        loss = float(weights.apply(self.losses(difference)).sum() / count)
        gradient = weights.apply(self.derivatives(difference)) * prediction.dtype.type(
            self.factor / count
        )
        return loss, gradient

    @abstractmethod
    def losses(self, difference: Array) -> Array:
        """The losses, in float64."""

    @abstractmethod
    def derivatives(self, difference: Array) -> Array:
        """Their derivative, without the factor."""

    def count(self, target: Any, sample_weight: Any = None) -> int:
        """Number of targets that the mean is taken over."""
        return SampleWeights(sample_weight, np.shape(target)).count

    def checked(
        self, target: Any, shape: tuple[int, ...], sample_weight: Any = None, where: str = "target"
    ) -> tuple[Array, SampleWeights]:
        target, weights = real_targets(target, shape), SampleWeights(sample_weight, shape)
        check_finite(target, weights, where)
        return target, weights


class MeanSquaredError(Regression):
    """mean (prediction − target)².

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.training import MeanSquaredError
    >>> MeanSquaredError()([1.0, 2.0], np.array([1.0, 4.0]))
    (2.0, array([0., 2.]))

    The second row is padding:

    >>> MeanSquaredError()([1.0, 2.0], np.array([0.0, 4.0]), np.array([True, False]))
    (1.0, array([-2.,  0.]))
    """

    factor: float = 2.0  # separate, because 2 · difference may overflow

    def losses(self, difference: Array) -> Array:
        squares: Array = np.square(difference, dtype=np.float64)
        return squares

    def derivatives(self, difference: Array) -> Array:
        return difference


class MeanAbsoluteError(Regression):
    """mean ``|prediction − target|``, whose gradient is 0 where they are equal.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.training import MeanAbsoluteError
    >>> MeanAbsoluteError()([1.0, 2.0], np.array([1.0, 4.0]))
    (1.0, array([0. , 0.5]))
    """

    def losses(self, difference: Array) -> Array:
        sizes: Array = np.abs(difference).astype(np.float64)
        return sizes

    def derivatives(self, difference: Array) -> Array:
        signs: Array = np.sign(difference)
        return signs


class Huber(Regression):
    """Quadratic up to delta, and linear beyond it, so that outliers weigh less.

    ::

        mean of  ½ d²  where |d| ≤ delta,  delta (|d| − ½ delta)  elsewhere

    with d = prediction − target.

    Parameters
    ----------
    delta : float, default 1

    Notes
    -----
    Huber 1964, https://doi.org/10.1214/aoms/1177703732. Named ``nn.HuberLoss`` in PyTorch.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.training import Huber
    >>> Huber()([1.0, 2.0], np.array([1.0, 4.0]))
    (0.75, array([0. , 0.5]))
    """

    def __init__(self, delta: float = 1.0) -> None:
        self.delta: float = positive("delta", delta)

    def losses(self, difference: Array) -> Array:
        sizes = np.abs(difference).astype(np.float64)
        near = np.minimum(sizes, self.delta)
        found: Array = near * (sizes - near / 2)
        return found

    def derivatives(self, difference: Array) -> Array:
        bound = difference.dtype.type(self.delta)  # inf if it overflows the type: no bound
        clipped: Array = np.clip(difference, -bound, bound)
        return clipped


REGRESSION = (MeanSquaredError, MeanAbsoluteError, Huber)
