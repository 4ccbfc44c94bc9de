"""Callbacks: what they receive, what they keep, and that on_end is called for all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_training import network, points

from heedful.training import (
    SGD,
    Adam,
    BestCheckpoint,
    Callback,
    EarlyStopping,
    load_training,
    load_weights,
    save_training,
)

pytest.importorskip("safetensors")


def assert_equal(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert list(found) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


class Remember(Callback):
    """Weights and optimizer after each epoch."""

    def __init__(self) -> None:
        self.states: list[Any] = []
        self.losses: list[float] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        self.states.append((self.model.state_dict(), self.model.optimizer.state_dict()))
        self.losses.append(logs.get("val_loss", logs["loss"]))


def test_a_second_fit_does_not_replace_a_better_file(
    rng: np.random.Generator, tmp_path: Path
) -> None:
    x, y = points(rng)
    model, other = network(optimizer=Adam(lr=0.03)), network()
    best = BestCheckpoint(tmp_path / "best.safetensors", "loss")
    model.fit(x, y, epochs=5, callbacks=best, verbose=False, rng=0)
    before, value = model.state_dict(), best.best
    assert value == min(model.history["loss"])
    model.optimizer.lr = 30.0
    model.fit(x, y, epochs=2, callbacks=best, verbose=False)
    assert min(model.history["loss"][5:]) > value == best.best
    load_weights(other, tmp_path / "best.safetensors")
    assert_equal(other.state_dict(), before)


def test_a_file_that_could_not_be_written_is_not_the_best(
    rng: np.random.Generator, tmp_path: Path
) -> None:
    x, y = points(rng)
    model, folder = network(), tmp_path / "folder"
    folder.mkdir()
    best = BestCheckpoint(folder / "best.safetensors", "loss")

    class Remove(Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            folder.rmdir()

    with pytest.raises(FileNotFoundError, match="path must be in an existing folder"):
        model.fit(x, y, callbacks=[Remove(), best], verbose=False)
    assert best.best == np.inf


def test_early_stopping_monitors_each_fit_by_itself(rng: np.random.Generator) -> None:
    x, y = points(rng)
    model, stopping = network(optimizer=SGD(lr=0.1)), EarlyStopping("loss", patience=2)
    model.fit(x, y, epochs=3, callbacks=stopping, verbose=False, rng=0)
    model.fit(x, 1 - y, epochs=3, callbacks=stopping, verbose=False)  # worse, and better again
    assert len(model.history["loss"]) == 6
    assert stopping.best == min(model.history["loss"][3:])


def test_the_best_weights_are_restored_with_their_optimizer(
    rng: np.random.Generator, tmp_path: Path
) -> None:
    x, y = points(rng)
    model, seen = network(optimizer=Adam(lr=0.5)), Remember()
    model.fit(x, y, epochs=100, validation_data=points(rng),
              callbacks=[seen, EarlyStopping(patience=3)], verbose=False, rng=0)  # fmt: skip
    best = int(np.argmin(seen.losses))
    assert len(seen.losses) == best + 4 < 100
    assert_equal(model.state_dict(), seen.states[best][0])
    assert_equal(model.optimizer.state_dict(), seen.states[best][1])
    save_training(model, tmp_path / "state.safetensors")
    other = network(optimizer=Adam(lr=0.5))
    load_training(other, tmp_path / "state.safetensors")
    assert other.optimizer.steps == 4 * (best + 1)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_training_keeps_its_last_batch(error: Any, rng: np.random.Generator) -> None:
    x, y = points(rng)

    class Stop(Remember):
        def on_batch_end(self, batch: int, logs: Any = None) -> None:
            self.last = self.model.state_dict(), self.model.optimizer.state_dict()
            if len(self.losses) == 3 and batch == 1:
                raise error

    model, stop = network(optimizer=Adam(lr=1.0)), Stop()
    stopping = EarlyStopping("loss", patience=50)
    with pytest.raises(error):
        model.fit(x, y, epochs=100, callbacks=[stop, stopping], verbose=False, rng=0)
    assert stopping.interrupted
    assert model.optimizer.steps == 3 * 4 + 2
    assert_equal(model.state_dict(), stop.last[0])
    assert_equal(model.optimizer.state_dict(), stop.last[1])


def test_all_callbacks_end_if_one_fails(rng: np.random.Generator) -> None:
    x, y = points(rng)
    ended = []

    class Ends(Callback):
        def on_end(self) -> None:
            ended.append(self.interrupted)

    class Fails(Callback):
        def on_end(self) -> None:
            raise RuntimeError("full disk")

    model = network()
    with pytest.raises(RuntimeError, match="full disk"):
        model.fit(x, y, callbacks=[Ends(), Fails(), Ends()], verbose=False)
    assert ended == [False, False]

    def stops(epoch: int, logs: Any) -> None:
        raise KeyError("the first error")

    with (
        pytest.warns(RuntimeWarning, match="a callback failed in on_end"),
        pytest.raises(KeyError, match="the first error"),
    ):
        model.fit(x, y, callbacks=[Fails(), stops, Ends()], verbose=False)
    assert ended == [False, False, True]


def test_keras_s_names_are_called(rng: np.random.Generator) -> None:
    x, y = points(rng)
    seen: list[Any] = []

    class Keras(Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            seen.append("begin")

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            seen.append(epoch)

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            seen.append((batch, sorted(logs)))

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.stop_training = epoch == 1

        def on_train_end(self, logs: Any = None) -> None:
            seen.append("end")

    model = network()
    model.fit(x, y, epochs=5, batch_size=60, callbacks=Keras(), verbose=False)
    batches = [(0, ["accuracy", "loss"]), (1, ["accuracy", "loss"])]
    assert seen == ["begin", 0, *batches, 1, *batches, "end"]
    model.fit(x, y, epochs=1, verbose=False)
    assert len(model.history["loss"]) == 3


def test_a_callback_that_stopped_one_fit_does_not_stop_the_next(rng: np.random.Generator) -> None:
    x, y = points(rng)

    class First(Callback):
        def on_epoch_end(self, epoch: int, logs: Any) -> None:
            if epoch == 0:
                self.stop = True

    model, first = network(), First()
    model.fit(x, y, epochs=3, callbacks=first, verbose=False)
    model.fit(x, y, epochs=3, callbacks=first, verbose=False)
    assert len(model.history["loss"]) == 4


def test_an_unknown_value_needs_a_mode() -> None:
    for name in ("val_kappa", "kappa", "gini", "val_los"):
        with pytest.raises(ValueError, match=f'"min" or "max" for monitor=\'{name}\''):
            EarlyStopping(name)
        assert EarlyStopping(name, mode="max").sign == -1
    for name in ("loss", "val_loss", "val_mae", "mse_2"):
        assert EarlyStopping(name).sign == 1
    for name in ("accuracy", "val_accuracy", "acc", "val_binary_accuracy", "accuracy_2",
                 "auc", "val_auc", "val_auc_2", "precision", "val_recall", "val_f1"):  # fmt: skip
        assert EarlyStopping(name).sign == -1


def test_callbacks_are_refused_in_one_sentence(rng: np.random.Generator) -> None:
    for call, kind, message in (
        (lambda: EarlyStopping(restore_best_weights=True), TypeError,  # type: ignore[call-arg]
         "EarlyStopping has no argument restore_best_weights: write restore_best"),
        (lambda: EarlyStopping(min_delta=-0.1), ValueError, "min_delta must not be negative"),
        (lambda: EarlyStopping(None), TypeError, "monitor must be a name in the history"),
        (lambda: network().fit(*points(rng), callbacks=[EarlyStopping]), TypeError,
         r"write EarlyStopping\(…\)"),
    ):  # fmt: skip
        with pytest.raises(kind, match=message):
            call()


def test_a_missing_value_is_an_error_before_the_first_step(
    rng: np.random.Generator, tmp_path: Path
) -> None:
    x, y = points(rng)
    for callback, kind, message in (
        (EarlyStopping(), ValueError, "give fit validation_data or validation_split"),
        (EarlyStopping("kappa", mode="max"), ValueError, r"monitor must be one of \['loss', 'accu"),
        (BestCheckpoint(tmp_path / "no" / "best"), ValueError, "needs a validation set"),
        (BestCheckpoint(tmp_path / "no" / "best", "loss"), FileNotFoundError,
         "path must be in an existing folder"),
    ):  # fmt: skip
        model = network()
        with pytest.raises(kind, match=message):
            model.fit(x, y, callbacks=callback, verbose=False)
        assert model.optimizer.steps == 0
