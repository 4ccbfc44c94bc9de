"""Tapes: of one thread each, run backward once, and released record by record."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import numpy as np
import pytest
from composed import Block, assert_differentiates

from heedful.layers import Layer, Mode, Parameter, Tape, steps

X = np.random.default_rng(1).standard_normal((2, 3, 4))


def test_a_parameter_read_before_the_tape_has_a_gradient() -> None:
    class Early(Layer):
        def __init__(self) -> None:
            self.gain = Parameter(np.ones(4))

        def compute(self, mode: Any, x: Any) -> Any:
            gain = self.gain
            with Tape(self, mode) as tape:
                y = tape.input(x) * gain
            return tape.result(y)

    assert_differentiates(Early(), X)


def test_memory_is_released_record_by_record() -> None:
    held: list[weakref.ref[Any]] = []

    class Holds(Layer):
        def compute(self, mode: Any, x: Any) -> Any:
            y = x + 1
            held.append(weakref.ref(y))
            return y, lambda dy: dy

    class Outer(Layer):
        def __init__(self) -> None:
            self.a = Holds()

        def call(self, x: Any) -> Any:
            return steps.exp(self.a(self.a(x)))

    gc.disable()
    try:
        y, backward = Outer().forward(X)
        assert held[0]() is None  # nothing needs it
        backward(np.ones_like(y))
        del y
        assert all(one() is None for one in held)
    finally:
        gc.enable()


def test_threads_have_tapes_of_their_own() -> None:
    model, found = Block(), {}

    def run(number: int) -> None:
        for _ in range(20):
            found[number] = model.forward(X * number, rng=0)[0]

    threads = [threading.Thread(target=run, args=(number,)) for number in range(1, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, y in found.items():
        assert y.tobytes() == model(X * number).tobytes()


def test_backward_runs_once() -> None:
    _, backward = Block().forward(X)
    backward(np.ones_like(X))
    with pytest.raises(RuntimeError, match="called before"):
        backward(np.ones_like(X))


def test_the_backward_pass_of_a_tape_itself_runs_once() -> None:
    _, backward = Block().compute(Mode(True, np.random.default_rng(0)), X)
    backward(np.ones_like(X))
    with pytest.raises(RuntimeError, match="called before"):
        backward(np.ones_like(X))


def test_the_backward_pass_of_a_tape_itself_checks_its_gradients() -> None:
    _, backward = Block().compute(Mode(True, np.random.default_rng(0)), X)
    with pytest.raises(TypeError, match="dy must hold real numbers"):
        backward(None)
    with pytest.raises(ValueError, match=r"dy must have shape \(2, 3, 4\): got \(3, 4\)"):
        backward(X[0])
    assert backward(np.ones_like(X)).shape == X.shape  # nothing was released
