"""Arguments of Keras for compile, fit, evaluate and predict get a hint or work."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from small_training import network

from heedful.layers import Layer
from heedful.training import Adam, NAdam, RMSprop

X, Y = np.ones((6, 4)), np.ones(6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda m: m.fit(X, Y, initial_epoch=3),
            "fit has no argument initial_epoch: fit continues",
        ),
        (lambda m: m.fit(X, Y, steps=3), "fit has no argument steps: write steps_per_epoch"),
        (lambda m: m.fit(X, Y, validation_freq=2), "validation is after each epoch"),
        (lambda m: m.fit(X, Y, validation_batch_size=2), "batch_size is that of validation"),
        (lambda m: m.fit(X, Y, workers=2), "an iterable that prefetches"),
        (lambda m: m.evaluate(X, Y, return_dict=True), r"write evaluate\(…\)\._asdict\(\)"),
        (lambda m: m.evaluate(X, Y, callbacks=[]), "evaluate has no argument callbacks: fit alone"),
        (lambda m: m.evaluate(X, Y, class_weight={}), "write sample_weight"),
        (
            lambda m: m.predict(X, steps_per_epoch=1),
            "predict has no argument steps_per_epoch: write",
        ),
        (lambda m: m.compile("adam", "mse", weighted_metrics=["mae"]), "write metrics, which"),
        (lambda m: m.compile("adam", "mse", loss_weights=[1]), "a loss of your own"),
        (lambda m: m.compile("adam", "mse", learning_rate=0.1), r"write optimizer=Adam\(lr=…\)"),
        (lambda m: m.fit(X, Y, epoch=3), "fit has no argument epoch: write epochs"),
        (lambda m: RMSprop(rho=0.9), "RMSprop has no argument rho: write alpha"),
        (lambda m: NAdam(beta_1=0.9), "NAdam has no argument beta_1: write betas"),
        (lambda m: NAdam(learning_rate=0.9), "NAdam has no argument learning_rate: write lr"),
        (lambda m: m.fit(X, Y, wrong=3), r"fit\(\) got an unexpected keyword argument 'wrong'"),
    ],
)
def test_arguments_of_keras_get_a_hint(call: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call(network())


def test_methods_still_tell_what_they_take() -> None:
    for name in ("compile", "fit", "evaluate", "predict"):
        method = getattr(Layer, name)
        assert "self" in inspect.signature(method).parameters
        assert method.__doc__


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (RMSprop, {"alpha": 1.0}, r"alpha must lie in \[0, 1\): got 1\.0"),
        (RMSprop, {"momentum": 2}, r"momentum must lie in \[0, 1\): got 2"),
        (RMSprop, {"eps": 0}, "eps must be finite and above 0: got 0"),
        (NAdam, {"momentum_decay": -1}, "momentum_decay must not be negative: got -1"),
        (NAdam, {"betas": (0.9, 1)}, r"betas must lie in \[0, 1\)"),
        (Adam, {"weight_decay": -1}, "weight_decay must not be negative: got -1"),
    ],
)
def test_settings_that_cannot_be_are_refused(kind: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**options)
    with pytest.raises(TypeError, match="centered must be True or False"):
        RMSprop(centered=1)  # type: ignore[arg-type]
