"""Metrics and history: each number has a name of its own and a row for each epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_training import network, points


def named(name: str) -> Any:
    def metric(target: Any, prediction: Any) -> float:
        return 0.25

    metric.__name__ = name
    return metric


def test_names_are_unique_and_identifiers(rng: np.random.Generator) -> None:
    x, y = points(rng)
    given = [
        lambda t, p: 0.5, lambda t, p: 0.75, named("_acc"), named("my metric"), named("class"),
        named("2nd"), named("→"), "accuracy", named("accuracy"),
    ]  # fmt: skip
    model = network(metrics=given)
    found = model.evaluate(x, y)
    names = ["loss", "metric", "metric_2", "acc", "my_metric", "class_", "metric_2nd", "metric_3",
             "accuracy", "accuracy_2"]  # fmt: skip
    assert list(found._fields) == names
    assert (found.metric, found.metric_2, found.accuracy_2) == (0.5, 0.75, 0.25)
    model.fit(x, y, validation_data=(x, y), verbose=False)
    assert list(model.history.history) == names + [f"val_{name}" for name in names]


@pytest.mark.parametrize("name", ["loss", "_loss", "val_loss", "val_x"])
def test_names_that_history_needs_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="a metric must not be called"):
        network(metrics=[named(name)])


def test_what_is_no_metric_is_refused(rng: np.random.Generator) -> None:
    with pytest.raises(TypeError, match="metrics must be functions, not classes: got dict"):
        network(metrics=[dict])
    with pytest.raises(ValueError, match=r"metrics must be 'accuracy', 'auc', .* or functions"):
        network(metrics=["kappa"])
    x, y = points(rng)
    with pytest.raises(TypeError, match="the metric metric must return a number: got None"):
        network(metrics=lambda t, p: None).evaluate(x, y)


def test_columns_of_history_have_a_row_for_each_epoch(rng: np.random.Generator) -> None:
    x, y = points(rng)
    model = network()
    for epochs, validation in ((2, None), (2, (x, y)), (1, None), (1, (x, y))):
        model.fit(x, y, epochs=epochs, validation_data=validation, verbose=False)
    history = model.history
    assert history.epoch == list(range(6))
    for name, values in history.history.items():
        assert len(values) == 6
        missing = [0, 1, 4] if name.startswith("val_") else []
        assert np.flatnonzero(np.isnan(values)).tolist() == missing
    np.testing.assert_allclose(history["val_loss"][-1], model.evaluate(x, y).loss, rtol=1e-6)
