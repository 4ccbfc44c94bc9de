"""forward(check=True) names the layer, the item and the position where NaN or infinity arises."""

from __future__ import annotations

import re
import threading
from typing import Any

import numpy as np
import pytest

from heedful import layers
from heedful.layers import Layer, Linear, Mode, Sequential

TOKENS = np.array([[1, 2, 3, 4, 1], [2, 5, 6, 1, 1], [7, 1, 2, 3, 4]])


def transformer() -> Layer:
    return layers.Transformer(9, 9, 6, 2, 2, 13, 0.1, norm_first=True, rng=0)


LAYERS = [name for name, _ in transformer().named_layers() if name]
WITH_PARAMETERS = [
    (name, own) for name, layer in transformer().named_layers() for own in layer.own_parameters()
]


def plant(layer: Layer, value: float, *, backward: bool) -> None:
    """What a faulty layer computes at item 1, position 2, or in its first gradient there."""
    original = layer.compute

    def compute(mode: Mode, *inputs: Any, **options: Any) -> Any:
        y, back = original(mode, *inputs, **options)
        if not backward:
            y = y.copy()
            y[1, 2, 3] = value
            return y, back

        def faulty(*gradients: Any, **named: Any) -> Any:
            found = back(*gradients, **named)
            first = (found[0] if isinstance(found, tuple) else found).copy()
            first[1, 2, 3] = value
            return (first, *found[1:]) if isinstance(found, tuple) else first

        return y, faulty

    vars(layer)["compute"] = compute


@pytest.mark.parametrize("name", LAYERS)
def test_the_layer_whose_result_is_not_finite_is_named(name: str) -> None:
    model = transformer()
    plant(dict(model.named_layers())[name], np.nan, backward=False)
    wanted = rf"\A{re.escape(name)}: its result is not finite: item 1, position 2, nan at \[1, 2, 3"
    with pytest.raises(FloatingPointError, match=wanted):
        model.forward(TOKENS, TOKENS, rng=0, check=True)
    model.forward(TOKENS, TOKENS, rng=0)


# tokens have no gradient, and the one of positions is that of the result
NO_GRADIENTS = ("source_embedding", "target_embedding", "positions")


@pytest.mark.parametrize("name", [name for name in LAYERS if name not in NO_GRADIENTS])
def test_the_layer_whose_gradient_is_not_finite_is_named(name: str) -> None:
    model = transformer()
    plant(dict(model.named_layers())[name], np.inf, backward=True)
    y, backward = model.forward(TOKENS, TOKENS, rng=0, check=True)
    wanted = (
        rf"\A{re.escape(name)}: the gradient of an input is not finite: item 1, position 2, inf"
    )
    with pytest.raises(FloatingPointError, match=wanted):
        backward(np.ones_like(y))


@pytest.mark.parametrize(("name", "own"), WITH_PARAMETERS)
def test_the_layer_of_a_parameter_that_is_not_finite_is_named(name: str, own: str) -> None:
    model = transformer()
    layer = dict(model.named_layers())[name]
    layer.parameter(own).value[...] = np.nan
    with pytest.raises(FloatingPointError, match=rf"\A{re.escape(name)}: .*, as its {own}, is"):
        model.forward(TOKENS, TOKENS, rng=0, check=True)


def test_a_check_changes_nothing() -> None:
    model = transformer()
    found = []
    for check in (False, True):
        model.zero_grad()
        y, backward = model.forward(TOKENS, TOKENS, rng=3, check=check)
        backward(np.cos(y))
        found.append([y, *model.grads.values()])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
    for _, layer in model.named_layers():
        assert "compute" not in vars(layer)
        assert not any("finite" in name for name in vars(layer))


def test_what_the_caller_gives_is_named_as_such() -> None:
    model = Sequential(Linear(3, 4, rng=0), Linear(4, 2, rng=0))
    x = np.ones((2, 5, 3))
    y, backward = model.forward(x, check=True)
    dy = np.ones_like(y)
    dy[1, 4, 0] = -np.inf
    with pytest.raises(
        FloatingPointError,
        match=r"\ASequential: the gradient of the result that it"
        r" is given is not finite: item 1, position 4, -inf at \[1, 4, 0\]",
    ):
        backward(dy)  # fmt: skip
    x[0, 3, 1] = np.nan
    with pytest.raises(
        FloatingPointError,
        match=r"\ASequential: an input that it is given is not"
        r" finite: item 0, position 3, nan at \[0, 3, 1\] of shape \(2, 5, 3\)",
    ):
        model.forward(x, check=True)  # fmt: skip


