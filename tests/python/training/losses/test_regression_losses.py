"""Losses of differences: values by the definition, gradients by finite differences, weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heedful.layers import Linear, Sequential
from heedful.testing import gradcheck
from heedful.training import Huber, MeanAbsoluteError, MeanSquaredError

FUNCTIONS: dict[str, tuple[Any, Any]] = {
    "mse": (MeanSquaredError(), lambda d: d**2),
    "mae": (MeanAbsoluteError(), np.abs),
    "huber": (Huber(), lambda d: np.where(abs(d) <= 1, d**2 / 2, abs(d) - 0.5)),
    "huber_small": (Huber(0.3), lambda d: np.where(abs(d) <= 0.3, d**2 / 2, 0.3 * (abs(d) - 0.15))),
    "huber_large": (Huber(delta=1e50), lambda d: d**2 / 2),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_losses_are_what_they_are_defined_as(name: str, dtype: str, rng: Any) -> None:
    loss_fn, function = FUNCTIONS[name]
    y, x = rng.standard_normal((2, 7, 5)) * 2
    x = x.astype(dtype)
    loss, gradient = loss_fn(y, x)
    assert loss == pytest.approx(function(x - y).mean(), rel=1e-6 if dtype == "float32" else 1e-14)
    assert gradient.dtype == dtype
    mask = rng.random(7) < 0.5
    weight = rng.random((7, 5))
    assert loss_fn(y, x, mask)[0] == pytest.approx(function(x - y)[mask].mean(), rel=1e-6)
    assert loss_fn(y, x, weight)[0] == pytest.approx((weight * function(x - y)).mean(), rel=1e-6)
    assert not loss_fn(y, x, mask)[1][~mask].any()
    y[~mask] = np.nan
    assert np.isfinite(loss_fn(y, x, mask)[0])
    assert np.isfinite(loss_fn(y, x, mask)[1]).all()


@pytest.mark.parametrize("weighed", [False, True])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_match_finite_differences(name: str, weighed: bool, rng: Any) -> None:
    y, x = rng.standard_normal((2, 7, 5)) * 2
    weight = rng.random((7, 5)) if weighed else None

    def function(x: Any) -> Any:
        loss, gradient = FUNCTIONS[name][0](y, x, weight)
        return np.array(loss), lambda d: [d * gradient]

    assert gradcheck(function, x, step=1e-6)


def test_where_nothing_differs_there_is_no_gradient() -> None:
    for loss_fn, _ in FUNCTIONS.values():
        loss, gradient = loss_fn([1.0, 2.0], np.array([1.0, 2.0], np.float32))
        assert loss == 0
        np.testing.assert_array_equal(gradient, [0, 0])


@pytest.mark.peer
@pytest.mark.parametrize("name", ["mse", "mae", "huber", "huber_small"])
def test_they_are_pytorch_s(name: str, rng: Any) -> None:
    torch = pytest.importorskip("torch")
    peer = {
        "mse": torch.nn.MSELoss(), "mae": torch.nn.L1Loss(), "huber": torch.nn.HuberLoss(),
        "huber_small": torch.nn.HuberLoss(delta=0.3),
    }[name]  # fmt: skip
    y, x = rng.standard_normal((2, 7, 5))
    x[3, 2] = y[3, 2]
    theirs = torch.tensor(x, requires_grad=True)
    wanted = peer(theirs, torch.tensor(y))
    wanted.backward()
    loss, gradient = FUNCTIONS[name][0](y, x)
    assert loss == pytest.approx(wanted.item(), rel=1e-12)
    np.testing.assert_allclose(gradient, theirs.grad.numpy(), rtol=1e-12)


@pytest.mark.parametrize("name", ["mae", "MAE", "mean_absolute_error", "huber", "MSE", "mse"])
def test_names_are_known(name: str, rng: Any) -> None:
    x = rng.standard_normal((64, 3))
    model = Sequential(Linear(3, 1, rng=0))
    for optimizer in ("rmsprop", "RMSprop", "nadam", "Nadam"):
        model.compile(optimizer, name, ["mae"])
        losses = model.fit(x, x[:, 0], epochs=3, verbose=False, rng=0)["loss"]
        assert losses[-1] < losses[0]


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="delta must be finite and above 0: got 0"):
        Huber(0)
    with pytest.raises(TypeError, match=r"not its class: write Huber\(\)"):
        Sequential(Linear(3, 1)).compile("adam", Huber)
    for loss_fn in (MeanAbsoluteError(), Huber()):
        with pytest.raises(ValueError, match=r"shape of prediction, \(2,\): got \(3,\)"):
            loss_fn([1, 2, 3], np.ones(2))
        with pytest.raises(ValueError, match=r"target must be finite: got nan at target\[1\]"):
            loss_fn([1, np.nan], np.ones(2))
