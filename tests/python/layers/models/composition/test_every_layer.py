"""Every layer on a tape and in a functional model: the bits and the gradients of a call alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from layer_cases import CASES, LayerCase

from heedful.layers import Input, Layer, Model


class Branches(Layer):
    """A layer between two branches of its first input, where gradients are shared and added."""

    def __init__(self, layer: Layer, options: Any) -> None:
        self.layer, self.options = layer, options

    def call(self, *inputs: Any) -> Any:
        return self.layer(*inputs, **self.options)


def results(model: Any, inputs: tuple[Any, ...], options: Any) -> tuple[Any, Any, Any]:
    model.zero_grad()
    y, backward = model.forward(*inputs, rng=5, **options)
    parts = y if isinstance(y, tuple) else (y,)
    rng = np.random.default_rng(1)
    dy = [rng.standard_normal(part.shape).astype(part.dtype) for part in parts]
    kept = [one.copy() for one in dy]
    found = backward(*dy)
    for one, before in zip(dy, kept, strict=True):  # a tape passes one gradient to several
        np.testing.assert_array_equal(one, before)
    found = found if isinstance(found, tuple) else (found,)
    return parts, [dx for dx in found if dx is not None], list(model.grads.values())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_layer_within_another_computes_and_differentiates_as_alone(case: LayerCase) -> None:
    layer = case.make(dtype=np.float64, rng=0)
    inputs = case.inputs(np.random.default_rng(0))
    expected = results(layer, inputs, case.options)
    symbols = tuple(Input() for _ in inputs)
    functional = Model(symbols, layer(*symbols, **case.options))
    for model in (Branches(layer, dict(case.options)), functional):
        for found, wanted in zip(results(model, inputs, {}), expected, strict=True):
            assert len(found) == len(wanted)
            for one, other in zip(found, wanted, strict=True):
                assert one.tobytes() == other.tobytes()