class Between(Layer):
    """Divides by 0 between two layers, forward or backward."""

    def __init__(self, forward: bool) -> None:
        self.first, self.second = Linear(3, 3, rng=0), Linear(3, 3, rng=1)
        self.divides_forward = forward

    @np.errstate(all="ignore")
    def compute(self, mode: Mode, x: Any) -> Any:
        h, back_first = self.first.compute(mode, x)
        y, back_second = self.second.compute(mode, h / 0 if self.divides_forward else h)

        def backward(dy: Any) -> Any:
            return back_first(np.where(np.arange(3) == 1, np.nan, back_second(dy)))

        return y, backward


def test_code_between_layers_is_named_by_the_layer_that_it_is_of() -> None:
    model = Sequential(Between(True), Linear(3, 2, rng=0))
    with pytest.raises(
        FloatingPointError,
        match=r"\A0: an input that it gives to 0"
        r"\.second is not finite: item 0, -?inf",
    ):
        model.forward(np.ones((2, 3)), check=True)  # fmt: skip
    model = Sequential(Between(False), Linear(3, 2, rng=0))
    y, backward = model.forward(np.ones((2, 3)), check=True)
    with pytest.raises(
        FloatingPointError,
        match=r"\A0: the gradient of the result that it "
        r"gives to 0\.first is not finite: item 0, nan at \[0, 1\]",
    ):
        backward(np.ones_like(y))  # fmt: skip


def test_a_gradient_of_a_parameter_that_overflows_is_named() -> None:
    model = Sequential(Linear(3, 4, rng=0), Linear(4, 2, rng=0))
    y, backward = model.forward(np.full((2, 3), 1e30), check=True)
    with pytest.raises(
        FloatingPointError, match=r"\A1: the gradient of weight is not finite: -inf at \[0"
    ):
        backward(np.full_like(y, 1e30))


def test_a_gradient_that_overflowed_before_is_not_named_again() -> None:
    model = Sequential(Linear(3, 4, rng=0), Linear(4, 2, rng=0))
    y, backward = model.forward(np.full((2, 3), 1e30))
    backward(np.full_like(y, 1e30))
    assert not np.isfinite(model.grads["1.weight"]).all()
    y, backward = model.forward(np.ones((2, 3)), check=True)
    backward(np.ones_like(y))


def test_a_layer_of_one_check_may_be_called_within_another_one() -> None:
    shared = Linear(3, 3, rng=0)

    class Calls(Layer):
        def compute(self, mode: Mode, x: Any) -> Any:
            return shared.compute(mode, x)  # not an attribute: its check does not know it

    class Checks(Layer):
        def compute(self, mode: Mode, x: Any) -> Any:
            return Calls().forward(x, check=True)

    x = np.ones((2, 3), np.float32)
    y, _ = Sequential(shared, Checks()).forward(x, check=True)
    np.testing.assert_array_equal(y, shared(shared(x)))


def test_threads_without_a_check_are_not_checked() -> None:
    model = Sequential(Linear(3, 4, rng=0))
    entered, done = threading.Event(), threading.Event()
    found: list[Any] = []

    class Waits(Layer):
        def compute(self, mode: Mode, x: Any) -> Any:
            if mode.training and threading.current_thread() is threading.main_thread():
                entered.set()
                assert done.wait(60)
            return x, lambda dy: dy

    model = Sequential(Linear(3, 4, rng=0), Waits())

    def other() -> None:
        assert entered.wait(60)
        found.append(model.forward(np.full((2, 3), np.nan))[0])
        with pytest.raises(FloatingPointError):
            model.forward(np.full((2, 3), np.nan), check=True)
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    model.forward(np.ones((2, 3)), check=True)
    thread.join()
    assert np.isnan(found[0]).all()
    assert all("compute" not in vars(layer) for _, layer in model.named_layers())


def test_check_must_be_a_flag() -> None:
    with pytest.raises(TypeError, match=r"\Acheck must be True or False: got 1"):
        Linear(3, 4).forward(np.ones((2, 3)), check=1)  # type: ignore[arg-type]
