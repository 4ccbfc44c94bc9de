"""Parameters' gradients over very many rows: a few units in the last place, also of equal numbers,
whose errors all have one sign."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from heedful.layers import Embedding, Layer, LayerNorm, Linear, RMSNorm

Array = NDArray[Any]
ROWS, WIDTH = 300_007, 7


def rows(rng: np.random.Generator, kind: str) -> Array:
    if kind == "equal":
        return np.full((ROWS, WIDTH), 0.1, np.float32)
    return rng.random((ROWS, WIDTH), dtype=np.float32)


def gradients(layer: Layer, x: Array, dy: Array) -> dict[str, Array]:
    _, backward = layer.forward(x)
    layer.zero_grad()
    backward(dy)
    return layer.grads


def assert_close(found: Array, exact: Array) -> None:
    np.testing.assert_allclose(found, exact, rtol=4e-6)


@pytest.mark.parametrize("kind", ["equal", "positive"])
def test_a_dense_layer(kind: str, rng: np.random.Generator) -> None:
    x, dy = rng.random((ROWS, 5), dtype=np.float32), rows(rng, kind)
    found = gradients(Linear(5, WIDTH, rng=0), x, dy)
    assert_close(found["weight"], dy.T.astype(np.float64) @ x)
    assert_close(found["bias"], dy.sum(0, dtype=np.float64))


@pytest.mark.parametrize("kind", ["equal", "positive"])
def test_a_dense_layer_whose_weight_is_frozen(kind: str, rng: np.random.Generator) -> None:
    x, dy = rng.random((ROWS, 5), dtype=np.float32), rows(rng, kind)
    layer = Linear(5, WIDTH, rng=0)
    layer.freeze("weight")
    assert_close(gradients(layer, x, dy)["bias"], dy.sum(0, dtype=np.float64))


@pytest.mark.parametrize("norm", [LayerNorm, RMSNorm])
@pytest.mark.parametrize("kind", ["equal", "positive"])
def test_norms(norm: Any, kind: str, rng: np.random.Generator) -> None:
    x = np.tile(
        np.arange(WIDTH, dtype=np.float32), (ROWS, 1)
    )  # units of both signs, all rows alike
    dy, layer = rows(rng, kind), norm(WIDTH)
    y = layer(x[:1].astype(np.float64))  # weight 1, bias 0
    found = gradients(layer, x, dy)
    total = dy.sum(0, dtype=np.float64)
    np.testing.assert_allclose(found["weight"], total * y[0], rtol=4e-6, atol=1e-2)
    if "bias" in found:
        assert_close(found["bias"], total)


@pytest.mark.parametrize("kind", ["equal", "positive"])
def test_embeddings_with_one_frequent_token(kind: str, rng: np.random.Generator) -> None:
    ids, dy = rng.integers(0, 11, ROWS), rows(rng, kind)
    ids[: ROWS // 2] = 3
    found = gradients(Embedding(13, WIDTH, rng=0), ids, dy)["weight"]
    exact = np.zeros((13, WIDTH))
    np.add.at(exact, ids, dy.astype(np.float64))
    assert_close(found, exact)
    ignoring = gradients(Embedding(13, WIDTH, padding_idx=3, rng=0), ids, dy)["weight"]
    exact[3] = 0
    assert_close(ignoring, exact)
