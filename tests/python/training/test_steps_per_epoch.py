"""steps_per_epoch, ends within an epoch, and the history of each fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from seen_batches import Loader, batches, endless, numbered, seen
from small_training import network, points

from heedful.training import BestCheckpoint, Callback, EarlyStopping


def test_an_infinite_generator_is_trained_on_batch_by_batch() -> None:
    model = seen()
    history = model.fit(endless(), epochs=3, steps_per_epoch=4, verbose=False)
    assert model.learned == [[2.0 * at, 2.0 * at + 1] for at in range(12)]
    assert len(history["loss"]) == 3
    assert model.optimizer.steps == 12


@pytest.mark.parametrize("kind", ["arrays", "list", "loader"])
def test_data_at_their_end_restart(kind: str) -> None:
    model = seen()
    given: Any = {"list": list(batches(5)), "loader": Loader(5)}.get(kind)
    data = numbered(10) if kind == "arrays" else (given,)
    options = {"batch_size": 2, "shuffle": False} if kind == "arrays" else {}
    model.fit(*data, epochs=4, steps_per_epoch=3, verbose=False, **options)
    assert [first for first, _ in model.learned] == [0, 2, 4, 6, 8, 0, 2, 4, 6, 8, 0, 2]
    if kind == "loader":
        assert given.times == 3
    model.fit(*data, steps_per_epoch=7, verbose=False, **options)
    assert [first for first, _ in model.learned[12:]] == [0, 2, 4, 6, 8, 0, 2]


def test_shuffled_arrays_are_exhausted_before_they_repeat() -> None:
    model = seen()
    model.fit(*numbered(10), batch_size=2, epochs=5, steps_per_epoch=4, verbose=False, rng=0)
    firsts = np.concatenate(model.learned).reshape(4, 10)
    for rows in firsts:
        assert sorted(rows) == list(range(10))
    assert len({tuple(rows) for rows in firsts}) == 4


def test_a_whole_pass_is_an_epoch_by_itself(rng: np.random.Generator) -> None:
    x, y = points(rng)
    one, other = network(0.3), network(0.3)
    one.fit(x, y, epochs=3, verbose=False, rng=3)
    other.fit(x, y, epochs=3, steps_per_epoch=4, verbose=False, rng=3)
    assert one.history.history == other.history.history


@pytest.mark.parametrize(("count", "epochs", "left"), [(10, 3, 2), (8, 2, 0), (1, 1, 1)])
def test_a_generator_that_ends_too_early_ends_the_training(
    count: int, epochs: int, left: int
) -> None:
    model, ended = seen(), []

    class Ends(Callback):
        def on_epoch_end(self, epoch: int, logs: Any) -> None:
            ended.append(epoch)

        def on_end(self) -> None:
            ended.append("end")

    message = rf"x yielded fewer batches than steps_per_epoch requires: .* {epochs} of 6 epochs"
    with pytest.warns(UserWarning, match=message) as warned:
        history = model.fit(
            batches(count), epochs=6, steps_per_epoch=4, callbacks=Ends(), verbose=False
        )
    assert len(warned) == 1
    assert warned[0].filename == __file__
    assert len(model.learned) == count == model.optimizer.steps
    assert ended == [*range(epochs), "end"]
    assert len(history["loss"]) == epochs
    last = model.learned[-left:] if left else model.learned[-4:]
    assert len(last) == (left or 4)


def test_a_generator_with_enough_batches_gives_no_warning() -> None:
    model = seen()
    model.fit(batches(8), epochs=2, steps_per_epoch=4, verbose=False)
    assert model.optimizer.steps == 8
    with pytest.raises(ValueError, match="x must yield at least one batch: got none"):
        model.fit(iter(()), steps_per_epoch=3, verbose=False)


class Stop(Callback):
    """Ends the training in the second epoch, after its third batch."""

    def __init__(self, way: str) -> None:
        self.way, self.seen = way, [0, 0]

    def end(self, batch: int) -> None:
        if self.seen[0] == 1 and batch == 2:
            if self.way.startswith("keras"):
                self.model.stop_training = True
            else:
                self.stop = True

    def on_epoch_end(self, epoch: int, logs: Any) -> None:
        self.seen[0] += 1
        self.logs = logs


class OnBatch(Stop):
    def on_batch_end(self, batch: int, logs: Any = None) -> None:
        self.end(batch)


class OnTrainBatch(Stop):
    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.end(batch)


@pytest.mark.parametrize("way", ["own", "keras"])
@pytest.mark.parametrize("kind", [OnBatch, OnTrainBatch])
def test_a_stop_inside_an_epoch_is_after_the_batch(kind: Any, way: str, rng: Any) -> None:
    x, y = points(rng)
    model, stop = network(), kind(way)
    history = model.fit(
        x, y, epochs=5, batch_size=20, validation_data=(x, y), callbacks=stop, verbose=False
    )
    assert model.optimizer.steps == 6 + 3
    assert len(history["loss"]) == len(history["val_loss"]) == 2
    assert stop.seen[0] == 2
    assert stop.logs["loss"] == history["loss"][-1]
    assert history["val_loss"][-1] == pytest.approx(model.evaluate(x, y).loss)
    model.fit(x, y, epochs=2, batch_size=20, verbose=False)
    assert model.optimizer.steps == 9 + 12


def test_fit_returns_the_history_of_its_own_epochs(rng: np.random.Generator) -> None:
    x, y = points(rng)
    model = network()
    first = model.fit(x, y, epochs=3, verbose=False)
    kept = {name: list(values) for name, values in first.history.items()}
    second = model.fit(x, y, epochs=2, validation_data=(x, y), verbose=False)
    assert first.history == kept
    assert (first.epoch, second.epoch) == ([0, 1, 2], [3, 4])
    assert list(second.history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert {len(values) for values in second.history.values()} == {2}
    assert model.history.epoch == [0, 1, 2, 3, 4]
    assert model.history["loss"] == first["loss"] + second["loss"]
    assert not np.isnan(second["val_loss"]).any()
    assert repr(second).startswith("History(2 epochs, last: loss 0.")
    model.compile("adam", "mse")
    assert model.fit(x, y, verbose=False).epoch == [0]


def test_evaluate_ends_after_so_many_batches() -> None:
    model = seen()
    expected = model.evaluate(*numbered(4))
    for given in ((endless(),), (*numbered(10),), (Loader(5),), (list(batches(5)),)):
        assert model.evaluate(*given, steps=2, batch_size=2) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.fit(endless(), epochs=2), "epochs must be 1 for .* give steps_per_epoch, or"),
        (lambda m: m.fit(*numbered(6), epochs=2, validation_data=batches(5)),
         "epochs must be 1 for validation batches of an iterator.* give validation_steps, or"),
        (lambda m: m.fit(*numbered(6), validation_steps=2), "validation_steps needs validation_da"),
        (lambda m: m.fit(endless(), steps_per_epoch=0), "steps_per_epoch must be at least 1: got"),
        (lambda m: m.fit(*numbered(6), validation_data=numbered(6), validation_steps=-1),
         "validation_steps must be at least 1: got -1"),
        (lambda m: m.evaluate(endless(), steps=0), "steps must be at least 1: got 0"),
        (lambda m: m.predict(numbered(6)[0], steps=0), "steps must be at least 1: got 0"),
        (lambda m: m.fit(*numbered(6), validation_data=[]), r"validation_data must be \(x, y\)"),
        (lambda m: m.fit(*numbered(6), validation_data={}), r"validation_data must be \(x, y\)"),
    ],
)  # fmt: skip
def test_is_refused_before_the_first_step(call: Any, message: str) -> None:
    model = seen()
    with pytest.raises(ValueError, match=message):
        call(model)
    assert model.optimizer.steps == 0


def test_monitors_work_with_epochs_of_steps(rng: np.random.Generator, tmp_path: Any) -> None:
    pytest.importorskip("safetensors")
    x, y = points(rng)
    model = network()
    history = model.fit(
        x, y, epochs=4, steps_per_epoch=3, validation_data=[(x, y)], verbose=False,
        callbacks=[EarlyStopping(patience=4), BestCheckpoint(tmp_path / "best")],
    )  # fmt: skip
    assert len(history["val_loss"]) == 4
    assert (tmp_path / "best").exists()
