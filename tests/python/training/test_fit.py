"""compile, fit, evaluate, predict: what a Keras user expects."""

from __future__ import annotations

import io
import sys
import time
from typing import Any

import numpy as np
import pytest
from small_training import network, points

from heedful.layers import (
    Dense,
    Embedding,
    GlobalAveragePooling1D,
    Layer,
    Linear,
    MultiHeadAttention,
    Sequential,
    Transformer,
)
from heedful.training import (
    L1,
    L2,
    SGD,
    Adam,
    BestCheckpoint,
    EarlyStopping,
    SparseCategoricalCrossEntropy,
    load_training,
    load_weights,
    save_training,
)

pytest.importorskip("safetensors")


def test_the_listing_of_a_keras_user_runs(rng: np.random.Generator, capsys: Any) -> None:
    x = rng.integers(0, 50, (320, 12))
    y = (x < 5).any(1).astype(int)
    model = Sequential([
        Embedding(50, 16),
        MultiHeadAttention(16, 4),
        GlobalAveragePooling1D(),
        Dense(1, kernel_regularizer=L2(1e-4)),
    ])  # fmt: skip
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    history = model.fit(x, y, epochs=5, batch_size=64)
    assert list(history.history) == ["loss", "accuracy"]
    assert len(history["loss"]) == 5
    assert history["loss"][-1] < history["loss"][0]
    assert "epoch 5/5  loss 0." in capsys.readouterr().out
    loss, accuracy = model.evaluate(x, y)
    assert 0 < loss < 1
    assert 0.4 < accuracy <= 1
    assert model.predict(x).shape == (320, 1)


def test_a_model_is_trained(rng: np.random.Generator) -> None:
    x, y = points(rng)
    model = network(optimizer=Adam(lr=0.03))
    history = model.fit(x, y, epochs=20, validation_data=points(rng), verbose=False, rng=0)
    assert history["accuracy"][-1] > 0.95
    assert history["val_accuracy"][-1] > 0.9
    found = model.evaluate(x, y)
    assert found.accuracy == pytest.approx(((model.predict(x)[:, 0] > 0) == y).mean())


@pytest.mark.parametrize("last", ["sigmoid", None])
def test_the_output_activation_of_a_model(last: Any, rng: np.random.Generator) -> None:
    x, y = points(rng)
    model = Sequential(Dense(1, activation=last, rng=0))
    model.compile(SGD(lr=0.5), "binary_crossentropy", ["accuracy"])
    model.fit(x, y, epochs=10, verbose=False, rng=0)
    assert model.evaluate(x, y).accuracy > 0.95


def test_a_seed_gives_the_same_bits(rng: np.random.Generator) -> None:
    x, y = points(rng)
    states = []
    for seed in (3, 3, 4):
        model = network(0.3)
        model.fit(x, y, epochs=2, verbose=False, rng=seed)
        states.append(model.state_dict())
    for name in states[0]:
        np.testing.assert_array_equal(states[0][name], states[1][name])
    assert any((states[0][name] != states[2][name]).any() for name in states[0])


def test_a_saved_training_resumes_with_the_same_bits(
    rng: np.random.Generator, tmp_path: Any
) -> None:
    x, y = points(rng)
    whole, first, second = network(0.3), network(0.3), network(0.3)
    whole.fit(x, y, epochs=4, verbose=False, rng=3)
    first.fit(x, y, epochs=2, verbose=False, rng=3)
    save_training(first, tmp_path / "state.safetensors")
    load_training(second, tmp_path / "state.safetensors")
    second.fit(x, y, epochs=2, verbose=False)
    assert second.history.history == whole.history.history
    for name, array in whole.parameters().items():
        np.testing.assert_array_equal(array, second.parameters()[name])


