"""Penalties of additive attention: value and gradients against NumPy, and in linear memory."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import penalty_reference
import pytest
from numpy.typing import NDArray

import heedful
import reference
from heedful.functional import penalised_additive_attention_vjp

Array = NDArray[Any]
DRAW = np.random.default_rng(3)
QUERY, KEY = DRAW.standard_normal((2, 4, 7, 5)), DRAW.standard_normal((2, 2, 11, 5))
VALUE, WEIGHT = DRAW.standard_normal((2, 2, 11, 3)), DRAW.standard_normal(5)
DOUT = DRAW.standard_normal((2, 4, 7, 3))
BIAS, MASK = DRAW.standard_normal((4, 7, 11)), DRAW.random((2, 1, 7, 11)) < 0.6
OPTIONS: list[dict[str, Any]] = [
    {},
    {"bias": BIAS, "mask": MASK},
    {"causal": True, "align": "lower_right", "kv_lengths": [11, 6]},
    {"gumbel_temperature": 0.7, "key_dropout_p": 0.2, "rng": 5},
]
KINDS = ["l2", "entropy", "negative_entropy", "scores_l1", "scores_l2", "z"]


def expected(kind: str, options: dict[str, Any]) -> tuple[float, list[Array]]:
    """The penalty, and gradients of query, key, score vector and bias: scores are a bias alone."""
    key = np.repeat(KEY, 2, 1)
    tanh = np.tanh(QUERY[:, :, :, None] + key[:, :, None])  # (B, H, Lq, Lk, E)
    scores = tanh @ WEIGHT + options.get("bias", 0)
    rest = {name: given for name, given in options.items() if name != "bias"}
    nothing = np.zeros((2, 4, 7, 1)), np.zeros((2, 4, 11, 1))
    penalty, (*_, dscores) = penalty_reference.gradients(kind, *nothing, bias=scores, **rest)
    inner = dscores[..., None] * WEIGHT * (1 - tanh**2)
    return penalty, [
        inner.sum(3), inner.sum(2).reshape(2, 2, 2, 11, 5).sum(2),
        (dscores[..., None] * tanh).sum((0, 1, 2, 3)), reference.sum_to(dscores, BIAS.shape),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_penalties_and_their_gradients_are_those_of_numpy(
    kind: str, options: dict[str, Any]
) -> None:
    arrays = QUERY, KEY, VALUE, WEIGHT
    plain, of_plain = heedful.additive_attention_vjp(*arrays, **options)
    out, penalty, pullback = penalised_additive_attention_vjp(*arrays, {kind: 0.6}, **options)
    np.testing.assert_array_equal(out, plain)
    exact, wanted = expected(kind, options)
    assert penalty == pytest.approx(0.6 * exact, rel=1e-10)
    before, found = of_plain(DOUT), pullback(DOUT)
    for name, gradient in zip(("query", "key", "weight", "bias"), wanted, strict=True):
        own = getattr(found, name)
        if own is not None:
            growth = own - getattr(before, name)
            np.testing.assert_allclose(growth, 0.6 * gradient, rtol=1e-7, atol=1e-11)
    np.testing.assert_array_equal(found.value, before.value)


def test_each_head_has_its_own_weight_in_float32() -> None:
    arrays = [array.astype(np.float32) for array in (QUERY, KEY, VALUE, WEIGHT)]
    penalties = {"entropy": [0.1, 0.2, 0.0, 0.4], "z": 0.05}
    _, penalty, pullback = penalised_additive_attention_vjp(*arrays, penalties)
    _, exact, of_exact = penalised_additive_attention_vjp(QUERY, KEY, VALUE, WEIGHT, penalties)
    assert penalty == pytest.approx(exact, rel=1e-5)
    for own, wanted in zip(pullback(DOUT), of_exact(DOUT), strict=True):
        if own is not None:
            np.testing.assert_allclose(own, wanted, rtol=1e-3, atol=1e-4)


def test_threads_give_the_same_bits() -> None:
    found = []
    for threads in (1, 2, 3):
        with heedful.num_threads(threads):
            _, penalty, pullback = penalised_additive_attention_vjp(
                QUERY, KEY, VALUE, WEIGHT, {"entropy": 0.3, "scores_l2": 0.1}
            )
            found.append((penalty, *(g.tobytes() for g in pullback(DOUT) if g is not None)))
    assert found[0] == found[1] == found[2]


def test_memory_is_linear_in_the_length() -> None:
    def peak(length: int) -> int:
        x = np.ones((length, 4), np.float32)
        tracemalloc.start()
        _, _, pullback = penalised_additive_attention_vjp(
            x, x, x, np.ones(4), {"entropy": 0.1, "scores_l1": 0.1}
        )
        pullback(x)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(2000) < 1.2 * 2 * peak(1000)  # all scores would take 16 MB more


def test_what_has_no_meaning_is_refused() -> None:
    arrays = QUERY, KEY, VALUE, WEIGHT
    for options, kind, message in (
        ({"sink": np.zeros(4)}, ValueError, "sink must be None with penalties, which are of whole"),
        ({"softcap": 2.0}, TypeError,
         r"\Apenalised_additive_attention_vjp\(\) got an unexpected keyword argument 'softcap'"),
    ):  # fmt: skip
        with pytest.raises(kind, match=message):
            penalised_additive_attention_vjp(*arrays, {"l2": 1.0}, **options)
    with pytest.raises(ValueError, match="penalties must not be 'l1'"):
        penalised_additive_attention_vjp(*arrays, {"l1": 1.0})
