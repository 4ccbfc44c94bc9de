"""heedful's functions within autograd: gradients are those of heedful, and of autograd's NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import heedful
from heedful.testing import assert_close

autograd: Any = pytest.importorskip("autograd")
anp: Any = pytest.importorskip("autograd.numpy")

from heedful.integrations.autograd import (  # noqa: E402
    additive_attention,
    attention,
    attention_pool,
    attention_varlen,
    rotary_embedding,
)  # fmt: skip

pytestmark = pytest.mark.peer

RNG = np.random.default_rng(0)
QUERY, KEY, VALUE = RNG.standard_normal((3, 2, 5, 4))
BIAS = RNG.standard_normal((5, 5))


def written_out(query: Any, key: Any, value: Any, bias: Any = 0.0, mask: Any = True) -> Any:
    scores = anp.matmul(query, anp.swapaxes(key, -1, -2)) / 2.0 + bias
    exponentials = anp.exp(scores) * mask
    return anp.matmul(exponentials / anp.sum(exponentials, -1, keepdims=True), value)


def loss(function: Any) -> Any:
    def call(*arrays: Any) -> Any:
        return anp.sum(anp.sin(function(*arrays)) ** 2)

    return call


def gradients(function: Any, *arrays: Any) -> Any:
    return autograd.grad(loss(function), tuple(range(len(arrays))))(*arrays)


def test_gradients_equal_those_of_attention_written_out() -> None:
    causal = np.tril(np.ones((5, 5)))
    for one, other in (
        (gradients(attention, QUERY, KEY, VALUE), gradients(written_out, QUERY, KEY, VALUE)),
        (
            gradients(attention, QUERY, KEY, VALUE, BIAS),
            gradients(written_out, QUERY, KEY, VALUE, BIAS),
        ),
        (
            gradients(lambda *x: attention(*x, causal=True), QUERY, KEY, VALUE),
            gradients(lambda *x: written_out(*x, mask=causal), QUERY, KEY, VALUE),
        ),
    ):
        for found, expected in zip(one, other, strict=True):
            assert_close(found, expected)


def test_all_results_have_gradients() -> None:
    def found(query: Any, key: Any, value: Any) -> Any:
        out, lse, weights = attention(query, key, value, return_lse=True, return_weights=True)
        return anp.sum(out**2) + anp.sum(anp.cos(lse)) + anp.sum(weights**3)

    def expected(query: Any, key: Any, value: Any) -> Any:
        scores = anp.matmul(query, anp.swapaxes(key, -1, -2)) / 2.0
        lse = anp.log(anp.sum(anp.exp(scores), -1))
        weights = anp.exp(scores - lse[..., None])
        out = anp.matmul(weights, value)
        return anp.sum(out**2) + anp.sum(anp.cos(lse)) + anp.sum(weights**3)

    for one, other in zip(
        autograd.grad(found, (0, 1, 2))(QUERY, KEY, VALUE),
        autograd.grad(expected, (0, 1, 2))(QUERY, KEY, VALUE),
        strict=True,
    ):
        assert_close(one, other)


def test_one_argument_alone_and_a_sink() -> None:
    sink = np.array([0.3, -0.2])
    found = autograd.grad(lambda s: anp.sum(attention(QUERY, KEY, VALUE, None, s) ** 2))(sink)
    out, pullback = heedful.attention_vjp(QUERY, KEY, VALUE, sink=sink)
    assert_close(found, pullback(2 * out).sink)


def test_without_a_gradient_they_are_heedfuls_functions() -> None:
    assert (attention(QUERY, KEY, VALUE) == heedful.attention(QUERY, KEY, VALUE)).all()


def test_the_other_functions() -> None:
    weight, starts = RNG.standard_normal((2, 4)), np.array([0, 2, 5])
    packed = [RNG.standard_normal((5, 2, 4)) for _ in range(3)]
    x, query = RNG.standard_normal((3, 5, 4)), RNG.standard_normal(4)
    cases: list[tuple[Any, Any, tuple[np.ndarray, ...]]] = [
        (additive_attention, heedful.additive_attention_vjp, (QUERY, KEY, VALUE, weight)),
        (
            lambda *arrays: attention_varlen(*arrays, starts, starts, causal=True),
            lambda *arrays: heedful.attention_varlen_vjp(*arrays, starts, starts, causal=True),
            tuple(packed),
        ),
        (attention_pool, heedful.attention_pool_vjp, (x, query)),
    ]
    for function, vjp, arrays in cases:
        y, pullback = vjp(*arrays)
        expected = pullback(2 * np.sin(y) * np.cos(y))
        for one, other in zip(gradients(function, *arrays), expected, strict=False):
            assert_close(one, other)


def test_rotations_are_undone() -> None:
    def rotated(x: Any) -> Any:
        return rotary_embedding(x, 3, base=100.0)

    found = autograd.grad(lambda x: anp.sum(rotated(x) * KEY))(QUERY)
    np.testing.assert_allclose(np.sum(found * QUERY), np.sum(rotated(QUERY) * KEY))  # linear in x
    assert_close(found, heedful.rotary_embedding(KEY, 3, base=100.0, inverse=True))


def test_dropout_is_the_same_in_both_passes() -> None:
    def run(value: Any) -> Any:
        return anp.sum(attention(QUERY, KEY, value, dropout_p=0.5, rng=7) * KEY)

    found = autograd.grad(run)(VALUE)
    _, pullback = heedful.attention_vjp(QUERY, KEY, VALUE, dropout_p=0.5, rng=7)
    assert_close(found, pullback(KEY).value)


@pytest.mark.parametrize("option", ["dropout_p", "key_dropout_p", "gumbel_temperature"])
def test_random_numbers_are_drawn_once_for_both_passes(option: str) -> None:
    generator = np.random.default_rng(3)
    # the result is linear in value, with the gradient as its factors
    value, grad = autograd.value_and_grad(
        lambda v: anp.sum(attention(QUERY, KEY, v, rng=generator, **{option: 0.5}))
    )(VALUE)
    assert_close(value, np.sum(grad * VALUE))


def test_errors_are_heedfuls() -> None:
    with pytest.raises(ValueError, match="key and query must have the same depth"):
        autograd.grad(loss(attention))(QUERY, KEY[..., :3], VALUE)
    with pytest.raises(TypeError, match="attention has no derivatives of its gradients"):
        autograd.grad(lambda x: anp.sum(autograd.grad(loss(attention))(x, KEY, VALUE)))(QUERY)
    with pytest.raises(TypeError, match="out is not an option"):
        attention(QUERY, KEY, VALUE, out=np.empty_like(QUERY))
