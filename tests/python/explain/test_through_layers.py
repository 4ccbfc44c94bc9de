"""rollout and flow, against plain loops and networkx's maximum flow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heedful.explain import AttentionMap, flow, rollout

pytestmark = pytest.mark.once

L, TOKENS = 5, ["a", "b", "c", "b", "e"]


@pytest.fixture
def weights(rng: np.random.Generator) -> Any:
    found = rng.dirichlet(np.full(L, 0.5), (3, 2, L))  # layer, head, query, key
    found[1, :, 2] = 0  # a query that attends to nothing
    return found


def mixed(weights: Any, residual: float, heads: str) -> Any:
    """By loops over every element."""
    mix = np.zeros((len(weights), L, L))
    over = {"mean": lambda values: sum(values) / len(values), "max": max, "min": min}[heads]
    for layer in range(len(weights)):
        for i in range(L):
            for j in range(L):
                of_heads = [float(head[i, j]) for head in weights[layer]]
                mix[layer, i, j] = (1 - residual) * over(of_heads) + residual * (i == j)
            total = sum(mix[layer, i])
            if total > 0:
                mix[layer, i] /= total
    return mix


@pytest.mark.parametrize("heads", ["mean", "max", "min"])
@pytest.mark.parametrize("residual", [0.0, 0.5, 0.8])
def test_rollout_is_a_product_over_all_paths(weights: Any, residual: float, heads: str) -> None:
    mix = mixed(weights, residual, heads)
    found = rollout(AttentionMap.from_numpy(weights, TOKENS), residual=residual, heads=heads)
    for i in range(L):
        for j in range(L):
            first = mix[0, i, j]
            second = sum(mix[1, i, k] * mix[0, k, j] for k in range(L))
            third = sum(
                mix[2, i, m] * mix[1, m, k] * mix[0, k, j] for m in range(L) for k in range(L)
            )
            got = [layer.weights[0, i, j] for layer in found]
            np.testing.assert_allclose(got, [first, second, third], rtol=1e-12, atol=1e-15)
    assert found[0].heads == ()
    assert found[-1].key_tokens == tuple(TOKENS)


@pytest.mark.parametrize("residual", [0.0, 0.5])
def test_flow_is_the_maximum_flow_of_networkx(weights: Any, residual: float) -> None:
    networkx = pytest.importorskip("networkx")
    mix = mixed(weights, residual, "mean")
    graph = networkx.DiGraph()
    for layer in range(3):
        for i in range(L):
            for j in range(L):
                graph.add_edge((layer + 1, i), (layer, j), capacity=mix[layer, i, j])
    expected = np.array(
        [[networkx.maximum_flow_value(graph, (3, i), (0, j)) for j in range(L)] for i in range(L)]
    )
    expected /= expected.sum(1, keepdims=True)
    found = flow(AttentionMap.from_numpy(weights, TOKENS), residual=residual)[0]
    np.testing.assert_allclose(found.weights[0], expected, atol=L * 1e-8)
    some = flow(AttentionMap.from_numpy(weights, TOKENS), residual=residual, queries=["b", 0])[0]
    assert (some.rows, some.query_tokens) == ((1, 3, 0), ("b", "b", "a"))
    np.testing.assert_array_equal(some.weights[0], found.weights[0, [1, 3, 0]])


def test_nothing_flows_from_a_token_without_attention() -> None:
    weights = np.zeros((2, 1, 3, 3))
    assert not flow(weights, residual=0)[0].weights.any()
    assert not rollout(weights, residual=0)[-1].weights.any()


@pytest.mark.parametrize("function", [rollout, flow])
def test_what_is_no_self_attention_of_one_sequence_is_refused(
    function: Any, weights: Any, rng: np.random.Generator
) -> None:
    whole = AttentionMap.from_numpy(weights)
    shorter = AttentionMap.from_numpy(weights[:, :, :3, :3])
    for given, message in (
        (whole.select(queries=0), "weights must be of all queries and keys of one sequence: got 1"),
        (whole.select(queries=[1, 0, 2, 3, 4]), "weights must be of all queries and keys"),
        (
            rng.random((2, 2, 3, 4)),
            "weights must be of all queries and keys of one sequence: got 3",
        ),
        (
            AttentionMap([whole[0]._replace(is_self=False)]),
            "weights must be .* got 5 queries and 5 keys of another sequence in layer '0'",
        ),
        (AttentionMap([*whole, *shorter]), "layers must be of one sequence, choose some"),
        (-weights, "weights must not be negative: got -"),
        (weights * np.nan, "weights must not be negative: got nan in layer '0'"),
        (AttentionMap([]), "weights must be those of at least one layer: got none"),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            function(given)
    with pytest.raises(ValueError, match=r"^residual must lie between 0 and 1: got 2"):
        function(weights, residual=2)
    with pytest.raises(ValueError, match=r"^heads must be 'mean' or 'max' or 'min': got 'all'"):
        function(weights, heads="all")
