"""Validation sets: arrays, lists, loaders and generators of batches, found not to fit in time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from seen_batches import Loader, batches, endless, numbered, seen

from heedful.training import EarlyStopping


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


def test_validation_uses_validation_steps_batches() -> None:
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
    message = "validation_data yielded fewer batches than validation_steps requires"
    with pytest.warns(UserWarning, match=message):
        history = model.fit(
            *numbered(6), epochs=9, validation_data=batches(count), validation_steps=2,
            callbacks=EarlyStopping(patience=9, restore_best=False), verbose=False,
        )  # fmt: skip
    assert len(history["val_loss"]) == epochs
    assert bool(np.isnan(history["val_loss"][-1])) == (count == 4)


def with_validation(x: Any, y: Any, form: str) -> Any:
    pairs = [(x[:3], y[:3]), (x[3:], y[3:])]
    forms = {"arrays": (x, y), "list": pairs, "iterator": iter(pairs)}
    return {**forms, "weights": (x, y, np.ones(len(x)))}[form]


@pytest.mark.parametrize("form", ["arrays", "list", "iterator", "weights"])
@pytest.mark.parametrize(
    ("x", "y", "kind", "message"),
    [
        (
            np.ones((7, 5)),
            np.zeros(7),
            ValueError,
            "must have 4 elements in its last axis: got .*5",
        ),
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
        ValueError, match=r"^validation_data must fit the model and the loss: x must"
    ):
        seen().fit(*numbered(6), validation_data=(np.ones((7, 5)), np.zeros(7)), verbose=False)
    with pytest.raises(TypeError, match=r"^validation_data must fit the model and the loss: "):
        seen().fit(
            *numbered(6), validation_data=((np.ones((7, 4)), np.ones((7, 4))), np.zeros(7)),
            verbose=False,
        )  # fmt: skip


def test_validation_data_is_tried_only_where_it_differs() -> None:
    model = seen()
    model.fit(*numbered(6), epochs=2, validation_data=numbered(4), verbose=False)
    assert len(model.evaluated) == 2
    loader = Loader(3)
    model.fit(*numbered(6), epochs=2, validation_data=loader, verbose=False)
    assert loader.times == 2


def test_one_loader_may_be_for_both() -> None:
    class Begins:
        """Restarts for all iterators, as loaders with their own workers may do."""

        def __init__(self) -> None:
            self.rest: list[Any] = []

        def __iter__(self) -> Iterator[Any]:
            self.rest[:] = batches(5)
            while self.rest:
                yield self.rest.pop(0)

    model, loader = seen(), Begins()
    model.fit(loader, epochs=2, validation_data=loader, verbose=False)
    assert len(model.learned) == len(model.evaluated) == 10
