"""GRU and LSTM beside plain loops, and what holds of both whatever the numbers are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from recurrent_reference import recurrent

import heedful
from heedful import layers, training
from heedful.testing import gradcheck

KINDS = ["GRU", "LSTM"]
# few rows, packed weights, several groups of sequences, units divided among threads
SHAPES = {"few": (2, 3, 5), "one": (1, 41, 7), "groups": (67, 4, 9), "wide": (3, 7, 233)}
LENGTHS = {"few": [3, 1], "one": [29], "groups": None, "wide": [2, 7, 0]}


def make(kind: str, *sizes: Any, **options: Any) -> Any:
    return getattr(layers, kind)(*sizes, **{"rng": 3, "dtype": np.float64, **options})


def states(kind: str, batch: int, count: int, width: int, rng: Any) -> list[Any]:
    return [rng.standard_normal((batch, count, width)) for _ in range(1 + (kind == "LSTM"))]


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True, "bias": False}])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_results_are_those_of_plain_loops(
    kind: str, shape: str, options: dict[str, Any], padded: bool, rng: np.random.Generator
) -> None:
    batch, length, width = SHAPES[shape]
    count, directions = options.get("num_layers", 1), 1 + options.get("bidirectional", False)
    layer = make(kind, 5, width, **options)
    x, given = (
        rng.standard_normal((batch, length, 5)),
        states(kind, batch, count * directions, width, rng),
    )
    lengths = rng.integers(0, length + 1, batch).tolist()
    if LENGTHS[shape] is not None:
        lengths = LENGTHS[shape]
    lengths = lengths if padded else [length] * batch
    y, lasts = recurrent(kind, layer.parameters(), x, given, lengths, count, directions)
    for threads in (1, 3):
        with heedful.num_threads(threads):
            found = layer(x, *given, lengths=lengths if padded else None, return_state=True)
        np.testing.assert_allclose(found[0], y, rtol=0, atol=1e-13)
        for one, wanted in zip(found[1:], lasts, strict=True):
            np.testing.assert_allclose(one, wanted, rtol=0, atol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_states_are_finite_differences(kind: str, rng: np.random.Generator) -> None:
    layer = make(kind, 3, 4, num_layers=2, bidirectional=True)
    x, given = rng.standard_normal((5, 6, 3)), states(kind, 5, 4, 4, rng)
    lengths = [6, 2, 0, 5, 6]
    outputs = layer(x, *given, lengths=lengths, return_state=True)
    weights = [rng.standard_normal(one.shape) for one in outputs]

    def loss(*arrays: Any) -> tuple[Any, Any]:
        found, backward = layer.forward(*arrays, lengths=lengths, return_state=True)
        total = sum((one * by).sum() for one, by in zip(found, weights, strict=True))
        return total, lambda dy: backward(*(dy * by for by in weights))

    gradcheck(loss, x, *given)


@pytest.mark.parametrize("kind", KINDS)
def test_position_by_position_is_the_whole(kind: str, rng: np.random.Generator) -> None:
    layer = make(kind, 3, 6, num_layers=2)
    x = rng.standard_normal((2, 11, 3))
    whole, *ends = layer(x, return_state=True)
    passed: list[Any] = []
    for position in range(11):
        y, *passed = layer(x[:, position : position + 1], *passed, return_state=True)
        np.testing.assert_allclose(y[:, 0], whole[:, position], rtol=0, atol=1e-13)
    for one, end in zip(passed, ends, strict=True):
        np.testing.assert_allclose(one, end, rtol=0, atol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_is_never_read(kind: str, rng: np.random.Generator) -> None:
    layer = make(kind, 3, 4, num_layers=2, bidirectional=True)
    x, lengths = rng.standard_normal((5, 6, 3)), np.array([6, 2, 0, 5, 3])
    spoilt = np.where(np.arange(6)[:, None] < lengths[:, None, None], x, np.nan)
    y, backward = layer.forward(spoilt, lengths=lengths)
    np.testing.assert_array_equal(y, layer(x, lengths=lengths))
    assert not y[np.arange(6) >= lengths[:, None]].any()
    dx = backward(np.where(np.isnan(spoilt[..., :1]), np.nan, np.ones_like(y)))
    assert np.isfinite(dx).all()
    assert not dx[np.isnan(spoilt)].any()
    assert all(np.isfinite(gradient).all() for gradient in layer.grads.values())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_bits_are_the_same_for_any_number_of_threads(
    kind: str, shape: str, dtype: Any, rng: np.random.Generator
) -> None:
    batch, length, width = SHAPES[shape]
    x = rng.standard_normal((batch, length, 5))
    found = []
    for threads in (1, 2, 3):
        layer = make(kind, 5, width, bidirectional=True, dtype=dtype)
        with heedful.num_threads(threads):
            y, backward = layer.forward(x, lengths=LENGTHS[shape])
            found.append([y, backward(np.cos(y)), *layer.grads.values()])
    for arrays in found[1:]:
        for one, first in zip(arrays, found[0], strict=True):
            np.testing.assert_array_equal(one, first)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_has_the_same_bits_alone_and_in_a_batch(
    kind: str, rng: np.random.Generator
) -> None:
    layer = make(kind, 5, 33, num_layers=2)
    x = rng.standard_normal((9, 40, 5))
    np.testing.assert_array_equal(layer(x[4:5]), layer(x)[4:5])


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_is_between_layers(kind: str, rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 5, 3))
    one = make(kind, 3, 4, dropout=1.0)
    np.testing.assert_array_equal(one.forward(x, rng=0)[0], one(x))
    two = make(kind, 3, 4, num_layers=2, dropout=1.0)
    alone = make(kind, 4, 4)
    alone.load_state_dict({name: two.parameters()[name[:-1] + "1"] for name in alone.parameters()})
    np.testing.assert_array_equal(two.forward(x, rng=0)[0], alone(np.zeros((2, 5, 4))))
    np.testing.assert_array_equal(two(x), make(kind, 3, 4, num_layers=2)(x))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_to_read_leaves_the_state(kind: str) -> None:
    layer = make(kind, 3, 4)
    given = [np.ones((2, 1, 4))] * (1 + (kind == "LSTM"))
    for x, lengths in ((np.ones((2, 0, 3)), None), (np.ones((2, 5, 3)), [0, 0])):
        (y, *lasts), backward = layer.forward(x, *given, lengths=lengths, return_state=True)
        assert y.shape == (2, x.shape[1], 4)
        assert not y.any()
        dx, *dstates = backward(np.ones_like(y), *(2 * one for one in given))
        assert not dx.any()
        for last, dstate, one in zip(lasts, dstates, given, strict=True):
            np.testing.assert_array_equal(last, one)
            np.testing.assert_array_equal(dstate, 2 * one)
    assert layer(np.ones((0, 5, 3))).shape == (0, 5, 4)
    assert layer(np.ones((5, 3))).shape == (5, 4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_gradient_of_a_state_alone_is_named(kind: str) -> None:
    layer = make(kind, 3, 4)
    _, backward = layer.forward(np.ones((2, 5, 3)), return_state=True)
    with pytest.raises(ValueError, match=r"\Adstate must have shape \(2, 1, 4\): got \(2, 4\)"):
        backward(np.ones((2, 5, 4)), np.ones((2, 4)))
    backward(dy=np.ones((2, 5, 4)), dstate=np.ones((2, 1, 4)))


def test_states_of_pytorch_as_a_pair_are_refused() -> None:
    h = np.zeros((2, 1, 4))
    with pytest.raises(TypeError, match=r"\Astate must be an array, write state, cell one after"):
        make("LSTM", 3, 4)(np.ones((2, 5, 3)), (h, h))


@pytest.mark.parametrize("kind", KINDS)
def test_a_frozen_weight_gets_no_gradient(kind: str, rng: np.random.Generator) -> None:
    x = rng.standard_normal((4, 6, 3))
    whole, part = make(kind, 3, 4), make(kind, 3, 4)
    part.freeze("weight_*")
    for layer in (whole, part):
        y, backward = layer.forward(x)
        backward(np.cos(y))
    assert set(part.grads) == {"bias_ih_l0", "bias_hh_l0"}
    for name, gradient in part.grads.items():
        np.testing.assert_allclose(gradient, whole.grads[name], rtol=1e-12)


def test_a_classifier_of_long_range_memory_is_trained(rng: np.random.Generator) -> None:
    class Last(layers.Layer):
        def __init__(self) -> None:
            self.gru = layers.GRU(2, 8, rng=0)
            self.head = layers.Linear(8, 2, rng=1)

        def compute(self, mode: layers.Mode, x: Any) -> Any:
            (y, state), back_gru = self.gru.compute(mode, x, return_state=True)
            logits, back_head = self.head.compute(mode, state[:, 0])

            def backward(dlogits: Any) -> Any:
                return back_gru(np.zeros_like(y), back_head(dlogits)[:, None])

            return logits, backward

    x = rng.standard_normal((200, 12, 2)).astype(np.float32)
    x[..., 1] = 0
    x[:, 0, 1] = rng.choice([-2, 2], 200)  # the label, twelve steps before the end
    model = Last()
    model.compile(training.Adam(lr=0.02), "sparse_categorical_crossentropy", ["accuracy"])
    model.fit(x, (x[:, 0, 1] > 0).astype(int), epochs=15, verbose=False, rng=0)
    assert model.history["accuracy"][-1] > 0.99
