"""A gradient is there or not: what a step does not use does not move, and has counts of its own."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optimizer_reference import Reference

from heedful.layers import Embedding, Layer, Linear, Parameter, Sequential
from heedful.training import (
    L2,
    SGD,
    Adam,
    AdamW,
    NAdam,
    RMSprop,
    gradient_norm,
    load_training,
    save_training,
)

# with other settings than the defaults, and all that there are
CASES = [
    (SGD, {"lr": 0.1}),
    (SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    (SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    (Adam, {"lr": 0.01, "weight_decay": 0.1}),
    (AdamW, {"lr": 0.01, "weight_decay": 0.1}),
    (NAdam, {"lr": 0.01, "weight_decay": 0.1}),
    (RMSprop, {"lr": 0.01, "weight_decay": 0.1}),
    (RMSprop, {"lr": 0.01, "alpha": 0.9, "momentum": 0.8, "centered": True}),
]


class Several(Layer):
    """Parameters of which a call uses those that are named."""

    def __init__(self, dtype: Any = np.float64) -> None:
        rng = np.random.default_rng(7)
        for name, shape in (("a", (3,)), ("b", (2, 5)), ("c", (7,)), ("d", ())):
            setattr(self, name, Parameter(rng.standard_normal(shape).astype(dtype)))

    def compute(self, mode: Any, gradients: dict[str, Any]) -> Any:
        def backward(dy: Any) -> None:
            for name, gradient in gradients.items():
                self.add_gradient(name, dy * gradient)

        return np.array(0.0), backward


def drawn(rng: np.random.Generator, model: Several, step: int) -> dict[str, Any]:
    """Of "a" always, "b" in half of the steps, "c" from the 20th on, "d" never."""
    used = {"a": True, "b": rng.random() < 0.5, "c": step >= 20, "d": False}
    shapes = {name: value.shape for name, value in model.parameters().items()}
    return {name: rng.standard_normal(shapes[name]) for name, there in used.items() if there}


def make_step(model: Several, optimizer: Any, gradients: dict[str, Any]) -> None:
    _, backward = model.forward(gradients)
    model.zero_grad()
    assert model.grads == {}
    backward(1.0)
    assert set(model.grads) == set(gradients)
    optimizer.step()


@pytest.mark.parametrize(("kind", "options"), CASES)
def test_steps_are_those_of_parameters_by_themselves(
    kind: Any, options: Any, rng: np.random.Generator
) -> None:
    model = Several()
    optimizer = kind(model, **options)
    exact = {name: Reference(kind.__name__, w, **options) for name, w in model.parameters().items()}
    before = model.state_dict()
    for step in range(40):
        gradients = drawn(rng, model, step)
        make_step(model, optimizer, gradients)
        for name, reference in exact.items():
            wanted = reference.step(gradients.get(name))
            np.testing.assert_allclose(getattr(model, name), wanted, rtol=1e-10, atol=1e-13)
    np.testing.assert_array_equal(model.d, before["d"])
    assert optimizer.steps == 40
    assert optimizer.counts == {name: one.t for name, one in exact.items() if one.t}


@pytest.mark.parametrize(("kind", "options"), CASES)
@pytest.mark.parametrize("way", ["state", "file", "deepcopy", "pickle"])
def test_a_state_resumes_with_the_same_bits(
    kind: Any, options: Any, way: str, rng: np.random.Generator, tmp_path: Path
) -> None:
    if way == "file":
        pytest.importorskip("safetensors")
    model = Several(np.float32)
    model.compile(kind(**options), "mse")
    plan = [drawn(rng, model, step) for step in range(30)]
    for gradients in plan[:21]:
        make_step(model, model.optimizer, gradients)
    other = Several(np.float32)
    other.compile(kind(**options), "mse")
    if way == "state":
        other.load_state_dict(model.state_dict())
        other.optimizer.load_state_dict(model.optimizer.state_dict())
    elif way == "file":
        save_training(model, tmp_path / "state")
        load_training(other, tmp_path / "state")
    else:
        other = copy.deepcopy(model) if way == "deepcopy" else pickle.loads(pickle.dumps(model))
    state = model.optimizer.state_dict()
    found = other.optimizer.state_dict()
    assert set(found) == set(state)
    for name, array in state.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
    for gradients in plan[21:]:
        for one in (model, other):
            make_step(one, one.optimizer, gradients)
    for name, array in model.parameters().items():
        np.testing.assert_array_equal(other.parameters()[name], array)


def test_what_was_frozen_begins_where_it_stopped() -> None:
    model = Sequential(Linear(2, 1, dtype="float64", rng=0), Linear(1, 1, dtype="float64", rng=1))
    optimizer = Adam(model, lr=1e-2)

    def step() -> float:
        before = model[0].weight.copy()
        _, backward = model.forward(np.ones((1, 2)))
        model.zero_grad()
        backward(np.ones((1, 1)))
        optimizer.step()
        return float(np.abs(model[0].weight - before).max())

    model.freeze("0.*")
    assert [step() for _ in range(1000)] == [0.0] * 1000
    model.unfreeze()
    assert step() == pytest.approx(0.01)
    state = {name: array for name, array in optimizer.state_dict().items() if ".0." in name}
    model.freeze("0.*")
    step()
    for name, array in state.items():
        np.testing.assert_array_equal(optimizer.state_dict()[name], array)
    assert (optimizer.counts["0.weight"], optimizer.counts["1.weight"]) == (1, 1002)


def test_a_gradient_that_is_referenced_is_not_overwritten() -> None:
    layer = Linear(3, 2, rng=0)
    held = []
    for factor in (1.0, 2.0, 3.0):
        layer.zero_grad()
        _, backward = layer.forward(np.ones((5, 3)))
        backward(np.full((5, 2), factor))
        held.append(layer.grads["weight"] if factor < 3 else layer.grads["weight"][:1])
    layer.zero_grad()
    _, backward = layer.forward(np.ones((5, 3)))
    backward(np.full((5, 2), 4.0))
    for factor, gradient in zip((1.0, 2.0, 3.0), held, strict=True):
        np.testing.assert_array_equal(gradient, np.full(gradient.shape, 5 * factor))


def test_the_memory_of_a_gradient_is_reused_for_the_next_one() -> None:
    layer = Linear(3, 2, rng=0)
    addresses = set()
    for _ in range(4):
        layer.zero_grad()
        assert layer.parameter("weight").grad is None
        _, backward = layer.forward(np.ones((5, 3)))
        backward(np.ones((5, 2)))
        addresses.add(layer.grads["weight"].ctypes.data)
        np.testing.assert_array_equal(layer.grads["weight"], np.full((2, 3), 5.0))
    assert len(addresses) == 1
    layer.zero_grad()
    layer.freeze()
    assert layer.parameter("weight").buffer() is None


def test_several_backward_functions_add_up() -> None:
    layer = Linear(3, 2, rng=0)
    layer.zero_grad()
    for _ in range(3):
        _, backward = layer.forward(np.ones((5, 3)))
        backward(np.ones((5, 2)))
    np.testing.assert_array_equal(layer.grads["bias"], [15.0, 15.0])


def test_what_is_used_with_no_effect_has_a_gradient() -> None:
    """A token that does not occur has rows of 0 in a gradient that is there, as in PyTorch."""
    layer = Embedding(5, 3, rng=0)
    optimizer = SGD(layer, lr=0.1, momentum=0.5)
    before = layer.weight.copy()
    for tokens in ([[1, 1]], [[2]]):
        y, backward = layer.forward(tokens)
        layer.zero_grad()
        backward(np.ones_like(y))
        optimizer.step()
    np.testing.assert_allclose(layer.weight[1] - before[1], np.full(3, -0.2 * 1.5), rtol=1e-6)
    np.testing.assert_allclose(layer.weight[2] - before[2], np.full(3, -0.1), rtol=1e-6)


def test_clipping_and_decay_skip_absent_gradients(rng: np.random.Generator) -> None:
    model = Several()
    optimizer = SGD(model, lr=1.0, clip_norm=0.5, weight_decay=0.0)
    gradients = drawn(rng, model, 0)
    before = model.state_dict()
    make_step(model, optimizer, gradients)
    moved = [array - before[name] for name, array in model.parameters().items()]
    assert gradient_norm(moved) == pytest.approx(0.5, rel=1e-5)
    all_of_them = [own.grad for _, own in model.named_parameters()]
    assert any(gradient is None for gradient in all_of_them)
    assert gradient_norm(all_of_them) == gradient_norm(list(model.grads.values()))
    assert gradient_norm([None, None]) == 0


class Branches(Layer):
    """Uses one of two branches, which the first input tells; the other one is regularised."""

    def __init__(self) -> None:
        self.one, self.other = Linear(3, 1, rng=0), Linear(3, 1, rng=1)

    def compute(self, mode: Any, x: Any) -> Any:
        return (self.one if x[0, 0] > 0 else self.other).compute(mode, x)


def test_in_fit_what_a_batch_does_not_use_stays(rng: np.random.Generator) -> None:
    x = np.abs(rng.standard_normal((14, 3)))
    model = Branches()
    model.compile(Adam(lr=0.1), "mse")
    model.fit(-x, x[:, 0], batch_size=7, verbose=False)
    before = model.state_dict()
    model.fit(x, x[:, 0], batch_size=7, verbose=False)
    for name in ("other.weight", "other.bias"):
        np.testing.assert_array_equal(model.parameters()[name], before[name])
    assert (model.one.weight != before["one.weight"]).any()
    counts = model.optimizer.counts
    assert counts == {"other.weight": 2, "other.bias": 2, "one.weight": 2, "one.bias": 2}
    assert model.optimizer.steps == 4


def test_a_regularised_parameter_has_a_gradient(rng: np.random.Generator) -> None:
    x = np.abs(rng.standard_normal((14, 3)))
    model = Branches()
    model.other.parameter("weight").regularizer = L2(0.5)
    model.compile(SGD(lr=0.1), "mse")
    before = model.state_dict()
    model.fit(x, x[:, 0], batch_size=14, verbose=False)
    np.testing.assert_allclose(model.other.weight, before["other.weight"] * 0.9, rtol=1e-6)
    np.testing.assert_array_equal(model.other.bias, before["other.bias"])


def test_a_shared_parameter_has_the_gradient_of_every_use() -> None:
    model = Branches()
    model.other.weight = model.one.weight
    optimizer = Adam(model, lr=0.1)
    for sign in (1, -1):
        _, backward = model.forward(sign * np.ones((2, 3)))
        model.zero_grad()
        backward(np.ones((2, 1)))
        optimizer.step()
    assert optimizer.counts == {"one.weight": 2, "one.bias": 1, "other.bias": 1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("steps.b"), "state must have 'steps' of each parameter, or of none"),
        (lambda s: s.update({"steps.d": np.array(1)}), "state must have 'steps' of each parameter"),
        (lambda s: s.update({"steps.a": np.array(-1)}), "'steps.a', an integer that is not negat"),
        (lambda s: s.update({"steps.a": np.array(1.5)}), "'steps.a', an integer that is not nega"),
        (lambda s: s.update({"steps.x": np.array(1)}), "state must be of this optimizer and model"),
        (lambda s: s.update({"steps": np.array(-1)}), "'steps', an integer that is not negative"),
    ],
)
def test_counts_that_do_not_fit_change_nothing(
    change: Any, message: str, rng: np.random.Generator
) -> None:
    model = Several()
    optimizer = Adam(model)
    for step in range(5):
        make_step(model, optimizer, drawn(rng, model, step))
    state = optimizer.state_dict()
    change(state)
    fresh = Adam(Several())
    with pytest.raises(ValueError, match=message):
        fresh.load_state_dict(state)
    assert (fresh.steps, fresh.state, fresh.counts) == (0, {}, {})
