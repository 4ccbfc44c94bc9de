"""AttentionMonitor in fit: when it looks, at which layers, and what it leaves as it is."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from monitored import classifier, train

from heedful import layers as L
from heedful.base._taps import taps_of
from heedful.training import AttentionMonitor, Callback

RNG = np.random.default_rng(8)
X = RNG.standard_normal((4, 11, 8))


def test_it_looks_at_every_nth_step() -> None:
    model, monitor = classifier(), AttentionMonitor(every=3)
    train(model, monitor)
    assert monitor.steps == [0, 3, 6]
    train(model, monitor, 3)
    assert monitor.steps == [0, 3, 6, 9]
    assert set(monitor.history) == {"0"}
    assert {len(rows) for rows in monitor.history["0"].values()} == {4}
    assert not taps_of(model[0])


def test_weights_are_those_before_dropout_and_noise() -> None:
    probe = RNG.standard_normal((3, 5, 8)).astype(np.float32)
    model = classifier(dropout=0.5, key_dropout=0.5, gumbel_temperature=0.5)
    monitors = AttentionMonitor(every=1), AttentionMonitor(every=1, probe=probe)
    x = np.tile(probe, (2, 1, 1))
    model.fit(x, x[:, 0, :1], batch_size=3, shuffle=False, callbacks=list(monitors[:1]),
              verbose=False)  # fmt: skip
    again = classifier(dropout=0.5, key_dropout=0.5, gumbel_temperature=0.5)
    again.fit(x, x[:, 0, :1], batch_size=3, shuffle=False, callbacks=list(monitors[1:]),
              verbose=False)  # fmt: skip
    for name, rows in monitors[0].history["0"].items():
        np.testing.assert_allclose(rows[0], monitors[1].history["0"][name][0], rtol=1e-5)


def test_training_is_the_same_bits_with_and_without() -> None:
    x = RNG.standard_normal((12, 5, 8)).astype(np.float32)
    states = []
    for callbacks in (None, AttentionMonitor(every=1), AttentionMonitor(every=2, probe=x)):
        model = classifier(dropout=0.3)
        model.fit(x, x[:, 0, :1], epochs=2, batch_size=3, callbacks=callbacks, verbose=False, rng=0)
        states.append(model.state_dict())
    for state in states[1:]:
        for name, value in states[0].items():
            np.testing.assert_array_equal(state[name], value)


def test_validation_is_not_recorded_and_copies_are_none() -> None:
    x = RNG.standard_normal((4, 5, 8)).astype(np.float32)
    kept: list[Any] = []

    class Copy(Callback):
        def on_batch_end(self, batch: int, logs: Any = None) -> None:
            copy = pickle.loads(pickle.dumps(self.model))
            kept.append((taps_of(copy[0]), taps_of(self.model[0])))

    histories = []
    for validation in (None, (10 * x, x[:, 0, :1])):
        monitor = AttentionMonitor(every=1)
        classifier().fit(
            x, x[:, 0, :1], epochs=3, batch_size=2, shuffle=False, verbose=False,
            validation_data=validation, callbacks=[monitor, Copy()],
        )  # fmt: skip
        histories.append(monitor.history["0"]["entropy"])
        assert monitor.steps == [0, 1, 2, 3, 4, 5]
    np.testing.assert_array_equal(*histories)
    assert all(of_model and not of_copy for of_copy, of_model in kept[:1])
    assert not any(of_copy for of_copy, _ in kept)


def test_a_probe_is_looked_at_once_a_step() -> None:
    model, monitor = classifier(), AttentionMonitor(every=2, probe=X.astype(np.float32))
    for _ in range(2):
        train(model, monitor, 4)
    assert monitor.steps == [0, 2, 4, 6, 8]


def test_it_lets_go_of_the_layers_when_fit_fails() -> None:
    model, monitor = classifier(), AttentionMonitor(every=1)
    x = RNG.standard_normal((4, 5, 8)).astype(np.float32)
    x[2:] = np.nan
    with pytest.raises(FloatingPointError):
        model.fit(x, np.ones((4, 1)), batch_size=2, shuffle=False, callbacks=monitor, verbose=False)
    assert monitor.steps == [0, 1]  # with what the step that failed has seen
    assert not taps_of(model[0])
    with pytest.raises(ValueError, match="query"):
        monitor.record(model[0], x[..., :3])
    assert not taps_of(model[0])


def test_layers_are_chosen_by_name() -> None:
    model = L.Transformer(9, 9, 8, 2, 2, 16, rng=0)
    inputs = [[1, 2, 3]], [[4, 5]]
    monitor = AttentionMonitor()
    monitor.record(model, *inputs)
    assert list(monitor.history) == [
        f"{place}.layers.{i}.{name}" for place, names in
        (("encoder", ["self_attn"]), ("decoder", ["self_attn", "multihead_attn"]))
        for i in range(2) for name in names
    ]  # fmt: skip
    chosen = AttentionMonitor("decoder.layers.1.multihead_attn")
    chosen.record(model, *inputs)
    chosen.record(model, *inputs)
    assert list(chosen.history) == ["decoder.layers.1.multihead_attn"]
    assert chosen.steps == [0, 1]


@pytest.mark.parametrize(
    ("layers", "model", "message"),
    [
        ("attend", classifier(), r"layers must be among \['0'\]: got 'attend'"),
        (["0", "1"], classifier(), r"layers must be among \['0'\]: got '1'"),
        (None, L.Sequential(L.Linear(8, 1)),
         "model must have a MultiHeadAttention for AttentionMonitor: it has none"),
        ("0", L.Encoder(1, 8, 2, 16, mixer="linear"),
         "model must have a MultiHeadAttention for AttentionMonitor: it has none"),
    ],
    ids=["unknown", "pooling", "none", "linear"],
)  # fmt: skip
def test_layers_that_do_not_exist_are_refused(layers: Any, model: Any, message: str) -> None:
    monitor = AttentionMonitor(layers)
    with pytest.raises(ValueError, match=rf"\A{message}\Z"):
        monitor.record(model, X)
    with pytest.raises(ValueError, match=rf"\A{message}\Z"):
        monitor.on_begin(model)  # before the first step of fit
