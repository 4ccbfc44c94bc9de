"""Gradients, rates and data that are not finite: reported by location, before they are written."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from small_training import network, points

from heedful.layers import Dense, Linear, Sequential
from heedful.training import SGD, Adam, AdamW, gradient_norm


def assert_finite(model: Any) -> None:
    for array in [*model.parameters().values(), *model.optimizer.state_dict().values()]:
        assert np.isfinite(array).all()


def test_weights_are_finite_after_a_training_that_exploded(rng: np.random.Generator) -> None:
    x = rng.standard_normal((256, 6)).astype(np.float32)
    model = Sequential(Dense(8, "relu", rng=0), Dense(1, rng=0))
    model.compile(SGD(lr=1.0), "mse")
    with (
        np.errstate(all="ignore"),
        pytest.raises(FloatingPointError, match=r"in epoch 1, batch \d: training stopped, the wei"),
    ):
        model.fit(x * 100, x[:, 0] * 1000, epochs=5, verbose=False, rng=0)
    assert_finite(model)


@pytest.mark.parametrize("optimizer", [SGD, Adam, AdamW])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_is_not_written(optimizer: Any, bad: float) -> None:
    options = {"momentum": 0.9} if optimizer is SGD else {}
    model = Sequential(Linear(3, 4, rng=0), Linear(4, 2, rng=1))
    way = optimizer(model, 0.1, **options)
    for clip_norm in (None, 1.0):
        way.clip_norm = clip_norm
        y, backward = model.forward(np.ones((5, 3)))
        model.zero_grad()
        backward(np.ones_like(y))
        way.step()
        before, state = model.state_dict(), way.state_dict()
        model.grads["1.weight"][1, 2] = bad
        with pytest.raises(FloatingPointError, match=rf"the gradient of 1\.weight is {bad}"):
            way.step()
        for name, array in model.parameters().items():
            np.testing.assert_array_equal(array, before[name])
        for name, array in way.state_dict().items():
            np.testing.assert_array_equal(array, state[name])


@pytest.mark.parametrize("scale", [1e18, 1e20, 1e30])
def test_large_gradients_are_clipped(scale: float, rng: np.random.Generator) -> None:
    """Squares of float32 end at 2e19."""
    gradients = [rng.standard_normal(7).astype(np.float32) * np.float32(scale) for _ in range(3)]
    exact = np.sqrt(sum(float((g.astype(np.float64) ** 2).sum()) for g in gradients))
    assert gradient_norm(gradients) == pytest.approx(exact, rel=1e-6)
    states = []
    x = rng.standard_normal((1, 6)).astype(np.float32)
    for factor in (1.0, scale):
        model = Sequential(Linear(6, 1, rng=0))
        model.compile(SGD(lr=0.1, clip_norm=1.0), "mse")
        _, backward = model.forward(x)
        backward(np.full((1, 1), factor, np.float32))
        model.optimizer.step()
        states.append(model.state_dict())
    for name, array in states[0].items():
        np.testing.assert_allclose(array, states[1][name], rtol=1e-5)


def test_inputs_that_are_not_finite_are_reported(rng: np.random.Generator) -> None:
    x, y = points(rng)
    x[17, 2] = np.inf
    with pytest.raises(FloatingPointError, match="the inputs of this batch are not finite"):
        network().fit(x, y, verbose=False)


def test_a_step_that_float32_cannot_hold_is_refused(rng: np.random.Generator) -> None:
    x, y = points(rng)
    model = Sequential(Linear(4, 1, rng=0))
    model.compile(Adam(), "mse")
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match="too large for a step"):
        model.fit(x * np.float32(1e15), y, verbose=False)
    assert_finite(model)


def test_a_rate_that_is_none_is_refused(rng: np.random.Generator) -> None:
    x, y = points(rng)
    for bad in (np.nan, np.inf, -1.0):
        model = network(optimizer=Adam(lr=lambda step, bad=bad: bad if step == 2 else 0.1))
        with pytest.raises(ValueError, match=f"the schedule gave {bad} at step 2"):
            model.fit(x, y, verbose=False)
        assert model.optimizer.steps == 2
        assert_finite(model)
    with pytest.raises(TypeError, match="lr must be a number: got None"):
        network(optimizer=Adam(lr=lambda step: None)).fit(x, y, verbose=False)


def test_a_rate_can_be_changed() -> None:
    optimizer = SGD(lr=0.5)
    optimizer.lr = 0.25
    assert optimizer.lr == 0.25
    with pytest.raises(ValueError, match="lr must not be negative"):
        optimizer.lr = -1.0


def test_validation_data_that_is_not_finite_is_warned_of_once(rng: np.random.Generator) -> None:
    x, y = points(rng)
    model = network()
    with pytest.warns(UserWarning, match="val_loss is nan in epoch 1") as found:
        model.fit(x, y, epochs=2, validation_data=(x * np.nan, y), verbose=False)
    assert len(found) == 1


def test_targets_that_are_not_finite_are_refused(rng: np.random.Generator) -> None:
    x = rng.standard_normal((50, 4)).astype(np.float32)
    y = x[:, 0].copy()
    y[41] = np.nan
    model = Sequential(Linear(4, 1, rng=0))
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"target must be finite: got nan at y\[41\]"):
        model.fit(x, y, verbose=False)
    with pytest.raises(ValueError, match=r"got nan at validation y\[41\]"):
        model.fit(x[:40], y[:40], validation_data=(x, y), verbose=False)
    assert model.optimizer.steps == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(x, y, sample_weight=np.isfinite(y), verbose=False)
