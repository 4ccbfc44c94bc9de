"""Models in the functional form: layers called one on another, before anything is computed."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import trial_models as trial
from composed import assert_differentiates

from heedful.explain import watch
from heedful.layers import (
    GRU,
    Dense,
    Embedding,
    GlobalAveragePooling,
    Input,
    Layer,
    LayerNorm,
    Linear,
    Model,
    MultiHeadAttention,
    Sequential,
    SinusoidalPositions,
    steps,
)  # fmt: skip
from heedful.training import Adam, load_weights, save_weights

RNG = np.random.default_rng(2)
X = RNG.standard_normal((2, 3, 4))
LINEAR = Linear(4, 4, rng=0)


def layers(dtype: Any = np.float64) -> tuple[Layer, ...]:
    return (
        MultiHeadAttention(4, 2, dtype=dtype, rng=0), LayerNorm(4, dtype=dtype),
        Linear(4, 6, activation="gelu", dtype=dtype, rng=1), Linear(6, 4, dtype=dtype, rng=2),
    )  # fmt: skip


class ByHand(Layer):
    """What `model` computes, its backward pass written by hand."""

    def __init__(self) -> None:
        self.attention, self.norm, self.inner, self.outer = layers()

    def compute(self, mode: Any, x: Any) -> Any:
        a, back_attention = self.attention.compute(mode, x)
        n, back_norm = self.norm.compute(mode, x + a)
        i, back_inner = self.inner.compute(mode, n)
        o, back_outer = self.outer.compute(mode, i)

        def backward(dy: Any) -> Any:
            dn = dy + back_inner(back_outer(dy))
            dh = back_norm(dn)
            return dh + back_attention(dh)

        return n + o, backward


def model() -> Model:
    attention, norm, inner, outer = layers()
    x = Input((None, 4))
    h = norm(x + attention(x))
    return Model(x, h + outer(inner(h)))


def test_it_computes_what_is_written_by_hand() -> None:
    found, expected, dy = model(), ByHand(), RNG.standard_normal(X.shape)
    assert found(X).tobytes() == expected(X).tobytes()
    results = [one.forward(X) for one in (found, expected)]
    np.testing.assert_allclose(*(backward(dy) for _, backward in results), rtol=1e-12)
    for one, other in zip(found.grads.values(), expected.grads.values(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_gradients_are_those_of_differences() -> None:
    assert_differentiates(model(), X)


def test_a_call_on_an_input_computes_nothing() -> None:
    class Counts(Layer):
        def __init__(self) -> None:
            self.calls = 0

        def call(self, x: Any) -> Any:
            self.calls += 1
            return x * 2

    layer, x = Counts(), Input((3,))
    built = Model(x, layer(layer(x)))
    assert layer.calls == 0
    assert (built(np.ones((2, 3))) == 4).all()
    assert layer.calls == 2


def test_layers_have_keras_names_or_chosen_ones() -> None:
    tokens, first = Input((None,), dtype=int), Linear(4, 4, rng=0)
    h = first(GlobalAveragePooling()(Embedding(5, 4, rng=0)(tokens)))
    built = Model(tokens, Linear(4, 2, rng=1)(first(h)), layers={"body": first})
    assert list(built.layers) == ["embedding", "global_average_pooling", "body", "linear"]
    assert list(built.state_dict()) == [
        "embedding.weight", "body.weight", "body.bias", "linear.weight", "linear.bias",
    ]  # fmt: skip
    assert built.body is first
    x = Input(4)
    twice = Model(x, Dense(2)(Dense(3)(x)))
    assert list(twice.layers) == ["dense", "dense_1"]
    assert model().layers.keys() == {"multi_head_attention", "layer_norm", "linear", "linear_1"}


def test_names_do_not_hide_what_a_model_has() -> None:
    class Summary(Linear):
        pass

    class Layers(Linear):
        pass

    x = Input(4)
    built = Model(x, Layers(4, 4)(Summary(4, 4)(x)))
    assert list(built.layers) == ["summary_1", "layers_1"]
    for name in ("fit", "layers", "2", "not free"):
        layer, x = Linear(4, 4), Input(4)
        with pytest.raises(ValueError, match="layers must have names that are free: got"):
            Model(x, layer(x), layers={name: layer})
    with pytest.raises(ValueError, match="layers must be called between inputs and outputs: head"):
        Model(x, layer(x), layers={"head": Linear(4, 4)})


def test_several_inputs_by_position_by_name_and_in_a_dict_or_list() -> None:
    built = trial.two_towers()
    question, passage = RNG.integers(0, 13, (3, 5)), RNG.integers(0, 13, (3, 6))
    expected = built(question, passage)
    for found in (
        built(passage=passage, question=question), built(question, passage=passage),
        built({"passage": passage, "question": question}), built([question, passage]),
        built.predict((question, passage)),
        built.predict({"passage": passage, "question": question}),
    ):  # fmt: skip
        np.testing.assert_array_equal(found, expected)
    a, b = Input((), name="a"), Input(())
    assert Model((a, b), a + b).input_names == ["a", "x"]
    renamed = Model({"left": a, "right": b}, a - b)
    assert renamed(right=np.array([1.0]), left=np.array([3.0])) == 2


def test_several_results_and_results_of_several() -> None:
    x, state = Input((None, 4)), Input((1, 3))
    y, last = GRU(4, 3, dtype=np.float64, rng=0)(x, state, return_state=True)
    z, weights = MultiHeadAttention(3, 1, dtype=np.float64, rng=1)(y, return_weights=True)
    left, right = steps.split(z, [1, 2], axis=-1)
    assert len(list(steps.split(z, parts=np.int64(3)))) == 3
    built = Model((x, state), [left * last[:, :, :1], right.mean(axis=1), weights[..., 0] ** 2])
    assert_differentiates(built, X, RNG.standard_normal((2, 1, 3)))
    assert [part.shape for part in built(X, np.zeros((2, 1, 3)))] == [(2, 3, 1), (2, 2), (2, 1, 3)]


def test_models_are_layers_of_models_and_begin_anywhere() -> None:
    inner = model()
    x = Input((None, 4))
    h = inner(x)
    outer = Model(x, Linear(4, 1, dtype=np.float64, rng=3)(h[:, 0]) * 2.0)
    assert_differentiates(outer, X)
    assert list(outer.layers) == ["model", "linear"]
    assert "model.linear_1.weight" in outer.state_dict()
    after = Model(h, outer.linear(h[:, 0]))
    np.testing.assert_array_equal(2 * after(inner(X)), outer(X))
    pair = Model(x, (h, h.mean(axis=-1)))
    first, second = pair(x)
    assert_differentiates(Model(x, first.sum(axis=-1) * second), X)


def test_symbols_go_into_options_and_indices() -> None:
    x, lengths, row = Input((None, 4)), Input((), dtype=int), Input((), dtype=int)
    h = MultiHeadAttention(4, 2, dtype=np.float64, rng=0)(x, kv_lengths=lengths)
    built = Model((x, lengths, row), h[np.arange(2), row])
    y = built(X, np.array([3, 2]), np.array([0, 1]))
    expected = built.multi_head_attention(X, kv_lengths=[3, 2])[[0, 1], [0, 1]]
    np.testing.assert_array_equal(y, expected)
    assert_differentiates(built, X, np.array([3, 2]), np.array([0, 1]))


def test_symbols_may_be_given_by_name_alone() -> None:
    x, lengths = Input((None, 4)), Input((), dtype=int)
    linear = Linear(4, 3, dtype=np.float64, rng=0)
    assert_differentiates(Model(x, linear(x=x)), X)
    attention = MultiHeadAttention(4, 2, dtype=np.float64, rng=0)
    built = Model(lengths, attention(X, kv_lengths=lengths))
    np.testing.assert_array_equal(built(np.array([3, 2])), attention(X, kv_lengths=[3, 2]))


def test_it_is_trained_with_tuples_and_dicts() -> None:
    user, item = Input((), dtype=int, name="user"), Input((), dtype=int, name="item")
    score = (Embedding(8, 4, rng=0)(user) * Embedding(8, 4, rng=1)(item)).sum(axis=-1)
    built = Model((user, item), score)
    built.compile(Adam(lr=0.05), "mse", ["mae"])
    users, items = (one.ravel() for one in np.meshgrid(np.arange(8), np.arange(8)))
    y = np.cos(users) * np.sin(items)
    x = {"user": users, "item": items}
    first = built.evaluate(x, y).loss
    built.fit((users, items), y, epochs=60, batch_size=16, verbose=False, rng=0)
    built.fit(x, y, epochs=1, validation_data=(x, y), verbose=False, rng=0)
    assert built.evaluate((users, items), y).loss < 0.05 * first
    assert np.abs(built.predict(x) - y).mean() < 0.1


def test_it_is_copied_pickled_saved_and_frozen(tmp_path: Any) -> None:
    built = model()
    for other in (pickle.loads(pickle.dumps(built)), copy.deepcopy(built)):
        assert other(X).tobytes() == built(X).tobytes()
        other.linear.weight = other.linear.weight * 2
        assert other(X).tobytes() != built(X).tobytes()
        assert other.layers.keys() == built.layers.keys()
    save_weights(built, tmp_path / "w.safetensors")
    fresh = model()
    fresh.linear.weight = fresh.linear.weight * 0
    load_weights(fresh, tmp_path / "w.safetensors")
    assert fresh(X).tobytes() == built(X).tobytes()
    fresh.freeze("linear*")
    _, backward = fresh.forward(X)
    backward(np.ones_like(X))
    assert all(not name.startswith("linear") for name in fresh.grads)
    with watch(fresh, "multi_head_attention") as seen:
        fresh(X)
    assert seen["multi_head_attention"].shape == (2, 2, 3, 3)


def test_the_output_activation_is_known() -> None:
    x = Input(4)
    h = Dense(3, activation="softmax")(x)
    assert Model(x, h).ends_in(None) == "softmax"
    assert Model(x, h.reshape(-1, 3)[:, :2]).ends_in(None) == "softmax"
    assert Model(x, steps.sigmoid(x)).ends_in(None) == "sigmoid"
    assert Model(x, Sequential(Linear(4, 2))(x)).ends_in(None) == "linear"
    assert Model(x, h + h).ends_in(None) is None
    assert Model(x, (h, h)).ends_in(None) is None


def test_summary_shows_the_graph(capsys: pytest.CaptureFixture[str]) -> None:
    tokens = Input((5,), dtype=int, name="tokens")
    h = Embedding(7, 4, rng=0)(tokens)
    h = h + SinusoidalPositions(4)(h)
    y, weights = MultiHeadAttention(4, 2, rng=1)(h, causal=True, return_weights=True)
    built = Model(tokens, [steps.concatenate([y, h], axis=-1)[:, 0], weights[..., 1:, None]])
    built.summary()
    table, _, graph = capsys.readouterr().out.partition("tokens   Input")
    assert "multi_head_attention: MultiHeadAttention(4, 2)" in table
    assert ("tokens   Input" + graph).splitlines() == [
        "tokens   Input (batch, 5) int64",
        "h1       embedding(tokens)",
        "h2       sinusoidal_positions(h1)",
        "h3       h1 + h2",
        "h4       multi_head_attention(h3, causal=True, return_weights=True)",
        "h5       h4[0]",
        "h6       h4[1]",
        "h7       concatenate([h5, h3], axis=-1)",
        "h8       h7[:, 0]",
        "h9       h6[…, 1:, None]",
        "outputs  h8, h9",
    ]


def test_a_subclass_of_model_may_have_call() -> None:
    class Mine(Model):
        def __init__(self) -> None:
            super().__init__()
            self.linear = Linear(4, 2, dtype=np.float64, rng=0)

        def call(self, x: Any) -> Any:
            return self.linear(x) * 2

    assert_differentiates(Mine(), X)
    x = Input((3, 4))
    assert x.shape == (None, 3, 4)
    assert Model(x, Mine()(x))(X).shape == (2, 3, 2)


def test_an_input_may_be_an_output() -> None:
    x = Input((4,))
    y, backward = Model(x, (x, x * 2)).forward(X[0])
    assert (y[0] == X[0]).all()
    assert (backward(np.ones((3, 4)), np.ones((3, 4))) == 3).all()
