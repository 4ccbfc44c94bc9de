"""Weights times the norms of projected values, against loops over heads, queries and keys."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heedful.explain import attention_map, norm_map, norm_weighted
from heedful.layers import FeatureAttention, MultiHeadAttention, Sequential

H, LQ, LK, D, E = 4, 3, 5, 2, 7


@pytest.mark.parametrize("kv_heads", [4, 2])
def test_norms_are_those_of_single_vectors(rng: np.random.Generator, kv_heads: int) -> None:
    weights = rng.dirichlet(np.ones(LK), (H, LQ))
    value = rng.standard_normal((kv_heads, LK, D))
    projection = rng.standard_normal((E, H * D))
    found = norm_weighted(weights, value, projection)
    summed = norm_weighted(weights, value, projection, sum_heads=True)
    for i in range(LQ):
        for j in range(LK):
            total = np.zeros(E)
            for h in range(H):
                v = value[h * kv_heads // H, j]
                vector = weights[h, i, j] * (projection[:, h * D : (h + 1) * D] @ v)
                np.testing.assert_allclose(found[h, i, j], np.sqrt((vector**2).sum()))
                total += vector
            np.testing.assert_allclose(summed[i, j], np.sqrt((total**2).sum()))


def test_the_vectors_of_a_layer_sum_to_its_output(rng: np.random.Generator) -> None:
    """With one key, whose weight is 1, the norm is that of the output without its bias."""
    layer = MultiHeadAttention(6, 3, rng=0, dtype=np.float64)
    x = rng.standard_normal((1, 1, 6))
    y, weights = layer(x, return_weights=True)
    value = x[0] @ layer.in_proj_weight[12:].T + layer.in_proj_bias[12:]
    found = norm_weighted(
        weights[0], value.reshape(1, 3, 2).swapaxes(0, 1), layer.out_proj.weight, sum_heads=True
    )
    np.testing.assert_allclose(found[0, 0], np.linalg.norm(y[0, 0] - layer.out_proj.bias))


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((LQ, LK), (H, LK, D), (E, H * D)), r"weights must be \(H, Lq, Lk\), 3 axes"),
        (((H, LQ, LK), (H, LK + 1, D), (E, H * D)), r"value must be \(Hkv, 5, Dv\) with Hkv a"),
        (((H, LQ, LK), (3, LK, D), (E, H * D)), r"value must be .* a divisor of 4: got shape"),
        (
            ((H, LQ, LK), (H, LK, D), (E, D)),
            r"out_proj_weight must be \(E, 8\): got shape \(7, 2\)",
        ),
    ],
)
def test_shapes_that_do_not_fit_are_named(shapes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        norm_weighted(*map(np.ones, shapes))


@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("kv_heads", [4, 2])
def test_a_map_of_norms_is_that_of_each_layer(
    rng: np.random.Generator, kv_heads: int, int8: bool
) -> None:
    options: Any = {"rng": 0, "dtype": np.float32, "num_kv_heads": kv_heads}
    model = Sequential(*(MultiHeadAttention(8, 4, **options) for _ in range(2)))
    if int8:
        model.quantize()
    x = rng.standard_normal((3, 5, 8), np.float32)
    found = norm_map(model, x, item=2)
    summed = norm_map(model, x, item=2, sum_heads=True, layers="1")
    weights = attention_map(model, x, item=2)
    inputs = x[2], model[0](x)[2]
    for number, layer in enumerate(weights):
        state = model.state_dict()

        def dense(name: str, state: Any = state, number: int = number) -> Any:
            weight = state[f"{number}.{name}"].astype(np.float64)
            return weight * state[f"{number}.{name}_scale"][:, None] if int8 else weight

        width = 2 * kv_heads
        value = inputs[number] @ dense("in_proj_weight")[-width:].T
        value = (value + state[f"{number}.in_proj_bias"][-width:]).reshape(5, kv_heads, 2)
        arguments = layer.weights, value.swapaxes(0, 1), dense("out_proj.weight")
        expected = norm_weighted(*arguments)
        np.testing.assert_allclose(found[number].weights, expected, atol=2e-2 if int8 else 1e-5)
        assert found[number].heads == layer.heads
        if number == 1:
            expected = norm_weighted(*arguments, sum_heads=True)
            np.testing.assert_allclose(summed[0].weights[0], expected, atol=2e-2 if int8 else 1e-5)


def test_a_model_without_values_has_no_norms() -> None:
    with pytest.raises(ValueError, match=r"^model must have attention layers with scores"):
        norm_map(FeatureAttention(4, rng=0), np.ones((2, 4)))
