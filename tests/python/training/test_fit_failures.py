"""What may go wrong in fit: each is said in one sentence and loses nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from process import run
from small_training import network, points

from heedful.layers import Layer, Linear, Sequential
from heedful.training import Callback, EarlyStopping


class Breaks(Layer):
    """Its output is NaN from the third call on."""

    def __init__(self) -> None:
        self.inner, self.calls = Linear(4, 1, rng=0), 0

    def compute(self, mode: Any, x: Any) -> Any:
        self.calls += 1
        self.before = self.inner.state_dict()
        y, backward = self.inner.compute(mode, x)
        return y * (np.nan if self.calls >= 3 else 1), backward


def test_a_loss_that_is_not_finite_stops_with_its_place(rng: np.random.Generator) -> None:
    x, y = points(rng)
    model = Breaks()
    model.compile("sgd", "mse")
    with pytest.raises(FloatingPointError, match="the loss is nan in epoch 1, batch 3"):
        model.fit(x, y, epochs=5, verbose=False)
    assert model.calls == 3
    assert model.optimizer.steps == 2
    for name, array in model.inner.parameters().items():
        np.testing.assert_array_equal(array, model.before[name])


def test_a_callback_that_raises_leaves_a_usable_model(rng: np.random.Generator) -> None:
    x, y = points(rng)
    ended = []

    class Ending(Callback):
        def on_end(self) -> None:
            ended.append(True)

    def fails(epoch: int, logs: dict[str, float]) -> None:
        raise RuntimeError("full disk")

    model = network()
    with pytest.raises(RuntimeError, match="full disk"):
        model.fit(x, y, epochs=5, callbacks=[fails, Ending()], verbose=False)
    assert ended
    assert len(model.history["loss"]) == 1
    model.fit(x, y, epochs=1, verbose=False)
    assert len(model.history["loss"]) == 2


@pytest.mark.parametrize("moment", ["forward", "backward", "step"])
def test_ctrl_c_keeps_the_trained_weights(moment: str) -> None:
    """A step is made whole or not at all; history has the epochs that were finished."""
    run(
        f"moment = {moment!r}"
        """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from heedful.layers import Linear, Sequential
from heedful.training import Adam

def stop(here):
    if here == moment and len(states) == 7:
        os.kill(os.getpid(), signal.SIGINT)

class Stopping(Linear):
    def compute(self, mode, x):
        stop("forward")
        y, inner = super().compute(mode, x)
        def backward(dy):
            stop("backward")
            return inner(dy)
        return y, backward

class Checked(Adam):
    def step(self):
        stop("step")
        super().step()
        states.append(model.state_dict())

states = []
x = rng.standard_normal((40, 4))
model = Sequential(Linear(4, 8), Stopping(8, 1))
model.compile(Checked(), "mse")
try:
    model.fit(x, x[:, :1], epochs=100, batch_size=10, verbose=False)
except KeyboardInterrupt:
    pass
else:
    raise AssertionError("not interrupted")
assert len(states) == model.optimizer.steps == (8 if moment == "step" else 7)
for name, array in model.parameters().items():
    assert (array == states[-1][name]).all()
assert len(model.history["loss"]) == 1  # of four batches each
moment = "none"
model.fit(x, x[:, :1], epochs=1, verbose=False)
assert len(model.history["loss"]) == 2
"""
    )


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda m, x, y: Sequential(Linear(4, 1)).fit(x, y), RuntimeError,
         "the model is not compiled"),
        (lambda m, x, y: m.fit(x, y[:-1]), ValueError,
         "y must have one target for each of 120 examples"),
        (lambda m, x, y: m.fit((x, x[:-1]), y), ValueError,
         r"x must have the same number of examples: got \[119, 120\]"),
        (lambda m, x, y: m.fit(x, y, epochs=0), ValueError, "epochs must be at least 1: got 0"),
        (lambda m, x, y: m.fit(x, y, batch_size=0), ValueError, "batch_size must be at least 1"),
        (lambda m, x, y: m.fit(x, y, validation_data=3), ValueError,
         r"validation_data must be \(x, y\)"),
        (lambda m, x, y: m.fit(x, y, callbacks=[3]), TypeError, "callbacks must be callbacks"),
        (lambda m, x, y: m.fit(x, y + 1), ValueError, "target must lie in"),
        (lambda m, x, y: m.compile("adam", "hinge"), ValueError, "loss must be"),
        (lambda m, x, y: m.compile("lion", "mse"), ValueError, "optimizer must be 'adam'"),
        (lambda m, x, y: m.compile("adam", "mse", ["accuracy"]), ValueError,
         "'accuracy' needs one of the cross-entropies"),
        (lambda m, x, y: m.compile("adam"), ValueError, "loss must be given: got None"),
        (lambda m, x, y: m.fit(x, y, callbacks=EarlyStopping("val_los", mode="min"), verbose=False),
         ValueError, "monitor must be one of"),
    ],
)  # fmt: skip
def test_is_refused_in_one_sentence(
    call: Any, kind: Any, message: str, rng: np.random.Generator
) -> None:
    with pytest.raises(kind, match=message):
        call(network(), *points(rng))
