"""Models whose forward pass alone is written: their derived gradients against differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import trial_models as trial
from composed import assert_differentiates

from heedful.layers import Layer


def inputs() -> dict[str, tuple[Layer, tuple[Any, ...], dict[str, Any]]]:
    rng = np.random.default_rng(0)

    def tokens(count: int, *shape: int) -> np.ndarray:
        return rng.integers(0, count, shape)

    normal = rng.standard_normal
    return {
        "shared embeddings": (
            trial.SharedEmbeddings(), (tokens(11, 3, 5), tokens(11, 3, 4)),
            {"source_lengths": [5, 2, 3]},
        ),
        "two towers": (trial.two_towers(), (tokens(13, 3, 5), tokens(13, 3, 7)), {}),
        "translator": (
            trial.Translator(), (tokens(9, 3, 5), tokens(9, 3, 4)), {"lengths": [5, 2, 3]},
        ),
        "patches": (trial.Patches(), (normal((2, 3, 4, 6)),), {}),
        "cross-modal": (
            trial.cross_modal(), (tokens(10, 3, 4), normal((3, 7, 5)), np.array([7, 3, 5])), {},
        ),
        "recommender": (
            trial.Recommender(), (tokens(7, 5), tokens(9, 5), tokens(9, 5, 3)),
            {"lengths": [3, 1, 2, 3, 1]},
        ),
        "policy": (trial.Policy(), (normal((2, 5, 3)), normal((2, 1, 6))), {}),
        "siamese": (
            trial.Siamese(),
            (normal((5, 3, 4)), normal((5, 2, 4)), np.array([True, False, True, False, False])), {},
        ),
    }  # fmt: skip


@pytest.mark.parametrize("name", inputs())
def test_no_trial_model_needs_a_backward_of_its_own(name: str) -> None:
    model, x, options = inputs()[name]
    written = [
        type(layer) for _, layer in model.named_layers() if "trial" in type(layer).__module__
    ]
    assert not any("compute" in vars(kind) and "call" not in vars(kind) for kind in written)
    assert_differentiates(model, *x, **options)


@pytest.mark.parametrize("name", inputs())
def test_trial_models_keep_their_type_and_their_inference(name: str) -> None:
    """The result of training without dropout is that of inference, bit for bit."""
    model, x, options = inputs()[name]
    for _, layer in model.named_layers():
        if hasattr(layer, "rate"):
            layer.rate = 0.0
    y, _ = model.forward(*x, **options)
    again = model(*x, **options)
    for one, other in zip(
        *((r if isinstance(r, tuple) else (r,)) for r in (y, again)), strict=True
    ):
        assert one.dtype == np.float64
        assert one.tobytes() == other.tobytes()
