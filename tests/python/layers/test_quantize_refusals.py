"""What cannot become int8 is refused and unchanged, and int8 is not trained."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heedful import layers as L
from heedful.layers import Layer, Linear, Sequential


def int8_weights(model: Layer) -> dict[str, np.ndarray[Any, Any]]:
    return {name: array for name, array in model.parameters().items() if array.dtype == np.int8}


def unchanged(model: Layer, error: type[Exception], message: str) -> None:
    before = model.state_dict()
    with pytest.raises(error, match=message):
        model.quantize()
    for name, array in model.state_dict().items():
        assert array.dtype == before[name].dtype
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_not_finite_is_refused(wrong: float) -> None:
    model = Sequential(Linear(6, 5, rng=0), Linear(5, 4, rng=1))
    model[1].weight[3, 2] = wrong
    unchanged(model, ValueError, r"^1\.weight must be finite to become int8: it holds NaN or inf")


def test_other_weights_that_cannot_become_int8_are_refused() -> None:
    unchanged(Sequential(Linear(6, 5, rng=0), Linear(5, 4, dtype=np.float64)), TypeError,
              r"^1\.weight must be float32 to become int8: got float64")  # fmt: skip
    unchanged(Linear(65537, 1, rng=0), ValueError,
              r"^weight must have at most 65,536 elements in a row to become int8")  # fmt: skip


def test_a_model_without_weights_or_unbuilt_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^ReLU has no dense product whose weight could become"):
        L.ReLU().quantize()
    with pytest.raises(ValueError, match=r"^Embedding has no dense product"):
        L.Embedding(5, 3).quantize()
    model = Sequential(Linear(3, 3, rng=0), L.Dense(4))
    with pytest.raises(ValueError, match=r"Dense '1' is unbuilt, .* call the model once first"):
        model.quantize()
    assert model[0].weight.dtype == np.float32
    model(np.ones((2, 3)))
    assert len(int8_weights(model.quantize())) == 2


def test_training_is_refused_and_changes_nothing() -> None:
    model = Sequential(Linear(3, 4, rng=0), Linear(4, 2, rng=1))
    model[1].quantize()
    model.compile("sgd", "mse")
    before = model.state_dict()
    with pytest.raises(RuntimeError, match="weight is int8 and cannot be trained: call dequantize"):
        model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=False)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    model.dequantize().fit(np.ones((4, 3)), np.ones((4, 2)), verbose=False)


def test_an_int8_weight_is_not_assigned() -> None:
    layer, other = Linear(3, 2, rng=0).quantize(), Linear(3, 2, rng=1)
    with pytest.raises(TypeError, match="weight is int8, and only load_state_dict changes it"):
        layer.weight = np.ones((2, 3))
    with pytest.raises(TypeError, match="weight must be of int8: got float32"):
        layer.weight = other.weight
    with pytest.raises(ValueError, match="read-only"):
        layer.weight[0] = 1
    other.weight_scale = 3  # an attribute like any other
    assert other.weight_scale == 3
