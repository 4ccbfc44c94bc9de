"""The compiled loss, the gradient of a table of vectors, and a step of Adam, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from closeness import assert_as_accurate_as_numpy, assert_same_bits
from numpy.typing import NDArray

import heedful
from heedful._core import native

Array = NDArray[Any]
IGNORED = -100


def drawn(shape: tuple[int, ...], dtype: Any, seed: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def plain_loss(
    logits: Array, labels: Array, smoothing: float, factor: float
) -> tuple[Array, Array]:
    """Losses and gradient in the type of the logits."""
    counted = labels != IGNORED
    places = np.where(counted, labels, 0)[:, None]
    smoothing = logits.dtype.type(smoothing)
    logarithms = logits - logits.max(-1, keepdims=True)
    logarithms = logarithms - np.log(np.exp(logarithms).sum(-1, keepdims=True))
    of_label = np.take_along_axis(logarithms, places, -1)[:, 0]
    losses = -(1 - smoothing) * of_label - smoothing * logarithms.mean(-1)
    target = np.full_like(logits, smoothing / logits.dtype.type(logits.shape[1]))
    np.put_along_axis(target, places, np.take_along_axis(target, places, -1) + 1 - smoothing, -1)
    gradient = logits.dtype.type(factor) * (np.exp(logarithms) - target)
    return np.where(counted, losses, 0), np.where(counted[:, None], gradient, 0)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (97, 10), (1025, 33), (7, 5003)], ids=str)
def test_the_loss_is_as_accurate_as_numpy(
    shape: tuple[int, int], smoothing: float, wide_dtype: np.dtype[Any]
) -> None:
    logits = 5 * drawn(shape, wide_dtype, 1)
    labels = np.random.default_rng(2).integers(0, shape[1], shape[0])
    labels[3::7] = IGNORED
    losses, gradient = np.full(shape[0], np.nan, wide_dtype), np.full_like(logits, np.nan)
    native.cross_entropy(logits, labels, IGNORED, smoothing, 0.5, losses, gradient)
    exact = plain_loss(logits.astype(np.longdouble), labels, smoothing, 0.5)
    plain = plain_loss(logits, labels, smoothing, 0.5)
    assert_as_accurate_as_numpy(losses, plain[0], exact[0].astype(float), "losses")
    if shape[1] > 1:
        assert_as_accurate_as_numpy(gradient, plain[1], exact[1].astype(float), "gradient")
    alone = np.empty_like(losses)
    native.cross_entropy(logits, labels, IGNORED, smoothing, 0.5, alone, None)
    assert_same_bits(alone, losses, "without a gradient")
    native.cross_entropy(logits, labels, IGNORED, smoothing, 0.5, losses, logits)
    assert_same_bits(logits, gradient, "in place of the logits")


def test_the_gradient_of_the_loss_matches_finite_differences() -> None:
    logits, labels = drawn((3, 5), float, 1), np.array([4, 0, 2])
    losses, gradient, step = np.empty(3), np.empty((3, 5)), 1e-6
    native.cross_entropy(logits, labels, IGNORED, 0.2, 1.0, losses, gradient)
    for place in np.ndindex(logits.shape):
        kept, sums = logits[place], []
        for move in (step, -step):
            logits[place] = kept + move
            native.cross_entropy(logits, labels, IGNORED, 0.2, 1.0, losses, None)
            sums.append(losses.sum())
        logits[place] = kept
        np.testing.assert_allclose(gradient[place], (sums[0] - sums[1]) / (2 * step), atol=1e-8)


def test_extreme_logits(wide_dtype: np.dtype[Any]) -> None:
    logits = np.zeros((4, 19), wide_dtype)
    logits[0, :] = 1e30
    logits[1, 3], logits[2, 18] = -np.inf, np.nan
    logits[3, 0] = 1000
    losses, gradient = np.empty(4, wide_dtype), np.empty_like(logits)
    native.cross_entropy(logits, np.array([0, 1, 2, 1]), IGNORED, 0.0, 1.0, losses, gradient)
    np.testing.assert_allclose(losses[:2], np.log([19, 18]), rtol=1e-6)
    assert np.isnan(losses[2])
    assert np.isnan(gradient[2]).all()
    assert losses[3] == 1000
    assert gradient[3, 0] == 1
    assert gradient[1, 3] == 0


def test_an_embedding_s_gradient_adds_rows_in_their_order(wide_dtype: np.dtype[Any]) -> None:
    ids = np.random.default_rng(1).integers(0, 11, 1025)
    dy = drawn((1025, 131), wide_dtype, 2)[:, :129]
    expected = np.ones((11, 129), wide_dtype)
    kept = ids != 4
    np.add.at(expected, ids[kept], dy[kept])
    for threads in (1, 2, 3):
        dtable = np.ones((11, 129), wide_dtype)
        with heedful.num_threads(threads):
            native.embedding_gradient(dy, ids, 4, dtable)
        assert_same_bits(dtable, expected, f"{threads} threads")


@pytest.mark.parametrize("decoupled", [False, True], ids=["Adam", "AdamW"])
def test_steps_of_adam(decoupled: bool, wide_dtype: np.dtype[Any]) -> None:
    rate, decay, beta1, beta2, epsilon = 1e-2, 0.1, 0.9, 0.99, 1e-8
    for count in (1, 7, 97, 100003):
        p = drawn((count,), wide_dtype, 1)
        first, second = np.zeros_like(p), np.zeros_like(p)
        exact, m, v = p.astype(float), np.zeros(count), np.zeros(count)
        together = [array.copy() for array in (p, first, second)]
        for t in (1, 2, 3):
            gradient = drawn((count,), wide_dtype, 10 + t)
            options = (
                rate / (1 - beta1**t), 1 / np.sqrt(1 - beta2**t), beta1, beta2, epsilon,
                0.0 if decoupled else decay, 1 - rate * decay if decoupled else 1.0,
            )  # fmt: skip
            with heedful.num_threads(1):
                native.adam_step(p, gradient, first, second, *options)
            with heedful.num_threads(3):
                native.adam_step(together[0], gradient, *together[1:], *options)
            g = gradient + (0 if decoupled else decay * exact)
            m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
            exact = exact * (1 - rate * decay * decoupled)
            exact -= rate * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + epsilon)
        rtol = 1e-5 if wide_dtype == np.float32 else 1e-12
        np.testing.assert_allclose(p, exact, rtol=rtol, atol=rtol)
        for one, other in zip((p, first, second), together, strict=True):
            assert_same_bits(other, one, "3 threads")


def test_labels_and_ids_are_int64() -> None:
    logits = np.ones((3, 5))
    with pytest.raises(TypeError, match="int64"):
        native.cross_entropy(logits, np.zeros(3, np.int32), -1, 0.0, 1.0, np.empty(3), None)
    with pytest.raises(TypeError, match="int64"):
        native.embedding_gradient(logits, np.zeros(3), -1, np.ones((2, 5)))
