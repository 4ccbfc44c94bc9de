"""GatedFeedForward beside its equation, in widths around those of vectors and chunks."""

from __future__ import annotations

import causal_reference
import numpy as np
import pytest

from heedful.layers import GatedFeedForward


@pytest.mark.parametrize("activation", ["silu", "gelu", "gelu_tanh"])
@pytest.mark.parametrize("dff", [1, 7, 8, 1023, 1025, 3001])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_result_is_that_of_the_equation(
    activation: str, dff: int, dtype: type, rng: np.random.Generator
) -> None:
    layer = GatedFeedForward(5, dff, activation=activation, bias=True, dtype=dtype, rng=0)
    x, residual = rng.standard_normal((2, 3, 11, 5)).astype(dtype)
    state = {name: array.astype(np.float64) for name, array in layer.parameters().items()}
    expected = causal_reference.gated(state, x.astype(np.float64), activation) + residual
    scale = 1e-6 if dtype == np.float32 else 1e-14
    np.testing.assert_allclose(
        layer(x, residual), expected, rtol=0, atol=scale * max(1, np.abs(expected).max()) * 3
    )


def test_an_activation_of_none_multiplies_the_products(rng: np.random.Generator) -> None:
    layer = GatedFeedForward(5, 9, activation="linear", dtype=np.float64, rng=0)
    x = rng.standard_normal((4, 5))
    gate, through = np.split(x @ layer.linear1.weight.T, 2, -1)
    np.testing.assert_allclose(layer(x), (gate * through) @ layer.linear2.weight.T, atol=1e-14)