def test_inputs_may_be_several(rng: np.random.Generator) -> None:
    source, target = rng.integers(3, 9, (40, 5)), rng.integers(3, 9, (40, 6))
    model = Transformer(9, 9, 8, 2, 1, 16, rng=0)
    model.compile("adam", SparseCategoricalCrossEntropy(ignore_index=3), ["accuracy"])
    model.fit((source, target[:, :-1]), target[:, 1:], verbose=False)
    model.fit({"source": source, "target": target[:, :-1]}, target[:, 1:], verbose=False)
    counted = target[:, 1:] != 3
    predicted = model.predict((source, target[:, :-1])).argmax(-1)
    expected = (predicted == target[:, 1:])[counted].mean()
    found = model.evaluate((source, target[:, :-1]), target[:, 1:])
    assert found.accuracy == pytest.approx(expected)


def test_targets_that_do_not_count_do_not_count_in_any_batch(rng: np.random.Generator) -> None:
    """The loss is the mean over all targets that count, however they are split into batches."""
    x, y = rng.standard_normal((4, 6, 5)), rng.integers(0, 3, (4, 6))
    y[0, 1:] = y[3, 2:] = -1
    model = Sequential([Linear(5, 3, rng=0, dtype=np.float64)])
    loss_fn = SparseCategoricalCrossEntropy(ignore_index=-1)
    model.compile("sgd", loss_fn)
    whole, _ = loss_fn(y, model(x))
    for batch_size in (1, 2, 3):
        assert model.evaluate(x, y, batch_size=batch_size).loss == pytest.approx(whole, rel=1e-12)


def test_regularizers_are_part_of_loss_and_gradient(rng: np.random.Generator) -> None:
    x, y = points(rng)
    model = Sequential(Dense(1, kernel_regularizer=L1(0.5), rng=0))
    plain = Sequential(Dense(1, rng=0))
    for one in (model, plain):
        one.compile(SGD(lr=0.1), "mse")
        one.predict(x)
    weight = model[0].linear.weight.copy()
    penalty = 0.5 * np.abs(weight).sum()
    assert model.evaluate(x, y).loss == pytest.approx(plain.evaluate(x, y).loss + penalty)
    for one in (model, plain):
        one.fit(x, y, batch_size=120, verbose=False, shuffle=False)
    np.testing.assert_allclose(
        model[0].linear.weight, plain[0].linear.weight - 0.05 * np.sign(weight), atol=1e-6
    )


def test_early_stopping_restores_the_best_weights(rng: np.random.Generator) -> None:
    x, y = points(rng)
    states, losses = [], []

    def remember(epoch: int, logs: dict[str, float]) -> None:
        states.append(model.state_dict())
        losses.append(logs["val_loss"])

    model = network(optimizer=SGD(lr=20.0))
    stopping = EarlyStopping(patience=3)
    model.fit(x, y, epochs=100, validation_data=points(rng), callbacks=[remember, stopping],
              verbose=False, rng=0)  # fmt: skip
    best = int(np.argmin(losses))
    assert len(losses) == best + 4 < 100
    for name, array in model.parameters().items():
        np.testing.assert_array_equal(array, states[best][name])


def test_the_best_weights_are_saved(rng: np.random.Generator, tmp_path: Any) -> None:
    x, y = points(rng)
    model, other = network(), network()
    path = tmp_path / "best.safetensors"
    model.fit(x, y, epochs=3, callbacks=BestCheckpoint(path, "loss"), verbose=False)
    load_weights(other, path)
    assert other.evaluate(x, y).loss <= model.history["loss"][0]
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_bar_moves_where_output_is_interactive(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tqdm")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    class Slow(Layer):
        """A tenth of a second a batch: tqdm draws no more often."""

        def __init__(self) -> None:
            self.inner = Linear(4, 1, rng=0)

        def compute(self, mode: Any, x: Any) -> Any:
            time.sleep(0.11)
            return self.inner.compute(mode, x)

    x, y = points(rng)
    model, seen = Slow(), Terminal()
    model.compile("sgd", "mse")
    monkeypatch.setattr(sys, "stderr", seen)
    model.fit(x, y, batch_size=60, verbose=False)
    assert not seen.getvalue()
    model.fit(x, y, batch_size=60)
    assert "epoch 2/2:  50%" in seen.getvalue()
    assert "loss=" in seen.getvalue()
