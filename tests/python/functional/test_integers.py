"""Integers of any size and kind: one beyond 64 bits is used or refused, never wrapped."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import heedful
from heedful import layers as L
from heedful import training

pytestmark = pytest.mark.once

X = np.ones((2, 1, 4, 4))
F = np.ones((2, 5, 4), np.float32)
P = np.ones((7, 1, 4))
STARTS = [0, 3, 7]
TOO_LARGE = [2**63 - 1, 2**63, 2**64 - 1, 2**64, 2**70, -(2**63), -(2**63) - 1, -(2**70), 10**400]


def model() -> L.LanguageModel:
    return L.LanguageModel(9, 4, 2, 1, rng=0)


def transformer() -> L.Transformer:
    return L.Transformer(9, 9, 4, 2, 1, 13, 0.0, rng=0)


def segments() -> L.SegmentRecurrentLM:
    return L.SegmentRecurrentLM(9, 4, 2, 1, memory_length=3, rng=0)


REFUSED: dict[str, Callable[[int], Any]] = {
    "q_lengths": lambda n: heedful.attention(X, X, X, q_lengths=[4, n]),
    "kv_lengths": lambda n: heedful.attention(X[0], X[0], X[0], kv_lengths=n),
    "rows": lambda n: heedful.attention_weights(X, X, rows=n),
    "rows, several": lambda n: heedful.attention_scores(X, X, rows=[0, n]),
    "cu_seqlens_q": lambda n: heedful.attention_varlen(P, P, P, [0, n, 7], STARTS),
    "cu_seqlens_k": lambda n: heedful.attention_varlen(P, P, P, STARTS, [0, 3, n]),
    "lengths": lambda n: heedful.attention_pool(X[:, 0], np.ones(4), lengths=[n, 1]),
    "num_heads": lambda n: heedful.multi_head_attention(*(X[:, 0],) * 3, n),
    "num_kv_heads": lambda n: heedful.multi_head_attention(*(X[:, 0],) * 3, 2, num_kv_heads=n),
    "positions": lambda n: heedful.rotary_embedding(X, n),
    "positions, several": lambda n: heedful.rotary_embedding(X, [n, 0, 1, 2]),
    "rotary_dim": lambda n: heedful.rotary_embedding(X, rotary_dim=n),
    "n": lambda n: heedful.set_num_threads(n),
    "items": lambda n: cache().reorder([n]),
    "lengths of rows": lambda n: cache().append(X, X, [n, 0]),
    "first": lambda n: L.LearnedPositions(9, 4)(F, n),
    "first, several": lambda n: L.SinusoidalPositions(4)(F, np.array([n, 0], object).tolist()),
    "first of sines": lambda n: L.SinusoidalPositions(4)(F, n),
    "tokens": lambda n: model()([[1, n]]),
    "lengths of tokens": lambda n: model()([[1, 2]], lengths=[n]),
    "prompts": lambda n: model().generate([[n]], max_length=2),
    "prompts of segments": lambda n: segments().generate([[n]], max_length=2),
    "source": lambda n: transformer().generate([[1, n]], start=1, max_length=2),
    "source_lengths": lambda n: transformer().encode([[1, 2]], [n]),
    "segments": lambda n: L.BertEncoder(9, 4, 2, 1, 13, 9)([[1, 2]], segments=[0, n]),
    "target": lambda n: training.SparseCategoricalCrossEntropy()([n], np.zeros((1, 3))),
}


def cache() -> heedful.KVCache:
    found = heedful.KVCache()
    found.append(X, X)
    return found


@pytest.mark.parametrize("number", TOO_LARGE)
@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED)
def test_what_is_out_of_range_is_a_value_error(call: Callable[[int], Any], number: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises((ValueError, IndexError, TypeError)) as caught:
            call(number)
    # only where NumPy's lists of such numbers are no integers
    assert not isinstance(caught.value, TypeError) or "must be integers" in str(caught.value)


@pytest.mark.parametrize("number", [2**63, 2**64, -(2**63) - 1, 2**70, 10**400, -(10**400)])
@pytest.mark.parametrize(
    "call",
    [
        lambda n: training.SparseCategoricalCrossEntropy(ignore_index=n),
    ],
)
def test_so_is_what_64_bits_do_not_hold(call: Callable[[int], Any], number: int) -> None:
    with pytest.raises(ValueError, match="must lie within ±9223372036854775807: got"):
        call(number)


@pytest.mark.parametrize("number", [2**53 + 1, 2**62, -(2**53) - 1, 2**63 - 1])
def test_positions_that_angles_cannot_tell_apart_are_refused(number: int) -> None:
    message = r"^positions must lie within ±2\*\*53: got"
    for given in (number, np.int64(number), np.array(number), np.array([0, 1, 2, number])):
        with pytest.raises(ValueError, match=message):
            heedful.rotary_embedding(X, given)
    heedful.rotary_embedding(X, 2**53 - 4)
    heedful.rotary_embedding(X, -(2**53))


@pytest.mark.parametrize("number", [2**58, 2**63 - 1, 2**63, 2**70, 10**400])
def test_integers_of_any_size_are_accepted_where_meaningful(number: int) -> None:
    every = heedful.attention(X, X, X)
    none = np.zeros_like(X)
    calls: list[tuple[dict[str, Any], Any]] = [
        ({"window": (number, None)}, every),
        ({"window": (None, number)}, every),
        ({"window": (number, number), "align": 0}, every),
        ({"causal": True, "align": number}, every),
        ({"causal": True, "align": -number}, none),
        ({"causal": True, "align": [number, -number]}, np.concatenate([every[:1], none[:1]])),
    ]
    for options, expected in calls:
        np.testing.assert_array_equal(heedful.attention(X, X, X, **options), expected)
    assert heedful.attention_weights(X, X, rows=slice(0, number)).shape == (2, 1, 4, 4)


@pytest.mark.parametrize("name", ["float32", "float64"])
@pytest.mark.peer
def test_tensors_of_torch_are_taken_as_integers_without_a_warning(name: str) -> None:
    torch = pytest.importorskip("torch")
    x = np.ones((2, 1, 4, 4), name)
    lengths, single = torch.tensor([4, 1]), torch.tensor(2)
    starts = torch.tensor(STARTS, dtype=torch.int32)
    cache = heedful.KVCache()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for given in (lengths, list(lengths.numpy()), lengths.to(torch.int32)):
            np.testing.assert_array_equal(
                heedful.attention(x, x, x, q_lengths=given, kv_lengths=given),
                heedful.attention(x, x, x, q_lengths=[4, 1], kv_lengths=[4, 1]),
            )
        np.testing.assert_array_equal(
            heedful.attention(x, x, x, causal=True, align=lengths),
            heedful.attention(x, x, x, causal=True, align=[4, 1]),
        )
        heedful.attention(x, x, x, causal=True, align=single)
        heedful.attention(x[0], x[0], x[0], kv_lengths=single)
        heedful.attention_varlen(P, P, P, starts, starts, q_lengths=torch.tensor([3, 4]))
        heedful.attention_weights(x, x, rows=lengths - 1)
        assert heedful.attention_weights(x, x, rows=single).shape == (2, 1, 4)
        heedful.attention_pool(x[:, 0], x[0, 0, 0], lengths=lengths)
        np.testing.assert_array_equal(
            heedful.rotary_embedding(x, torch.arange(4)), heedful.rotary_embedding(x)
        )
        heedful.rotary_embedding(x, single)
        assert cache.append(x, x, lengths).tolist() == [0, 0]
        cache.reorder(torch.tensor([1, 0]))
        assert cache.lengths.tolist() == [1, 4]
        model()(torch.tensor([[1, 2], [3, 4]]), lengths=torch.tensor([2, 1]))
        model().generate(torch.tensor([[1, 2]]), stop=torch.tensor([1, 2]), max_length=2)
        L.LearnedPositions(9, 4)(F, lengths)
        training.SparseCategoricalCrossEntropy()(torch.tensor([1]), np.zeros((1, 3)))
    for bad in (torch.tensor([4.0, 1.0]), torch.tensor([True, True])):
        with pytest.raises(TypeError, match="kv_lengths must be integers: got type"):
            heedful.attention(x, x, x, kv_lengths=bad)
