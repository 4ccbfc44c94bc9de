"""Layers that have call: their gradients, their results, and the model that they are part of."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from composed import Block, assert_differentiates

from heedful import KVCache
from heedful.explain import watch
from heedful.layers import (
    Dense,
    Dropout,
    Embedding,
    Layer,
    Linear,
    MultiHeadAttention,
    Parameter,
    Sequential,
)  # fmt: skip
from heedful.training import Adam

RNG = np.random.default_rng(1)
X = RNG.standard_normal((2, 3, 4))


class ByHand(Block):
    """The same with a backward pass written by hand."""

    def compute(self, mode: Any, x: Any, *, lengths: Any = None) -> Any:
        n, back_norm = self.norm.compute(mode, x)
        a, back_attention = self.attention.compute(mode, n, kv_lengths=lengths)
        h = x + a * self.gain
        i, back_inner = self.inner.compute(mode, h)
        t = np.tanh(i)
        o, back_outer = self.outer.compute(mode, t)

        def backward(dy: Any) -> Any:
            dh = dy + back_inner(back_outer(dy) * (1 - t * t))
            self.add_gradient("gain", (dh * a).sum((0, 1)))
            return dh + back_norm(back_attention(dh * self.gain))

        return h + o, backward


def gradients(model: Layer, *inputs: Any, **options: Any) -> tuple[Any, ...]:
    model.zero_grad()
    y, backward = model.forward(*inputs, rng=0, **options)
    dx = backward(np.cos(np.arange(y.size)).reshape(y.shape).astype(y.dtype))
    return y, dx, {name: array.copy() for name, array in model.grads.items()}


def test_the_derived_backward_pass_is_the_one_written_by_hand() -> None:
    for dtype, tolerance in ((np.float64, 1e-12), (np.float32, 2e-5)):
        x = X.astype(dtype)
        found = gradients(Block(dtype), x, lengths=[3, 2])
        expected = gradients(ByHand(dtype), x, lengths=[3, 2])
        np.testing.assert_allclose(found[0], expected[0], rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(found[1], expected[1], rtol=tolerance, atol=tolerance)
        assert found[0].dtype == found[1].dtype == dtype
        assert found[2].keys() == expected[2].keys()
        for name, array in found[2].items():
            np.testing.assert_allclose(array, expected[2][name], rtol=tolerance, atol=tolerance)


def test_gradients_are_those_of_differences() -> None:
    assert_differentiates(Block(), X, lengths=[3, 2])
    assert_differentiates(Block(), X, scale=0.3)


class Several(Layer):
    """Inputs by position and by name, one of integers, two results, a layer called twice."""

    def __init__(self) -> None:
        self.embedding = Embedding(5, 4, dtype=np.float64, rng=0)
        self.linear = Linear(4, 4, dtype=np.float64, rng=1)

    def call(self, tokens: Any, x: Any, more: Any = None) -> Any:
        h = self.linear(self.embedding(tokens)) + self.linear(x)
        return (h if more is None else h * more), h.sum(axis=-1)


def test_several_inputs_and_results() -> None:
    tokens, more = np.array([[0, 1, 4], [2, 2, 0]]), RNG.standard_normal((3, 1))
    assert_differentiates(Several(), tokens, X)
    assert_differentiates(Several(), tokens, X, more)
    model = Several()
    y, backward = model.forward(tokens, X, more=more)
    found = backward(np.ones_like(y[0]), None)
    assert [None if dx is None else dx.shape for dx in found] == [None, X.shape, more.shape]


def test_an_input_that_nothing_depends_on_has_the_gradient_0() -> None:
    class First(Layer):
        def __init__(self) -> None:
            self.linear = Linear(4, 2, rng=0)

        def call(self, x: Any, y: Any) -> Any:
            return self.linear(x)

    _, backward = First().forward(X, np.ones(3))
    assert (backward(np.ones((2, 3, 2)))[1] == np.zeros(3)).all()


def test_a_parameter_that_the_result_does_not_depend_on_has_no_gradient() -> None:
    class Reads(Layer):
        def __init__(self) -> None:
            self.gain, self.other = Parameter(np.ones(4)), Parameter(np.ones(4))

        def call(self, x: Any) -> Any:
            return x * self.gain if self.other.shape == (4,) else x * self.other

    model = Reads()
    _, backward = model.forward(X)
    backward(np.ones_like(X))
    assert list(model.grads) == ["gain"]


def test_layers_inside_call_compute_in_the_mode_of_the_whole() -> None:
    class Drops(Layer):
        def __init__(self) -> None:
            self.dropout, self.seen = Dropout(0.5), []

        def call(self, tokens: Any) -> Any:
            return self.dropout(np.ones((len(tokens), 100)))  # of plain arrays too

    model, tokens = Drops(), np.arange(3)
    assert (model(tokens) == 1).all()
    y, backward = model.forward(tokens, rng=3)
    assert 0.2 < (y == 0).mean() < 0.8
    assert (y == model.forward(tokens, rng=3)[0]).all()
    assert backward(np.ones_like(y)) is None


def test_weights_have_gradients_and_are_watched() -> None:
    class Looks(Layer):
        def __init__(self) -> None:
            self.inner = Sequential(MultiHeadAttention(4, 2, dtype=np.float64, rng=0))

        def call(self, x: Any) -> Any:
            y, weights = self.inner(x, return_weights=True)
            return y.sum(axis=-1) + weights.mean(axis=1)[..., 0] ** 2

    model = Looks()
    assert_differentiates(model, X)
    with watch(model) as seen:
        model(X)
    assert list(seen) == ["inner.0"]
    y, weights = model(X, return_weights=True)
    assert weights[0].shape == (2, 2, 3, 3)
    assert (y == model(X)).all()


def test_weights_of_a_model_without_that_option_are_constants() -> None:
    class Looks(Layer):
        def __init__(self) -> None:
            self.block = Block()

        def call(self, x: Any) -> Any:
            y, weights = self.block(x, return_weights=True)
            assert type(weights[0]) is np.ndarray
            return y * weights[0].mean()

    assert Looks().forward(X)[0].shape == X.shape


def test_a_model_with_call_is_trained_saved_and_copied() -> None:
    class Classifier(Layer):
        def __init__(self) -> None:
            self.hidden, self.head = Dense(8, "relu", rng=0), Dense(1, rng=1)

        def call(self, x: Any) -> Any:
            return self.head(self.hidden(x)).reshape(-1)

    globals()["Classifier"] = Classifier
    Classifier.__qualname__ = "Classifier"
    x = RNG.standard_normal((64, 4))
    model = Classifier()
    model.compile(Adam(lr=0.03), "binary_crossentropy", ["accuracy"])
    history = model.fit(x, x[:, 0] > 0, epochs=20, batch_size=8, verbose=False, rng=0)
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert model.evaluate(x, x[:, 0] > 0).accuracy > 0.9
    assert list(model.parameters()) == [
        "hidden.linear.weight", "hidden.linear.bias", "head.linear.weight", "head.linear.bias",
    ]  # fmt: skip
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(other.predict(x), model.predict(x))
    model.freeze("hidden.*")
    _, backward = model.forward(x)
    backward(np.ones(64))
    assert list(model.grads) == ["head.linear.weight", "head.linear.bias"]


def test_call_may_be_inherited_and_replaced() -> None:
    class Twice(Linear):
        def call(self, x: Any) -> Any:
            return x * 2

    class Again(Twice):
        def compute(self, mode: Any, x: Any) -> Any:
            return x, lambda dy: dy

    assert (Twice(4, 4)(X) == (2 * X).astype(np.float32)).all()  # in the layer's own type
    assert Again(4, 4)(X) is X


def test_lists_and_half_precision_are_accepted() -> None:
    class Sum(Layer):
        def call(self, x: Any) -> Any:
            return x.sum(axis=-1)

    assert Sum()([[1.0, 2.0]]).tolist() == [3.0]
    y, backward = Sum().forward(np.ones((2, 3), np.float16))
    assert y.dtype == backward(y).dtype == np.float32


def test_caches_pass_through_call() -> None:
    class Decoder(Layer):
        def __init__(self) -> None:
            self.attention = MultiHeadAttention(4, 2, causal=True, dtype=np.float64, rng=0)

        def call(self, x: Any, *, cache: Any = None) -> Any:
            return x + self.attention(x, cache=cache)

    model, cache = Decoder(), KVCache()
    whole = model(X)
    for t in range(3):
        step = model(X[:, t : t + 1], cache=cache)
        np.testing.assert_allclose(step[:, 0], whole[:, t], rtol=1e-12)
    with pytest.raises(ValueError, match=r"^attention: "):
        model(X[:, :1, :3], cache=cache)
    assert cache.lengths.tolist() == [3, 3]


def test_gradients_of_weights_are_watched() -> None:
    model = Block()
    with watch(model, gradients=True) as seen:
        y, backward = model.forward(X)
        backward(np.ones_like(y))
    assert seen.calls[0].gradient is not None
    assert seen.calls[0].gradient.shape == seen["attention"].shape
