"""Epochs of so many batches, ends in their midst, and the history of each fit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from small_training import network, points

from heedful.layers import Layer, Linear
from heedful.training import BestCheckpoint, Callback, EarlyStopping


class Seen(Layer):
    """Remembers the first feature of what it learns from, and of what it is evaluated on."""

    def __init__(self) -> None:
        self.inner = Linear(4, 1, rng=0)
        self.learned: list[list[float]] = []
        self.evaluated: list[list[float]] = []

    def compute(self, mode: Any, x: Any) -> Any:
        (self.learned if mode.training else self.evaluated).append(x[:, 0].tolist())
        return self.inner.compute(mode, x)


def seen() -> Seen:
    model = Seen()
    model.compile("sgd", "mse")
    return model


def numbered(count: int) -> tuple[Any, Any]:
    x = np.zeros((count, 4))
    x[:, 0] = np.arange(count)
    return x, np.zeros(count)


def batches(count: int, size: int = 2, first: int = 0) -> Iterator[Any]:
    x, y = numbered(count * size)
    x[:, 0] += first
    for at in range(count):
        yield x[at * size : (at + 1) * size], y[at * size : (at + 1) * size]


def endless(size: int = 2) -> Iterator[Any]:
    at = 0
    while True:
        yield from batches(1, size, at)
        at += size


class Loader:
    def __init__(self, count: int) -> None:
        self.count, self.times = count, 0

    def __iter__(self) -> Iterator[Any]:
        self.times += 1
        return batches(self.count)


def test_an_endless_generator_is_learned_from_batch_by_batch() -> None:
    model = seen()
    history = model.fit(endless(), epochs=3, steps_per_epoch=4, verbose=False)
    assert model.learned == [[2.0 * at, 2.0 * at + 1] for at in range(12)]
    assert len(history["loss"]) == 3
    assert model.optimizer.steps == 12


@pytest.mark.parametrize("kind", ["arrays", "list", "loader"])
def test_what_is_at_its_end_begins_anew(kind: str) -> None:
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


def test_shuffled_arrays_are_gone_through_before_anything_comes_again() -> None:
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

    message = rf"x gave fewer batches than steps_per_epoch asks for: .* {epochs} of 6 epochs"
    with pytest.warns(UserWarning, match=message) as told:
        history = model.fit(
            batches(count), epochs=6, steps_per_epoch=4, callbacks=Ends(), verbose=False
        )
    assert len(told) == 1
    assert told[0].filename == __file__
    assert len(model.learned) == count == model.optimizer.steps
    assert ended == [*range(epochs), "end"]
    assert len(history["loss"]) == epochs
    last = model.learned[-left:] if left else model.learned[-4:]
    assert len(last) == (left or 4)


def test_a_generator_that_has_enough_is_not_told_of() -> None:
    model = seen()
    model.fit(batches(8), epochs=2, steps_per_epoch=4, verbose=False)
    assert model.optimizer.steps == 8
    with pytest.raises(ValueError, match="x must give one batch at least: got none"):
        model.fit(iter(()), steps_per_epoch=3, verbose=False)


class Stop(Callback):
    """Ends the training in the second epoch, behind its third batch."""

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
def test_a_stop_inside_an_epoch_is_behind_the_batch(kind: Any, way: str, rng: Any) -> None:
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


def as_lists(given: Any) -> list[Any]:
    return [list(batch) for batch in given]


@pytest.mark.parametrize("form", [list, as_lists, Loader, tuple])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_validation_may_be_batches(form: Any, count: int) -> None:
    model, whole = seen(), seen()
    given = form(count if form is Loader else batches(count))
    if form is tuple and count in (2, 3):
        pytest.skip("a tuple of two or three is (x, y) or (x, y, sample_weight)")
    history = model.fit(*numbered(6), epochs=2, validation_data=given, verbose=False, rng=0)
    x, y = numbered(2 * count)
    expected = whole.fit(*numbered(6), epochs=2, validation_data=(x, y), verbose=False, rng=0)
    np.testing.assert_allclose(history["val_loss"], expected["val_loss"], rtol=1e-6)
    assert [first for first, _ in model.evaluated] == list(range(0, 2 * count, 2)) * 2
    assert model.evaluate(given) == model.evaluate(x, y) if form is not tuple else True


def test_batches_of_validation_may_be_plain_numbers() -> None:
    model = seen()
    given = [([[1, 2, 3, 4]], [0]), ([[2, 2, 3, 4], [3, 2, 3, 4]], [0, 1])]
    model.fit(*numbered(6), validation_data=given, verbose=False)
    assert [len(rows) for rows in model.evaluated[-2:]] == [1, 2]
    model.fit(*numbered(6), validation_data=[[[5, 2, 3, 4], [6, 2, 3, 4]], [[0], [1]]],
              verbose=False)  # fmt: skip
    assert model.evaluated[-1] == [5, 6]


def test_so_many_batches_are_for_validation() -> None:
    for given in (numbered(10), list(batches(5)), Loader(5)):
        model = seen()
        model.fit(*numbered(6), epochs=3, batch_size=2, validation_data=given, validation_steps=2,
                  verbose=False)  # fmt: skip
        assert [first for first, _ in model.evaluated] == [0, 2] * 3
    model = seen()
    model.fit(*numbered(6), epochs=3, validation_data=endless(), validation_steps=2, verbose=False)
    assert [first for first, _ in model.evaluated] == [0, 2, 4, 6, 8, 10]
    model = seen()
    model.fit(*numbered(10), batch_size=2, validation_split=0.4, validation_steps=1, verbose=False)
    assert model.evaluated == [[6, 7]]


@pytest.mark.parametrize(("count", "epochs"), [(5, 3), (4, 3), (1, 1)])
def test_a_generator_for_validation_that_ends_ends_the_training(count: int, epochs: int) -> None:
    model = seen()
    with pytest.warns(UserWarning, match="validation_data gave fewer batches than validation_ste"):
        history = model.fit(
            *numbered(6), epochs=9, validation_data=batches(count), validation_steps=2,
            callbacks=EarlyStopping(patience=9, restore_best=False), verbose=False,
        )  # fmt: skip
    assert len(history["val_loss"]) == epochs
    assert bool(np.isnan(history["val_loss"][-1])) == (count == 4)


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


def with_validation(x: Any, y: Any, form: str) -> Any:
    pairs = [(x[:3], y[:3]), (x[3:], y[3:])]
    forms = {"arrays": (x, y), "list": pairs, "iterator": iter(pairs)}
    return {**forms, "weights": (x, y, np.ones(len(x)))}[form]


@pytest.mark.parametrize("form", ["arrays", "list", "iterator", "weights"])
@pytest.mark.parametrize(
    ("x", "y", "kind", "message"),
    [
        (np.ones((7, 5)), np.zeros(7), ValueError, "must have 4 numbers in its last axis: got .*5"),
        (np.ones(7), np.zeros(7), ValueError, "validation_data must fit the model and the loss"),
        (np.ones((7, 4)), np.zeros((7, 3)), ValueError, "target must have the shape of prediction"),
        (np.full((7, 4), "a"), np.zeros(7), TypeError, "x must hold real numbers"),
        (np.ones((7, 4)), np.full(7, "a"), TypeError, "target must hold real numbers"),
    ],
    ids=["width", "axes", "targets", "strings", "names"],
)
def test_a_validation_set_that_does_not_fit_is_found_before_the_first_step(
    x: Any, y: Any, kind: Any, message: str, form: str
) -> None:
    model = seen()
    before = model.state_dict()
    with pytest.raises(kind, match=message):
        model.fit(*numbered(6), validation_data=with_validation(x, y, form), verbose=False)
    assert model.optimizer.steps == 0
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_the_error_names_the_validation_set() -> None:
    with pytest.raises(
        ValueError, match="^validation_data must fit the model and the loss: x must"
    ):
        seen().fit(*numbered(6), validation_data=(np.ones((7, 5)), np.zeros(7)), verbose=False)
    with pytest.raises(TypeError, match="^validation_data must fit the model and the loss: "):
        seen().fit(
            *numbered(6), validation_data=((np.ones((7, 4)), np.ones((7, 4))), np.zeros(7)),
            verbose=False,
        )  # fmt: skip


def test_what_is_for_validation_is_tried_out_only_where_it_differs() -> None:
    model = seen()
    model.fit(*numbered(6), epochs=2, validation_data=numbered(4), verbose=False)
    assert len(model.evaluated) == 2
    loader = Loader(3)
    model.fit(*numbered(6), epochs=2, validation_data=loader, verbose=False)
    assert loader.times == 2


def test_one_loader_may_be_for_both() -> None:
    class Begins:
        """Begins anew for all who iterate it, as loaders with workers of their own may do."""

        rest: list[Any] = []

        def __iter__(self) -> Iterator[Any]:
            self.rest[:] = batches(5)
            while self.rest:
                yield self.rest.pop(0)

    model, loader = seen(), Begins()
    model.fit(loader, epochs=2, validation_data=loader, verbose=False)
    assert len(model.learned) == len(model.evaluated) == 10


def test_watchers_work_with_epochs_of_steps(rng: np.random.Generator, tmp_path: Any) -> None:
    pytest.importorskip("safetensors")
    x, y = points(rng)
    model = network()
    history = model.fit(
        x, y, epochs=4, steps_per_epoch=3, validation_data=[(x, y)], verbose=False,
        callbacks=[EarlyStopping(patience=4), BestCheckpoint(tmp_path / "best")],
    )  # fmt: skip
    assert len(history["val_loss"]) == 4
    assert (tmp_path / "best").exists()
