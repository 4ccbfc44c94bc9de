"""Gradient × input and integrated gradients, against plain NumPy and closed forms."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest

from heedful.base._mode import Mode
from heedful.explain import gradient_times_input, integrated_gradients
from heedful.layers import (
    AttentionPooling,
    BertEncoder,
    Dropout,
    Embedding,
    Flatten,
    Layer,
    Linear,
    Sequential,
    Softmax,
)

pytestmark = pytest.mark.once

RNG = np.random.default_rng(5)
X = RNG.standard_normal((7, 5))


def network(outputs: int = 3) -> Sequential:
    """tanh(x W₁ᵀ + b₁) W₂ᵀ + b₂ in float64, with dropout, which must not act."""
    return Sequential(
        Linear(5, 11, activation="tanh", dtype=np.float64, rng=0),
        Dropout(0.5),
        Linear(11, outputs, dtype=np.float64, rng=1),
    )


def gradient_of(model: Sequential, x: np.ndarray, targets: Any) -> np.ndarray:
    """∂score/∂x of one target each, written out."""
    first, second = model[0], model[2]
    hidden = np.tanh(x @ first.weight.T + first.bias)
    return ((1 - hidden**2) * second.weight[targets]) @ first.weight


def test_gradient_times_input_is_what_numpy_computes() -> None:
    model = network()
    predicted = model(X).argmax(1)
    expected = X * gradient_of(model, X, predicted)
    np.testing.assert_allclose(gradient_times_input(model, X), expected, atol=1e-12)
    found = gradient_times_input(model, X, target=2, baseline=0.5, batch_size=3)
    expected = (X - 0.5) * gradient_of(model, X, np.full(7, 2))
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_integrated_gradients_are_the_mean_gradient_on_the_way() -> None:
    model, targets = network(), np.arange(7) % 3
    base = RNG.standard_normal(5)
    points = (np.arange(2000) + 0.5) / 2000  # another rule of integration
    mean = np.mean([gradient_of(model, base + a * (X - base), targets) for a in points], axis=0)
    found, delta = integrated_gradients(
        model, X, target=targets, baseline=base, return_convergence_delta=True, batch_size=4
    )
    np.testing.assert_allclose(found, (X - base) * mean, atol=1e-6)
    assert np.abs(delta).max() < 1e-9


@pytest.mark.parametrize("steps", [1, 20])
def test_the_error_of_completeness_is_what_the_sum_lacks(steps: int) -> None:
    model = network(1)
    found, delta = integrated_gradients(model, 3 * X, steps=steps, return_convergence_delta=True)
    rise = model(3 * X)[:, 0] - model(0 * X)[:, 0]
    np.testing.assert_allclose(delta, found.sum(1) - rise, atol=1e-12)
    assert (np.abs(delta).max() > 1e-2) == (steps == 1)


def test_the_second_class_of_one_output_is_its_negative() -> None:
    model = network(1)
    positive = integrated_gradients(model, X)
    np.testing.assert_array_equal(integrated_gradients(model, X, target=1), positive)
    np.testing.assert_array_equal(integrated_gradients(model, X, target=0), -positive)


def test_a_function_with_a_gradient_is_explained_as_a_layer_is() -> None:
    model = network()

    def gradient(x: np.ndarray, dscores: np.ndarray) -> np.ndarray:
        assert dscores.shape == (len(x), 3)
        return gradient_of(model, x, dscores.argmax(1))

    found = integrated_gradients(lambda x: model(x), X, gradient=gradient)
    np.testing.assert_allclose(found, integrated_gradients(model, X), atol=1e-12)
    flat = gradient_times_input(
        lambda x: x @ np.arange(5.0), X, gradient=lambda x, dscores: dscores[:, None] * np.arange(5)
    )
    np.testing.assert_allclose(flat, X * np.arange(5))


def test_neither_the_model_nor_its_gradients_change() -> None:
    model = network()
    model.forward(X, rng=0)[1](np.ones((7, 3)))
    before = deepcopy((model.state_dict(), model.grads))
    first = integrated_gradients(model, X)
    np.testing.assert_array_equal(first, integrated_gradients(model, X))
    for own, earlier in zip((model.state_dict(), model.grads), before, strict=True):
        assert own.keys() == earlier.keys()
        assert all((own[name] == earlier[name]).all() for name in own)


# --- tokens: at the embedding

TOKENS = np.array([[3, 1, 4, 1], [5, 9, 2, 6]])


def token_model() -> Sequential:
    return Sequential(
        Embedding(11, 3, dtype=np.float64, rng=0),
        Linear(3, 5, activation="tanh", dtype=np.float64, rng=1),
        Flatten(),
        Linear(20, 2, dtype=np.float64, rng=2),
    )


def test_relevance_of_tokens_is_that_of_their_vectors() -> None:
    model = token_model()
    later = Sequential(*list(model)[1:])
    vectors = model[0].weight[TOKENS]  # (2, 4, 3)
    expected = gradient_times_input(later, vectors).sum(-1)
    np.testing.assert_allclose(gradient_times_input(model, TOKENS), expected, atol=1e-12)
    base = np.broadcast_to(model[0].weight[7], vectors.shape)
    expected = integrated_gradients(later, vectors, baseline=base).sum(-1)
    found = integrated_gradients(model, TOKENS, baseline=7)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    rise = model(TOKENS).max(1) - model(np.full((2, 4), 7))[[0, 1], model(TOKENS).argmax(1)]
    np.testing.assert_allclose(found.sum(1), rise, atol=1e-9)


class Classifier(Layer):
    """BERT, one vector from its vectors, two scores."""

    def __init__(self) -> None:
        self.encoder = BertEncoder(20, 8, 2, 2, 16, max_length=9, rate=0.3, rng=0)
        self.encoder.token_embedding.weight = 10 * self.encoder.token_embedding.weight
        self.pool, self.head = AttentionPooling(8, rng=2), Linear(8, 2, rng=1)

    def compute(self, mode: Mode, tokens: Any, *, lengths: Any = None) -> Any:
        y, back_encoder = self.encoder.compute(mode, tokens, lengths=lengths)
        y, back_pool = self.pool.compute(mode, y, lengths=lengths)
        y, back_head = self.head.compute(mode, y)
        return y, lambda dy: back_encoder(back_pool(back_head(dy)))


def test_segments_with_the_tokens_own_numbers_are_not_taken_for_them() -> None:
    """All tokens are 0, and so are their segments: only the vectors of tokens are meant."""
    model, zeros = Classifier(), np.zeros((1, 6), int)
    found, delta = integrated_gradients(
        model, zeros, baseline=3, return_convergence_delta=True, steps=60
    )
    rise = model(zeros).max() - model(zeros + 3)[0, model(zeros).argmax()]
    assert found.sum() == pytest.approx(rise, abs=1e-4)
    assert abs(delta[0]) < 1e-4


def test_lengths_are_passed_on_and_padding_gets_nothing() -> None:
    model = Classifier()
    tokens, lengths = RNG.integers(4, 20, (3, 7)), np.array([7, 4, 1])
    found, delta = integrated_gradients(
        model, {"tokens": tokens, "lengths": lengths}, baseline=3, steps=60, batch_size=2,
        return_convergence_delta=True,
    )  # fmt: skip
    assert np.abs(delta).max() < 1e-4
    assert (found[1, 4:] == 0).all()
    assert (found[2, 1:] == 0).all()
    assert (found[:, 0] != 0).all()


class Twice(Layer):
    """Reads its tokens by one embedding in two places."""

    def __init__(self) -> None:
        self.embedding = Embedding(11, 3, dtype=np.float64, rng=0)
        self.first, self.second = (
            Sequential(Flatten(), Linear(12, 1, activation="tanh", dtype=np.float64, rng=seed))
            for seed in (1, 2)
        )

    def compute(self, mode: Mode, tokens: Any) -> Any:
        a, back_a = self.embedding.compute(mode, tokens)
        b, back_b = self.embedding.compute(mode, tokens)
        first, back_first = self.first.compute(mode, a)
        second, back_second = self.second.compute(mode, b)

        def backward(dy: Any) -> None:
            back_a(back_first(dy))
            back_b(back_second(dy))

        return first + second, backward


def test_vectors_that_are_read_twice_get_both_gradients() -> None:
    model = Twice()
    vectors = model.embedding.weight[TOKENS]
    expected = sum(gradient_times_input(one, vectors) for one in (model.first, model.second))
    _, delta = integrated_gradients(model, TOKENS, return_convergence_delta=True)
    assert np.abs(delta).max() < 1e-9
    np.testing.assert_allclose(gradient_times_input(model, TOKENS), expected.sum(-1), atol=1e-12)


@pytest.mark.peer
def test_a_model_of_torch_is_explained_by_its_gradient() -> None:
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Linear(5, 11), torch.nn.Tanh(), torch.nn.Linear(11, 3))
    net = net.double()

    def model(x: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return net(torch.from_numpy(x)).numpy()

    def gradient(x: np.ndarray, dscores: np.ndarray) -> np.ndarray:
        given = torch.from_numpy(x).requires_grad_()
        net(given).backward(torch.from_numpy(dscores))
        return given.grad.numpy()

    own = network()
    own[0].weight, own[0].bias = (tensor.detach().numpy() for tensor in net[0].parameters())
    own[2].weight, own[2].bias = (tensor.detach().numpy() for tensor in net[2].parameters())
    found = integrated_gradients(model, X, gradient=gradient)
    np.testing.assert_allclose(found, integrated_gradients(own, X), atol=1e-12)


# --- bad input


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"target": 3}, ValueError, r"target must lie in \[0, 3\): got 3"),
        ({"target": [0, 1]}, ValueError, "target must be a class, or one for each of 7 examples"),
        ({"target": 0.5}, TypeError, "target must be integers"),
        ({"baseline": np.zeros(4)}, ValueError, "baseline must be a number or broadcast to"),
        ({"gradient": 3}, TypeError, r"gradient must be a function \(x, dscores\) → dx or None"),
        ({"gradient": lambda x, d: 0}, TypeError, r"gradient must return .*, of shape \(7, 5\)"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
    ],
)
def test_a_wrong_argument_is_named(options: Any, kind: type, message: str) -> None:
    for function in (gradient_times_input, integrated_gradients):
        with pytest.raises(kind, match=message):
            function(network(), X, **options)


@pytest.mark.parametrize(
    ("model", "inputs", "kind", "message"),
    [
        (3, X, TypeError, "model must be a layer or a function of x: got 3"),
        (lambda x: x[:, 0], X, TypeError, "model must be a layer, or gradient a function"),
        (network(), X[0], ValueError, r"inputs must have shape \(N, …\)"),
        (network(), X[:0], ValueError, "inputs must have at least one example"),
        (network(), X * np.nan, ValueError, "model must return finite scores"),
        (Linear(5, 3), np.ones((2, 4, 5)), ValueError, r"model must return scores \(N,\)"),
        (
            Sequential(Linear(5, 3)),
            np.ones((2, 5), int),
            TypeError,
            "no Embedding gets them",
        ),
        (token_model(), TOKENS + 0.5, TypeError, "tokens must be integers"),
    ],
)
def test_a_wrong_model_or_input_is_named(model: Any, inputs: Any, kind: type, message: str) -> None:
    with pytest.raises(kind, match=message):
        gradient_times_input(model, inputs)


def test_a_float_is_no_token_to_start_from() -> None:
    with pytest.raises(TypeError, match="baseline must be integers as the inputs are"):
        integrated_gradients(token_model(), TOKENS, baseline=0.5)
    with pytest.raises(ValueError, match="steps must be at least 1"):
        integrated_gradients(network(), X, steps=0)


def test_a_confident_softmax_has_no_gradient_but_a_difference() -> None:
    """The fault of gradients that the integral mends."""
    model = Sequential(Linear(1, 2, dtype=np.float64), Softmax())
    model[0].weight, model[0].bias = [[40.0], [0.0]], [0.0, 0.0]
    assert abs(gradient_times_input(model, [[1.0]])[0, 0]) < 1e-12
    assert integrated_gradients(model, [[1.0]], steps=200)[0, 0] == pytest.approx(0.5, abs=1e-3)
