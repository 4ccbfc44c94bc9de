"""numpy.errstate(all="raise") is for the user's own arithmetic: layers raise nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from layer_cases import CASES, LayerCase

SIZES = (1.0, 1e-42, 1e-300, 1e20, 1e36, 1e300)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_forward_and_backward(case: LayerCase, dtype: Any) -> None:
    for size in SIZES:
        inputs = case.inputs(np.random.default_rng(0))
        floating = any(array.dtype.kind == "f" for array in inputs)
        if size != 1 and not floating:
            continue
        with np.errstate(all="ignore"):
            inputs = tuple(array * size if floating else array for array in inputs)
        with np.errstate(all="raise"):
            layer = case.make(dtype=dtype, rng=0)
            layer(*inputs, **case.options)
            y, backward = layer.forward(*inputs, rng=1, **case.options)
            dy = np.random.default_rng(1).standard_normal(y.shape)
        with np.errstate(all="ignore"):
            dy *= 1e-42 if size < 1 else 1.0
        with np.errstate(all="raise"):
            backward(dy)
