"""Relevance by weights and gradients, against the equations of the paper written as loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heedful.explain import AttentionMap, relevance

pytestmark = pytest.mark.once

H = 2


def layer(rng: np.random.Generator, queries: int, keys: int) -> tuple[Any, Any]:
    """Weights and gradients."""
    return rng.dirichlet(np.ones(keys), (H, queries)), rng.standard_normal((H, queries, keys))


def positive(weights: Any, gradients: Any) -> Any:
    """Equation 5."""
    found = np.zeros(weights.shape[1:])
    for i in range(found.shape[0]):
        for j in range(found.shape[1]):
            for h in range(H):
                found[i, j] += max(weights[h, i, j] * gradients[h, i, j], 0) / H
    return found


def product(a: Any, b: Any) -> Any:
    return np.array(
        [[sum(a[i, k] * b[k, j] for k in range(len(b))) for j in range(b.shape[1])]
         for i in range(len(a))]
    )  # fmt: skip


def normalized(r: Any) -> Any:
    """Equations 8 and 9."""
    found = r.copy()
    for i in range(len(r)):
        found[i, i] -= 1
        total = sum(found[i])
        if total:
            found[i] /= total
        found[i, i] += 1
    return found


def test_self_attention_accumulates_over_the_layers(rng: np.random.Generator) -> None:
    """Equation 6."""
    layers = [layer(rng, 5, 5) for _ in range(3)]
    r = np.eye(5)
    for weights, gradients in layers:
        r = r + product(positive(weights, gradients), r)
    weights, gradients = map(np.stack, zip(*layers, strict=True))
    found = relevance(AttentionMap.from_numpy(weights, list("abcde")), gradients)
    np.testing.assert_allclose(found["relevance"].weights[0], r, rtol=1e-12)
    assert found[0].key_tokens == tuple("abcde")
    as_maps = relevance(weights, AttentionMap.from_numpy(gradients))
    np.testing.assert_array_equal(as_maps[0].weights, found[0].weights)


def test_a_decoder_reads_what_is_relevant_to_the_encoder(rng: np.random.Generator) -> None:
    """Equations 6, 7 and 10, as in a model with encoder and decoder."""
    source, target = 5, 3
    sizes = [(source, source)] * 2 + [(target, target), (target, source)] * 2
    names = {source: "source", target: "target"}
    layers = [layer(rng, *size) for size in sizes]
    a = [positive(*one) for one in layers]
    ss, tt, ts = np.eye(source), np.eye(target), np.zeros((target, source))
    for one in a[:2]:
        ss = ss + product(one, ss)
    for within, across in (a[2:4], a[4:6]):
        ts, tt = ts + product(within, ts), tt + product(within, tt)
        ts = ts + product(product(normalized(tt).T, across), normalized(ss))
    found = relevance(
        [weights for weights, _ in layers], [gradients for _, gradients in layers],
        sequences=[(names[q], names[k]) for q, k in sizes],
    )  # fmt: skip
    assert set(found.names) == {"source/source", "target/target", "target/source", "source/target"}
    for name, expected in (("source/source", ss), ("target/target", tt), ("target/source", ts)):
        np.testing.assert_allclose(found[name].weights[0], expected, rtol=1e-12)
    assert not found["source/target"].weights.any()


def test_co_attention_reads_both_ways_at_once(rng: np.random.Generator) -> None:
    """Equations 6, 7, 10 and 11."""
    s, q = 4, 3
    sizes = [(s, s), (q, q), (s, q), (q, s), (s, s), (q, q)]
    layers = [layer(rng, *size) for size in sizes]
    a = [positive(*one) for one in layers]
    ss, qq, sq, qs = np.eye(s), np.eye(q), np.zeros((s, q)), np.zeros((q, s))
    ss, sq = ss + product(a[0], ss), sq + product(a[0], sq)
    qq, qs = qq + product(a[1], qq), qs + product(a[1], qs)
    sq, qs, ss, qq = (
        sq + product(product(normalized(ss).T, a[2]), normalized(qq)),
        qs + product(product(normalized(qq).T, a[3]), normalized(ss)),
        ss + product(a[2], qs),
        qq + product(a[3], sq),
    )
    ss, sq = ss + product(a[4], ss), sq + product(a[4], sq)
    qq, qs = qq + product(a[5], qq), qs + product(a[5], qs)
    names = {s: "image", q: "text"}
    found = relevance(
        [weights for weights, _ in layers], [gradients for _, gradients in layers],
        sequences=[(names[i], names[j]) for i, j in sizes],
    )  # fmt: skip
    for name, expected in (
        ("image/image", ss), ("image/text", sq), ("text/image", qs), ("text/text", qq)
    ):  # fmt: skip
        np.testing.assert_allclose(found[name].weights[0], expected, rtol=1e-12)


def test_what_does_not_fit_is_named(rng: np.random.Generator) -> None:
    weights, gradients = (array[None] for array in layer(rng, 4, 4))
    across = [array[:, :, :3] for array in (weights[0], gradients[0])]
    for arguments, options, message in (
        ((weights, gradients[:, :1]), {},
         r"gradients must be of the shapes of weights, \(2, 4, 4\): got \(1, 4, 4\)"),
        ((weights, gradients), {"sequences": []}, "sequences must have one pair for each of 1"),
        ((weights, gradients), {"sequences": ["ab"]}, "sequences must be pairs of names such as"),
        (([across[0]], [across[1]]), {}, "weights must be of all queries and keys of one sequence"),
        (([weights[0], weights[0][:, :3, :3]], [gradients[0], gradients[0][:, :3, :3]]), {},
         "weights must be of all 4 positions of sequence '': got 3 in layer '1'"),
        ((-weights, gradients), {}, "weights must not be negative"),
        (([weights[0, 0]], gradients), {}, r"weights must be \(head, query, key\) for each layer"),
    ):  # fmt: skip
        with pytest.raises((TypeError, ValueError), match=f"^{message}"):
            relevance(*arguments, **options)
