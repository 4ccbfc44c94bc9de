"""relevance_map, against gradients of the weights in plain NumPy and the paper's rules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heedful.explain import attention_map, relevance_map, watch
from heedful.layers import (
    AttentionPooling,
    BertEncoder,
    Dropout,
    GlobalAveragePooling,
    Layer,
    Linear,
    MultiHeadAttention,
    Sequential,
    Transformer,
)

L, E, H, CLASSES = 5, 6, 3, 4
D = E // H


@pytest.fixture
def model() -> Sequential:
    """One attention, the mean over the positions, and scores of classes."""
    return Sequential(
        MultiHeadAttention(E, H, dropout=0.5, rng=0, dtype=np.float64),
        Dropout(0.5),
        GlobalAveragePooling(),
        Linear(E, CLASSES, rng=1, dtype=np.float64),
    )


def by_hand(model: Sequential, x: Any, dscores: Any) -> Any:
    """R of one example (L, E), by loops: I + mean over heads of max(weights · gradient, 0)."""
    state = model.state_dict()
    q, k, v = (
        x @ state["0.in_proj_weight"][E * n : E * (n + 1)].T
        + state["0.in_proj_bias"][E * n : E * (n + 1)]
        for n in range(3)
    )
    doutput = dscores @ state["3.weight"] / L  # of each position, the mean's
    found = np.eye(L)
    for h in range(H):
        part = slice(D * h, D * (h + 1))
        scores = q[:, part] @ k[:, part].T / np.sqrt(D)
        weights = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
        dhead = doutput @ state["0.out_proj.weight"][:, part]
        for i in range(L):
            for j in range(L):
                found[i, j] += max(weights[i, j] * (dhead @ v[j, part]), 0) / H
    return found


@pytest.mark.parametrize("target", [None, 2, -1, (1,), np.array([0.5, 0.0, -2.0, 1.0])])
def test_relevance_of_a_model_is_that_of_its_gradients(
    model: Sequential, rng: np.random.Generator, target: Any
) -> None:
    x = rng.standard_normal((3, L, E))
    if target is None:
        dscores = np.eye(CLASSES)[model(x)[1].argmax()]
    else:
        dscores = target if isinstance(target, np.ndarray) else np.eye(CLASSES)[target].reshape(-1)
    found = relevance_map(model, x, target, item=1, tokens=list("abcde"))
    np.testing.assert_allclose(found["relevance"].weights[0], by_hand(model, x[1], dscores))
    assert found[0].key_tokens == tuple("abcde")
    assert not model.grads or not any(grad.any() for grad in model.grads.values())


def test_a_decoder_s_relevance_follows_the_rules_for_two_sequences() -> None:
    model = Transformer(11, 13, 8, 2, num_layers=2, dff=16, rate=0.0, rng=0, dtype=np.float64)
    source, target = np.array([[1, 5, 3, 7]]), np.array([[2, 4, 6]])
    found = relevance_map(model, (source, target), (2, 9), tokens=(list("abcd"), list("xyz")))

    with watch(model, gradients=True) as seen:
        y, backward = model.forward(source, target)
        dy = np.zeros_like(y)
        dy[0, 2, 9] = 1
        backward(dy)
    a = [np.maximum(call.weights * call.gradient, 0)[0].mean(0) for call in seen.calls]
    ss, tt, ts = np.eye(4), np.eye(3), np.zeros((3, 4))
    for one in a[:2]:
        ss = ss + one @ ss

    def normalized(r: Any) -> Any:
        others = r - np.eye(len(r))
        total = others.sum(1, keepdims=True)
        return np.divide(others, total, out=np.zeros_like(r), where=total > 0) + np.eye(len(r))

    for within, across in (a[2:4], a[4:6]):
        ts, tt = ts + within @ ts, tt + within @ tt
        ts = ts + normalized(tt).T @ across @ normalized(ss)
    for name, expected in (("source/source", ss), ("target/target", tt), ("target/source", ts)):
        np.testing.assert_allclose(found[name].weights[0], expected, atol=1e-12)
    assert found["target/source"].weights.any()
    assert found["target/source"].query_tokens == ("x", "y", "z")
    assert found["target/source"].key_tokens == ("a", "b", "c", "d")


def classifier() -> Sequential:
    return Sequential(
        BertEncoder(50, 8, 2, 2, 16, max_length=16, rng=0, dtype=np.float64),
        GlobalAveragePooling(), Linear(8, 3, rng=0, dtype=np.float64),
    )  # fmt: skip


def test_padding_is_left_out() -> None:
    bert = classifier()[0]
    padded = {"tokens": [[5, 6, 7, 0], [1, 2, 3, 4]], "lengths": [3, 4]}
    found = relevance_map(bert, padded, (0, 3), tokens=["a", "b", "c"])
    expected = relevance_map(bert, [[5, 6, 7]], (0, 3))
    np.testing.assert_allclose(found[0].weights, expected[0].weights, rtol=1e-9)


def test_a_frozen_model_has_the_same_relevance() -> None:
    frozen = classifier()
    frozen.freeze()
    np.testing.assert_array_equal(
        relevance_map(frozen, [[5, 6, 7]], 1)[0].weights,
        relevance_map(classifier(), {"x": [[5, 6, 7]]}, 1)[0].weights,
    )


def test_attention_to_another_sequence_is_known_without_tokens() -> None:
    model = Transformer(11, 13, 8, 2, num_layers=1, dff=16, rng=0)
    found = attention_map(model, ([[1, 5, 3]], [[2, 4, 6]]))
    assert [layer.is_within for layer in found] == [True, True, False]


def test_a_pooling_reads_the_relevant_tokens(rng: np.random.Generator) -> None:
    model = Sequential(
        MultiHeadAttention(E, H, rng=0, dtype=np.float64),
        AttentionPooling(E, rng=0, dtype=np.float64),
    )
    found = relevance_map(model, rng.standard_normal((1, L, E)), 0)
    assert found["1/source"].weights.shape == (1, 1, L)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (4, r"target must be an index of a result of shape \(4,\): got 4"),
        ((0, 1), r"target must be an index of a result of shape \(4,\): got \(0, 1\)"),
        ((0.5,), r"target must be an index of integers: got \(0.5,\)"),
        (np.ones(3), r"target must be an index, or weights of shape \(4,\): got shape \(3,\)"),
        ("cat", r"target must hold real numbers"),
    ],
)
def test_a_target_that_is_not_there_is_named(
    model: Sequential, rng: np.random.Generator, target: Any, message: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        relevance_map(model, rng.standard_normal((1, L, E)), target)


def test_what_is_no_model_is_refused(rng: np.random.Generator) -> None:
    class Two(Layer):
        def __init__(self) -> None:
            super().__init__()
            self.attention = MultiHeadAttention(E, H, rng=0)

        def compute(self, mode: Any, x: Any) -> Any:
            y, backward = self.attention.compute(mode, x)
            return (y, y), lambda dy: backward(dy[0])

    with pytest.raises(TypeError, match=r"^model must return one array with an entry for each"):
        relevance_map(Two(), rng.standard_normal((1, L, E)), 0)
    with pytest.raises(TypeError, match=r"^model must be a layer"):
        relevance_map(3, rng.standard_normal((1, L, E)), 0)
