"""Files of trainings that were written when bias correction was counted for the whole model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heedful.layers import Linear, Sequential
from heedful.training import Adam, load_training

BEFORE = Path(__file__).parent / "before_counts"


def old(model: Any) -> Any:
    model.freeze("0.bias")
    model.compile(Adam(lr=0.05), "mse")
    return model


def test_a_file_without_counts_resumes_as_before() -> None:
    pytest.importorskip("safetensors")
    models = [
        old(Sequential(Linear(3, 2, activation="tanh", rng=5), Linear(2, 1, rng=5)))
        for _ in range(2)
    ]
    for model, name in zip(models, ("two_epochs", "three_epochs"), strict=True):
        load_training(model, BEFORE / f"{name}.safetensors")
    model, later = models
    assert model.optimizer.steps == 6
    assert model.optimizer.counts == {"0.weight": 6, "1.weight": 6, "1.bias": 6}
    x = np.random.default_rng(0).standard_normal((14, 3)).astype(np.float32)
    model.fit(x, x[:, :1], batch_size=5, verbose=False)
    np.testing.assert_allclose(model.history["loss"], later.history["loss"], rtol=1e-6)
    found, wanted = model.optimizer.state_dict(), later.optimizer.state_dict()
    assert set(found) == set(wanted)
    for name, array in {**wanted, **later.parameters()}.items():
        own = found.get(name, model.parameters().get(name))
        np.testing.assert_allclose(own, array, rtol=1e-5, atol=1e-8)
    model.unfreeze()  # what had never moved begins at its first step
    model.fit(x, x[:, :1], batch_size=14, verbose=False)
    assert model.optimizer.counts == {"0.weight": 10, "1.weight": 10, "1.bias": 10, "0.bias": 1}


def test_an_optimizer_pickled_without_counts_resumes() -> None:
    model = old(Sequential(Linear(3, 2, activation="tanh", rng=5), Linear(2, 1, rng=5)))
    x = np.random.default_rng(0).standard_normal((14, 3)).astype(np.float32)
    model.fit(x, x[:, :1], batch_size=5, verbose=False)
    counts = model.optimizer.counts
    state = {name: held for name, held in vars(model.optimizer).items() if name != "counts"}
    other = Adam.__new__(Adam)
    other.__setstate__(state)
    assert other.counts == counts
