"""The classes of a classifier's targets."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from heedful.base._types import Array


def encoded(y: Any) -> tuple[Array, Array]:
    """The classes, sorted, and the index of each target's; at least two classes."""
    check_classification_targets(y)
    classes, labels = np.unique(column_or_1d(y, warn=True), return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"y must have at least 2 classes: got 1 class, {classes[0]!r}")
    return classes, labels
