"""Every layer's backward takes the gradient of its output in that very shape, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from layer_cases import CASES, LayerCase

from heedful.base._mode import Mode

pytestmark = pytest.mark.once


def others(y: np.ndarray) -> list[Any]:
    found: list[Any] = [
        y.T, y.reshape(-1), y[None], y[..., None], np.float64(1), 1.0, y[:1], y[..., :1],
        y.T.tolist(),
    ]  # fmt: skip
    return [other for other in found if np.shape(other) != y.shape]


def foreign(y: np.ndarray) -> list[Any]:
    masked = np.ma.masked_array(y, mask=np.arange(y.size).reshape(y.shape) % 2)
    return [masked, list(masked), y + 0j, y.astype(object), y.astype(str), None]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("inner", [False, True], ids=["forward", "compute"])
def test_nothing_but_the_shape_of_y_is_taken(case: LayerCase, inner: bool) -> None:
    layer = case.make(dtype=np.float64, rng=0)
    inputs = case.inputs(np.random.default_rng(1))

    def back() -> tuple[np.ndarray, Any]:
        if inner:  # as a layer calls those that it is made of
            return layer.compute(Mode(True, np.random.default_rng(0)), *inputs, **case.options)
        return layer.forward(*inputs, rng=0, **case.options)

    y, _ = back()
    y, backward = back()
    for kind, wrong in ((ValueError, others(y)), (TypeError, foreign(y))):
        for dy in wrong:
            before = {name: grad.copy() for name, grad in layer.grads.items()}
            with pytest.raises(kind, match=r"^dy must "):
                backward(dy)
            after = layer.grads
            assert after.keys() == before.keys()
            for name, grad in before.items():
                np.testing.assert_array_equal(after[name], grad)
            if inner:
                y, backward = back()
    backward(y)
