"""Statistics of AttentionMonitor against dense weights."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from heedful import layers as L
from heedful.training import AttentionMonitor
from heedful.training.callbacks import _attention_statistics
from heedful.training.callbacks._attention_statistics import attention_statistics

Array = NDArray[Any]

RNG = np.random.default_rng(8)
X = RNG.standard_normal((4, 11, 8))


def attention(**options: Any) -> L.MultiHeadAttention:
    layer = L.MultiHeadAttention(8, 2, dtype=np.float64, rng=0, **options)
    layer.in_proj_weight *= 2
    return layer


def dense(layer: L.MultiHeadAttention, inputs: tuple[Array, ...], **options: Any) -> dict[str, Any]:
    """By plain loops over all weights."""
    _, weights = layer(*inputs, return_weights=True, **options)
    found: dict[str, list[Any]] = {
        name: [] for name in ("entropy", "equal", "largest", "first", "itself")
    }
    for head in range(2):
        rows = [
            (i, row) for item in weights for i, row in enumerate(item[head]) if row.any()
        ]  # fmt: skip
        found["entropy"].append(np.mean([-sum(w * np.log(w) for w in row if w) for _, row in rows]))
        found["equal"].append(np.mean([np.log((row > 0).sum()) for _, row in rows]))
        found["largest"].append(np.mean([row.max() for _, row in rows]))
        found["first"].append(np.mean([row[0] for _, row in rows]))
        found["itself"].append(np.mean([row[i] for i, row in rows if i < len(row)]))
    return {name: np.array(values) for name, values in found.items()}


def recorded(layer: L.MultiHeadAttention, inputs: Any, **options: Any) -> dict[str, Array]:
    monitor = AttentionMonitor(max_queries=10**6, min_evenness=0)
    monitor.record(layer, *inputs, **options)
    return {name: rows[0] for name, rows in monitor.history[""].items()}


CASES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"causal": True, "rotary": True, "qk_norm": "rms"}, {}),
    ({"num_kv_heads": 1, "alibi": True}, {"align": "upper_left", "window": (3, 1)}),
    ({"sink": True, "softcap": 3.0}, {"kv_lengths": [11, 7, 1, 0]}),
    ({"causal": True}, {"q_lengths": [5, 11, 0, 2], "kv_lengths": [5, 11, 0, 2],
                        "align": "lower_right"}),
    ({}, {"mask": RNG.random((4, 1, 11, 11)) < 0.5, "bias": RNG.standard_normal((11, 11))}),
]  # fmt: skip


@pytest.mark.parametrize(("made", "options"), CASES, ids=str)
@pytest.mark.parametrize("piece", [1 << 20, 300])
def test_statistics_are_those_of_the_dense_weights(
    made: dict[str, Any], options: dict[str, Any], piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_attention_statistics, "_PIECE", piece)
    layer = attention(**made)
    exact, found = dense(layer, (X,), **options), recorded(layer, (X,), **options)
    np.testing.assert_allclose(found["entropy"], exact["entropy"], rtol=1e-10)
    np.testing.assert_allclose(found["evenness"], exact["entropy"] / exact["equal"], rtol=1e-10)
    np.testing.assert_allclose(found["largest_weight"], exact["largest"], rtol=1e-10)
    np.testing.assert_allclose(found["first_token"], exact["first"], rtol=1e-10)
    np.testing.assert_allclose(found["itself"], exact["itself"], rtol=1e-10)


def test_the_largest_score_is_that_before_the_softmax() -> None:
    layer = attention(causal=True)
    q, k = (X @ layer.in_proj_weight[part : part + 8].T for part in (0, 8))
    for head in range(2):
        of_head = slice(4 * head, 4 * head + 4)
        score = q[..., of_head] @ k[..., of_head].swapaxes(1, 2) / 2
        exact = score[:, np.tri(11, dtype=bool)].max()
        np.testing.assert_allclose(recorded(layer, (X,))["largest_score"][head], exact)


def test_kept_keys_alone_have_weight_with_top_k() -> None:
    layer = attention(top_k=3)
    exact, found = dense(layer, (X,)), recorded(layer, (X,))
    np.testing.assert_allclose(found["entropy"], exact["entropy"], rtol=1e-10)
    np.testing.assert_allclose(found["largest_weight"], exact["largest"], rtol=1e-10)


@pytest.mark.parametrize("sink", [False, True])
@pytest.mark.parametrize("top_k", [None, 2])
def test_weights_are_those_within_an_adaptive_span(sink: bool, top_k: int | None) -> None:
    layer = attention(adaptive_span=6, span_ramp=2.5, causal=True, sink=sink, top_k=top_k)
    layer.span[...] = [0.1, 0.7]
    if sink:
        layer.sink[...] = [0.5, 1.0]
    q, k = (X @ layer.in_proj_weight[part : part + 8].T for part in (0, 8))
    found = recorded(layer, (X,))
    distance = np.subtract.outer(np.arange(11), np.arange(11))
    for head, z in enumerate((0.6, 4.2)):
        of_head = slice(4 * head, 4 * head + 4)
        score = q[..., of_head] @ k[..., of_head].swapaxes(1, 2) / 2
        m = np.where(distance >= 0, np.clip((2.5 + z - distance) / 2.5, 0, 1), 0)
        weights = m * np.exp(score)
        if top_k is not None:  # the 2 largest
            weights[weights < np.sort(weights, -1)[..., [-top_k]]] = 0
        extra = np.exp(layer.sink[head]) if sink else 0
        weights /= weights.sum(-1, keepdims=True) + extra
        entropy = -sum(w * np.log(w) for w in weights.ravel() if w) / (4 * 11)
        np.testing.assert_allclose(found["entropy"][head], entropy)
        np.testing.assert_allclose(found["largest_weight"][head], weights.max(-1).mean())


def test_attention_to_another_sequence_has_no_itself() -> None:
    layer, memory = attention(), RNG.standard_normal((4, 6, 8))
    exact, found = dense(layer, (X, memory)), recorded(layer, (X, memory))
    np.testing.assert_allclose(found["entropy"], exact["entropy"], rtol=1e-10)
    assert np.isnan(found["itself"]).all()


def test_the_position_of_a_query_counts_what_precedes_it() -> None:
    query, key = RNG.standard_normal((2, 3, 2, 4)), RNG.standard_normal((2, 7, 2, 4))
    score = np.einsum("blhd,bmhd->bhlm", query, key) / 2
    weights = np.exp(score) / np.exp(score).sum(-1, keepdims=True)
    for align, offsets in (("lower_right", (4, 4)), (2, (2, 2)), (np.array([1, 4]), (1, 4))):
        options = {"layout": "blhd", "align": align}
        found = attention_statistics([(query, key, options, True)], 100)
        exact = np.mean([[[weights[b, h, i, i + offsets[b]] for i in range(3)] for b in range(2)]
                         for h in range(2)], (1, 2))  # fmt: skip
        np.testing.assert_allclose(found.itself, exact)


def test_some_queries_stand_for_all() -> None:
    layer, seen = attention(), []
    monitor = AttentionMonitor(max_queries=12)  # 3 of each item: the first, the middle, the last
    monitor.record(layer, X)
    _, weights = layer(X, return_weights=True)
    seen = weights[:, :, [0, 5, 10]].max(-1).mean((0, 2))
    np.testing.assert_allclose(monitor.history[""]["largest_weight"][0], seen)


def test_memory_is_linear_in_the_length() -> None:
    layer = L.MultiHeadAttention(8, 2, rng=0)
    x = RNG.standard_normal((1, 4096, 8)).astype(np.float32)  # weights: 134 MB
    monitor = AttentionMonitor(max_queries=4096)
    monitor.record(layer, x[:, :100])
    tracemalloc.start()
    monitor.record(layer, x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6


def test_an_empty_batch_has_no_statistics() -> None:
    monitor = AttentionMonitor()
    monitor.record(attention(), X[:0])
    assert all(np.isnan(rows[0]).all() for rows in monitor.history[""].values())
