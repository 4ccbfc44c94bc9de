"""The mean squared error."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful.functional._dtypes import finite_cast
from heedful.training._prediction import floating
from heedful.training._targets import check_finite, real_targets
from heedful.training._types import Array
from heedful.training._weights import Weights


class MeanSquaredError:
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

    @np.errstate(all="ignore")
    def __call__(
        self, target: Any, prediction: Array, sample_weight: Any = None
    ) -> tuple[float, Array]:
        """target of the shape of prediction; sample_weight as of :class:`BinaryCrossEntropy`."""
        prediction = floating(prediction)
        target, weights = self.checked(target, prediction.shape, sample_weight)
        difference = prediction - finite_cast(weights.only(target), prediction.dtype)
        count = max(weights.count, 1)
        loss = float(weights.apply(np.square(difference, dtype=np.float64)).sum() / count)
        return loss, weights.apply(difference) * prediction.dtype.type(2 / count)

    def count(self, target: Any, sample_weight: Any = None) -> int:
        """Targets that the mean is taken over."""
        return Weights(sample_weight, np.shape(target)).count

    def checked(
        self, target: Any, shape: tuple[int, ...], sample_weight: Any = None, where: str = "target"
    ) -> tuple[Array, Weights]:
        target, weights = real_targets(target, shape), Weights(sample_weight, shape)
        check_finite(target, weights, where)
        return target, weights
