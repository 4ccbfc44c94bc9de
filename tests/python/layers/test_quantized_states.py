"""States of int8 models: loaded as they are, and converted from and to floats."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from closeness import assert_same_bits

from heedful import layers as L
from heedful.layers import Linear, Sequential


def drawn(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def test_a_state_is_loaded_as_it_is() -> None:
    model, x = L.Encoder(1, 12, 2, 20, rng=0).quantize(), drawn(2, 5, 12)
    other = L.Encoder(1, 12, 2, 20, rng=1).quantize()
    held = other.parameters()
    assert other.load_state_dict(model.state_dict()) == ([], [])
    assert_same_bits(other(x), model(x))
    assert all(array is held[name] for name, array in other.parameters().items())


def test_a_state_of_floats_is_quantised() -> None:
    exact, x = L.Encoder(1, 12, 2, 20, rng=0), drawn(2, 5, 12)
    other = L.Encoder(1, 12, 2, 20, rng=1).quantize()
    state = exact.state_dict()
    assert other.load_state_dict({name: array.astype(np.float64) for name, array in state.items()})
    assert_same_bits(other(x), exact.quantize()(x))


def test_a_state_of_int8_becomes_floats() -> None:
    model, x = L.Encoder(1, 12, 2, 20, rng=0).quantize(), drawn(2, 5, 12)
    exact = L.Encoder(1, 12, 2, 20, rng=1)
    assert exact.load_state_dict(model.state_dict()) == ([], [])
    assert_same_bits(exact(x), model.dequantize()(x))


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("layer", [L.Conv1d, L.GRU, L.LSTM, L.Linear])
def test_weights_of_any_number_of_axes_become_floats(layer: Any, strict: bool) -> None:
    sizes = (6, 4, 3) if layer is L.Conv1d else (6, 4)
    model, x = Sequential(layer(*sizes, rng=0)).quantize(), drawn(2, 5, 6)
    exact = Sequential(layer(*sizes, rng=1))
    assert exact.load_state_dict(model.state_dict(), strict) == ([], [])
    assert_same_bits(exact(x), model.dequantize()(x))


def test_an_unbuilt_layer_takes_a_state_of_int8() -> None:
    made, x = L.Dense(4, rng=0), drawn(2, 3)
    made(x)
    other = L.Dense(4)
    other.load_state_dict(made.quantize().state_dict())
    assert_same_bits(other(x), made.dequantize()(x))


def test_states_of_tied_models_fit_in_both_forms() -> None:
    exact = L.LanguageModel(17, 12, 2, 1, rng=0)
    state, tokens = exact.state_dict(), [[1, 2, 3]]
    int8 = L.LanguageModel(17, 12, 2, 1, rng=1).quantize()
    one_name = {name: array for name, array in state.items() if name != "projection.weight"}
    for given in (state, one_name):
        int8.load_state_dict(given)
        assert_same_bits(int8(tokens), copy.deepcopy(exact).quantize()(tokens))
    other = L.LanguageModel(17, 12, 2, 1, rng=2)
    other.load_state_dict(int8.state_dict())
    np.testing.assert_array_equal(other.embedding.weight, exact.embedding.weight)
    assert other.projection.weight is other.embedding.weight


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda s: s.pop("0.weight_scale"), ValueError, r"^0\.weight_scale must be in the state"),
        (lambda s: s.pop("0.weight"), ValueError, r"^0\.weight must be in the state because"),
        (lambda s: s.update({"0.weight": np.ones((4, 3), np.int8)}), ValueError,
         r"^0\.weight must have shape \(5, 6\): got \(4, 3\)"),
        (lambda s: s.update({"0.weight_scale": np.ones(4)}), ValueError,
         r"^0\.weight_scale must have shape \(5,\): got \(4,\)"),
        (lambda s: s.update({"0.weight": np.ones((5, 6))}), TypeError,
         r"^0\.weight must be int8 because of 0\.weight_scale: got float64"),
        (lambda s: s.update({"0.weight": np.array([["a"] * 6] * 5)}), TypeError,
         r"^0\.weight must hold real numbers"),
    ],
)  # fmt: skip
def test_a_state_that_does_not_fit_changes_nothing(
    change: Any, error: type[Exception], message: str, strict: bool
) -> None:
    model = Sequential(Linear(6, 5, rng=0), Linear(5, 4, rng=1)).quantize()
    before = model.state_dict()
    state = Sequential(Linear(6, 5, rng=2), Linear(5, 4, rng=3)).quantize().state_dict()
    change(state)
    with pytest.raises(error, match=message):
        model.load_state_dict(state, strict)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_floats_that_are_not_finite_are_not_loaded_into_int8() -> None:
    model, state = Linear(6, 5, rng=0).quantize(), Linear(6, 5, rng=1).state_dict()
    state["weight"][0, 0] = np.inf
    before = model.state_dict()
    with pytest.raises(ValueError, match=r"^weight must be finite to become int8"):
        model.load_state_dict(state)
    np.testing.assert_array_equal(model.weight, before["weight"])


def test_scales_that_do_not_fit_a_model_of_floats_are_refused() -> None:
    state = Linear(6, 5, rng=0).quantize().state_dict()
    state["weight_scale"] = np.ones(3)
    with pytest.raises(ValueError, match=r"^weight_scale must have shape \(5,\): got \(3,\)"):
        Linear(6, 5).load_state_dict(state)
