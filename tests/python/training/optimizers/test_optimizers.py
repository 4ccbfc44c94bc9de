"""Optimizers: what can be computed by hand, groups, clipping, state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heedful.layers import Dense, Layer, Linear, Parameter, Sequential
from heedful.training import (
    L2,
    SGD,
    Adam,
    AdamW,
    InverseSquareRoot,
    NAdam,
    RMSprop,
    WarmupCosine,
    gradient_norm,
)


def ready(dtype: Any = np.float64) -> Sequential:
    """A model with gradients."""
    model = Sequential(Linear(3, 4, rng=0, dtype=dtype), Linear(4, 2, rng=1, dtype=dtype))
    y, backward = model.forward(np.arange(15).reshape(5, 3))
    backward(np.ones_like(y))
    return model


def change(model: Sequential, optimizer: Any) -> dict[str, Any]:
    before = model.state_dict()
    optimizer.step()
    return {name: array - before[name] for name, array in model.parameters().items()}


def test_sgd_goes_against_the_gradient() -> None:
    model = ready()
    for name, moved in change(model, SGD(model, lr=0.1)).items():
        np.testing.assert_allclose(moved, -0.1 * model.grads[name], rtol=1e-10, atol=1e-15)


def test_the_first_step_of_adam_is_the_rate() -> None:
    model = ready()
    for name, moved in change(model, Adam(model, lr=0.1)).items():
        np.testing.assert_allclose(moved, -0.1 * np.sign(model.grads[name]), rtol=1e-6)


def test_decoupled_decay_shrinks_weights() -> None:
    model = ready()
    before = model.state_dict()
    plain = change(model, Adam(model, lr=0.1))
    model = ready()
    for name, moved in change(model, AdamW(model, lr=0.1, weight_decay=0.5)).items():
        np.testing.assert_allclose(moved - plain[name], -0.05 * before[name], atol=1e-12)


def test_groups_set_what_their_pattern_names() -> None:
    model = ready()
    groups = {"1.*": {"lr_factor": 0.0}, "*.bias": {"lr_factor": 2.0}}
    moved = change(model, SGD(model, lr=0.1, groups=groups))
    np.testing.assert_allclose(moved["0.weight"], -0.1 * model.grads["0.weight"], rtol=1e-10)
    np.testing.assert_allclose(moved["0.bias"], -0.2 * model.grads["0.bias"], rtol=1e-10)
    assert not moved["1.weight"].any()
    assert not moved["1.bias"].any()  # the first pattern counts


def test_a_group_alone_may_have_a_momentum() -> None:
    model = ready()
    optimizer = SGD(model, lr=0.1, groups={"0.*": {"momentum": 0.5}})
    for _ in range(2):
        moved = change(model, optimizer)
    np.testing.assert_allclose(moved["0.weight"], -0.15 * model.grads["0.weight"], rtol=1e-10)
    np.testing.assert_allclose(moved["1.weight"], -0.1 * model.grads["1.weight"], rtol=1e-10)


def test_clipping_is_by_the_norm_of_all() -> None:
    model = ready()
    norm = gradient_norm(list(model.grads.values()))
    flat = np.concatenate([gradient.ravel() for gradient in model.grads.values()])
    assert norm == pytest.approx(np.linalg.norm(flat))
    moved = change(model, SGD(model, lr=1.0, clip_norm=norm / 10))
    assert gradient_norm(list(moved.values())) == pytest.approx(norm / 10, rel=1e-6)
    model = ready()
    moved = change(model, SGD(model, lr=1.0, clip_norm=norm * 10))
    assert gradient_norm(list(moved.values())) == pytest.approx(norm)


def test_what_is_frozen_stays() -> None:
    model = ready()
    model.freeze("0.*")
    moved = change(model, Adam(model))
    assert not moved["0.weight"].any()
    assert moved["1.weight"].any()


def test_a_step_leaves_gradients_alone() -> None:
    model = ready()
    before = {name: gradient.copy() for name, gradient in model.grads.items()}
    AdamW(model, clip_norm=1e-3).step()
    for name, gradient in model.grads.items():
        np.testing.assert_array_equal(gradient, before[name])


def test_a_schedule_gives_the_rate_of_each_step() -> None:
    model = ready()
    optimizer = SGD(model, lr=lambda step: 0.1 * step)
    assert not any(moved.any() for moved in change(model, optimizer).values())
    assert optimizer.lr == pytest.approx(0.1)
    moved = change(model, optimizer)
    np.testing.assert_allclose(moved["0.bias"], -0.1 * model.grads["0.bias"], rtol=1e-10)


def test_schedules_rise_and_fall() -> None:
    for schedule in (WarmupCosine(0.5, 10, 100), InverseSquareRoot(0.5, 10)):
        rates = np.array([schedule(step) for step in range(200)])
        np.testing.assert_allclose(np.diff(rates[:10]), 0.05)
        assert rates.max() == pytest.approx(0.5)
        assert (np.diff(rates[10:]) <= 0).all()
    assert WarmupCosine(0.5, 10, 100, final=0.1)(1000) == pytest.approx(0.1)
    assert InverseSquareRoot(0.5, 10)(39) == pytest.approx(0.25)


@pytest.mark.parametrize("kind", [SGD, Adam, AdamW])
def test_a_loaded_state_resumes_with_the_same_bits(kind: Any) -> None:
    options = {"momentum": 0.9} if kind is SGD else {}
    model = ready(np.float32)
    optimizer = kind(model, 0.01, **options)
    for _ in range(3):
        optimizer.step()
    weights, state = model.state_dict(), optimizer.state_dict()
    optimizer.step()
    other = ready(np.float32)
    other.load_state_dict(weights)
    again = kind(other, 0.01, **options)
    again.load_state_dict(state)
    again.step()
    for name, array in model.parameters().items():
        np.testing.assert_array_equal(array, other.parameters()[name])


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: Adam(lr=-1), ValueError, "lr must not be negative: got -1"),
        (lambda: Adam(lr="fast"), TypeError, "lr must be a number, or a function"),
        (lambda: Adam([1, 2]), TypeError, "model must be a layer"),
        (lambda: Adam(betas=(0.9, 1.0)), ValueError, r"betas must lie in \[0, 1\)"),
        (lambda: SGD(groups={"*": {"momentums": 1}}), ValueError, r"groups\['\*'\] must set some"),
        (lambda: SGD(clip_norm=0), ValueError, "clip_norm must be finite and above 0: got 0"),
        (lambda: SGD().step(), ValueError, "the optimizer has no model"),
        (lambda: SGD(ready(), groups={"typo*": {"lr_factor": 0}}).step(), ValueError,
         r"groups\['typo\*'\] must match a parameter: there are 0\.weight, 0\.bias, 1\.weight"),
        (lambda: Adam(1e-3), TypeError, "model must be a layer, and a rate be given as lr: got"),
        (lambda: Adam(learning_rate=0.1), TypeError,
         "Adam has no argument learning_rate: write lr"),
        (lambda: SGD(clipnorm=1.0), TypeError, "SGD has no argument clipnorm: write clip_norm"),
        (lambda: AdamW(beta_1=0.9), TypeError, "AdamW has no argument beta_1: write betas"),
        (lambda: Adam(lrate=0.9), TypeError, "unexpected keyword argument 'lrate'"),
        (lambda: SGD(momentum=2), ValueError, r"momentum must lie in \[0, 1\): got 2"),
        (lambda: SGD(momentum=-0.1), ValueError, "momentum must not be negative: got -0.1"),
        (lambda: SGD(nesterov=True), ValueError, "nesterov=True needs a momentum"),
        (lambda: SGD(weight_decay=-1), ValueError, "weight_decay must not be negative: got -1"),
        (lambda: AdamW(weight_decay=-1), ValueError, "weight_decay must not be negative: got -1"),
        (lambda: Adam(groups={"*": {"lr_factor": -1}}), ValueError,
         r"groups\['\*'\]\['lr_factor'\] must not be negative: got -1"),
        (lambda: ready().compile(Adam, "mse"), TypeError,
         r"optimizer must be an optimizer, not its class: write Adam\(lr=…\)"),
        (lambda: Adam(ready()).load_state_dict({"mean.x": 1, "steps": 1}), ValueError,
         r"state must be of this optimizer and model: got 'mean\.x'"),
        (lambda: Adam(ready()).load_state_dict({"mean.0.bias": [1.0], "steps": 1}), ValueError,
         r"mean\.0\.bias must have shape \(4,\): got \(1,\)"),
        (lambda: Adam(ready()).load_state_dict({}), ValueError, "state must have 'steps'"),
    ],
)  # fmt: skip
def test_is_refused_in_one_sentence(call: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        call()


@pytest.mark.parametrize("name", ["kernel_regularizer", "bias_regularizer"])
def test_regularizers_are_checked_where_they_are_given(name: str) -> None:
    for given, kind, message in (
        ("foo", ValueError, f"{name} must be 'l1', 'l2' or one such as L2"),
        (0.1, TypeError, f"{name} must be 'l1', 'l2' or one such as L2"),
        (L2, TypeError, rf"{name} must be a regularizer, not its class: write L2\(…\)"),
    ):
        with pytest.raises(kind, match=message):
            Dense(1, **{name: given})
    assert isinstance(getattr(Dense(1, **{name: "l2"}), name), L2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", [SGD, Adam, AdamW, NAdam, RMSprop])
def test_a_parameter_without_axes_steps_as_one_of_a_single_number(kind: Any, dtype: Any) -> None:
    """NumPy returns scalars, not arrays, for sums and products of such arrays."""

    class Number(Layer):
        def __init__(self, shape: tuple[int, ...]) -> None:
            self.weight = Parameter(np.full(shape, 2.0, dtype))

    alone, one = Number(()), Number((1,))
    for model in (alone, one):
        optimizer = kind(model, lr=0.1, clip_norm=0.5, weight_decay=0.1)
        for _ in range(3):
            model.zero_grad()
            model.add_gradient("weight", np.full(model.weight.shape, 3.0, dtype))
            optimizer.step()
    assert alone.weight.shape == ()
    assert float(alone.weight) == float(one.weight[0]) != 2.0
