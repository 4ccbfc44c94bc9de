"""The steps of PyTorch's optimizers, also of parameters that come and go."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heedful.layers import Layer, Parameter
from heedful.training import SGD, Adam, AdamW, NAdam, RMSprop

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peer

SHAPES = {"a": (3,), "b": (2, 5), "c": (7,), "d": (11,)}

CASES = [
    (SGD, {"lr": 0.1}),
    (SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    (SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    (Adam, {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-6}),
    (Adam, {"lr": 0.01, "weight_decay": 0.1}),
    (AdamW, {}),
    (AdamW, {"lr": 0.01, "weight_decay": 0.1}),
    (NAdam, {}),
    (NAdam, {"lr": 0.01, "betas": (0.8, 0.95), "momentum_decay": 0.1, "weight_decay": 0.1}),
    (RMSprop, {}),
    (RMSprop, {"lr": 0.01, "alpha": 0.9, "eps": 1e-6, "weight_decay": 0.1}),
    (RMSprop, {"lr": 0.01, "momentum": 0.8}),
    (RMSprop, {"lr": 0.01, "momentum": 0.8, "centered": True}),
]


class Bag(Layer):
    def __init__(self, dtype: Any) -> None:
        rng = np.random.default_rng(7)
        for name, shape in SHAPES.items():
            setattr(self, name, Parameter(rng.standard_normal(shape).astype(dtype)))


@pytest.mark.parametrize("clipped", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("kind", "options"), CASES)
def test_steps_are_pytorch_s(
    kind: Any, options: Any, dtype: Any, clipped: bool, rng: np.random.Generator
) -> None:
    model = Bag(dtype)
    theirs = {name: torch.nn.Parameter(torch.tensor(w)) for name, w in model.parameters().items()}
    own = kind(model, clip_norm=0.7 if clipped else None, **options)
    peer = getattr(torch.optim, kind.__name__)(theirs.values(), **options)
    for step in range(60):
        model.zero_grad()
        peer.zero_grad()
        for name in SHAPES:
            used = (
                name == "a" or (name == "b" and rng.random() < 0.5) or (name == "c" and step > 40)
            )
            frozen = name == "a" and 20 <= step < 30
            if name == "a":
                (model.freeze if frozen else model.unfreeze)("a")
                theirs["a"].requires_grad_(not frozen)
            for _ in range(2 * (used and not frozen)):  # two calls add up
                gradient = rng.standard_normal(SHAPES[name]).astype(dtype)
                model.add_gradient(name, gradient)
                (theirs[name] * torch.tensor(gradient)).sum().backward()
        if clipped:
            torch.nn.utils.clip_grad_norm_(theirs.values(), 0.7)
        own.step()
        peer.step()
        # PyTorch keeps the product of NAdam's momenta in float32
        rtol = 2e-4 if dtype == np.float32 else 1e-6 if kind is NAdam else 1e-9
        for name, tensor in theirs.items():
            wanted = tensor.detach().numpy()
            np.testing.assert_allclose(getattr(model, name), wanted, rtol=rtol, atol=rtol / 10)
    counts = {name: int(peer.state[tensor].get("step", 0)) for name, tensor in theirs.items()}
    if kind is not SGD:
        assert own.counts == {name: count for name, count in counts.items() if count}
