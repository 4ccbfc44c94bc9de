"""attention_prior: its divergence and gradients against differences, and what it teaches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from heedful import layers as L
from heedful.explain import attention_prior, guide, watch
from heedful.training import Adam

pytestmark = pytest.mark.once
Array = NDArray[Any]
F64: dict[str, Any] = {"dtype": np.float64, "rng": 3}
DRAW = np.random.default_rng(1)
X, DY = DRAW.standard_normal((2, 2, 5, 8))
TARGET = DRAW.random((2, 1, 5, 5))
TARGET[1, 0, 2] = 0  # a query without a target
INSIDE = np.array([False, True, False, True, True])


def multi_head() -> L.MultiHeadAttention:
    return L.MultiHeadAttention(8, 4, num_kv_heads=2, rotary=True, softcap=3.0, **F64)


def pooling() -> L.AttentionPooling:
    return L.AttentionPooling(8, 6, num_queries=2, **F64)


def divergence(weights: Array, target: Array | None, inside: Array | None) -> float:
    """In plain loops over items, heads and queries."""
    items, heads, queries, keys = weights.shape
    total = 0.0
    for item in range(items):
        for head in range(heads):
            for query in range(queries):
                p = weights[item, head, query]
                t = np.zeros(keys)
                if target is not None:
                    t = np.broadcast_to(target, weights.shape)[item, head, query]
                if t.any():
                    t = t / t.sum()
                    total += sum(a * np.log(a / b) for a, b in zip(t, p, strict=True) if a)
                elif inside is not None:
                    total -= np.log(p[inside].sum())
    return total / (items * heads * queries)


@pytest.mark.parametrize("make", [multi_head, pooling])
@pytest.mark.parametrize("given", ["target", "inside", "both"])
def test_gradients_are_those_of_the_loss_and_the_divergence(make: Any, given: str) -> None:
    model: Any = make()
    pools = isinstance(model, L.AttentionPooling)
    target: Any = None if given == "inside" else TARGET[:, :, :2] if pools else TARGET
    inside: Any = None if given == "target" else INSIDE
    dy = DY[:, :2] if pools else DY
    weight = 0.7

    def loss(x: Array) -> float:
        y, weights = model(x, return_weights=True)
        if pools:
            weights = weights[:, None]
        return float((dy * y).sum()) + weight * divergence(weights, target, inside)

    with attention_prior(model, target, inside=inside, weight=weight) as prior:
        _, backward = model.forward(X)
    dx = backward(dy)
    _, weights = model(X, return_weights=True)
    expected = divergence(weights[:, None] if pools else weights, target, inside)
    assert prior.divergence[""] == pytest.approx(expected)
    for index in [(0, 1, 2), (1, 4, 7), (1, 2, 0)]:
        step = np.zeros_like(X)
        step[index] = 1e-6
        assert dx[index] == pytest.approx((loss(X + step) - loss(X - step)) / 2e-6, rel=1e-5)
    for name, array in model.parameters().items():
        index = tuple(size // 2 for size in array.shape)
        before, values = array[index], []
        for step in (1e-6, -1e-6):
            array[index] = before + step
            values.append(loss(X))
        array[index] = before
        slope = (values[0] - values[1]) / 2e-6
        assert model.grads[name][index] == pytest.approx(slope, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("make", [multi_head, pooling])
@pytest.mark.parametrize("with_target", [False, True])
def test_a_region_is_preferred_to_the_keys_that_it_competes_with(
    make: Any, with_target: bool
) -> None:
    """−log of its share among them, for queries that have both, against differences."""
    model: Any = make()
    pools = isinstance(model, L.AttentionPooling)
    queries = 2 if pools else 5
    dy = DY[:, :queries]
    inside, among = np.zeros((2, 2, 1, queries, 5), np.bool_)
    inside[0, :, 0, [0, 1, 3]] = inside[1, :, 1, 4] = True  # key 0 does not compete: no region
    among[0, :, 0, [1, 2, 3]] = among[0, :, 1, [0, 2]] = True  # of row 1 nothing is preferred
    target = np.zeros((1, 1, queries, 5))
    target[..., 0, 2] = with_target  # holds instead of the first row's region

    def loss(x: Array) -> tuple[float, float]:
        y, weights = model(x, return_weights=True)
        weights = weights[:, None] if pools else weights
        heads = weights.shape[1]
        share = weights[0, :, 0, [1, 3]].sum(0) / weights[0, :, 0, [1, 2, 3]].sum(0)
        total = -np.log(share).sum() - np.log(weights[1, :, 1, 4]).sum()
        if with_target:
            total += np.log(share).sum() - np.log(weights[:, :, 0, 2]).sum()
        found = total / (2 * heads * queries)
        return float((dy * y).sum()) + 0.7 * found, found

    given = target if with_target else None
    with attention_prior(model, given, inside=inside, among=among, weight=0.7) as prior:
        _, backward = model.forward(X)
    dx = backward(dy)
    assert prior.divergence[""] == pytest.approx(loss(X)[1])
    for index in [(0, 1, 2), (0, 4, 5), (1, 4, 7), (1, 2, 0)]:
        step = np.zeros_like(X)
        step[index] = 1e-6
        difference = (loss(X + step)[0] - loss(X - step)[0]) / 2e-6
        assert dx[index] == pytest.approx(difference, rel=1e-5, abs=1e-9)


def test_heads_without_it_and_inference_are_as_before() -> None:
    model = multi_head()
    expected = model(X)
    with attention_prior(model, inside=INSIDE) as prior:
        np.testing.assert_array_equal(model(X), expected)
    assert prior.divergence == {}
    with attention_prior(model, inside=INSIDE, heads=[1]) as prior:
        model.forward(X)[1](DY)
    _, weights = model(X, return_weights=True)
    of_one = -np.log(weights[:, 1, :, INSIDE].sum(0)).mean()
    assert prior.divergence[""] == pytest.approx(of_one / 4)  # the mean over all four heads


def test_it_holds_for_steered_weights() -> None:
    model = multi_head()
    with guide(5, attract=1, strength=2).steer(model):
        _, weights = model(X, return_weights=True)
        with attention_prior(model, inside=INSIDE) as prior:
            model.forward(X)[1](DY)
    assert prior.divergence[""] == pytest.approx(divergence(weights, None, INSIDE))


def test_training_moves_attention_inside() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 6, 8)).astype(np.float32)
    x[:, 2, 0] += 3
    region, shares = np.arange(6) == 2, []
    for weight in (0.0, 1.0):
        model = L.Sequential(L.AttentionPooling(8, rng=0), L.Linear(8, 1, rng=0))
        model.compile(Adam(lr=0.05), "mse")
        with attention_prior(model, inside=region, weight=weight), watch(model, "0") as seen:
            model.fit(x, x[:, 4, 1:2], epochs=25, batch_size=16, verbose=False, rng=0)
            model(x)
        shares.append(seen["0"][..., region].mean())
    assert shares[1] > 0.55
    assert shares[1] > shares[0] + 0.3


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "target or inside must be given: got neither"),
        ({"target": [1.0, -1, 0, 0, 0]}, ValueError, "target must be finite and not negative"),
        ({"inside": [1, 0, 0, 0, 0]}, TypeError, "inside must be boolean"),
        ({"target": np.ones((2, 5, 5))}, ValueError, r"target must be \(Lk,\), \(Lq, Lk\) or"),
        ({"inside": INSIDE, "weight": -1}, ValueError, "weight must not be negative: got -1"),
        ({"inside": INSIDE, "where": "layers"}, ValueError, "where must match attention layers"),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_said(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        attention_prior(multi_head(), **arguments)


@pytest.mark.parametrize("options", [{"sink": True}, {"top_k": 2}, {"normalizer": "sparsemax"}])
def test_weights_that_are_no_softmax_are_refused_before_they_are_computed(
    options: dict[str, Any],
) -> None:
    model = L.MultiHeadAttention(8, 2, **options, **F64)
    with (
        attention_prior(model, inside=INSIDE),
        pytest.raises(ValueError, match=f"where must be layers .* '' has {next(iter(options))}"),
    ):
        model.forward(X)
    model = multi_head()
    with (
        attention_prior(model, inside=INSIDE[:4]),
        pytest.raises(ValueError, match="inside must broadcast to the scores"),
    ):
        model.forward(X)
