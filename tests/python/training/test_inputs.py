"""What fit and predict take for one input and what for several."""

from __future__ import annotations

import numpy as np
import pytest

from heedful.layers import Dense, MultiHeadAttention, Sequential

X = np.ones((4, 3), np.float32)


def model() -> Sequential:
    layers = Sequential(Dense(1, rng=0))
    layers.compile("sgd", "mean_squared_error")
    return layers


def test_a_list_is_one_array() -> None:
    layers = model()
    np.testing.assert_array_equal(layers.predict(list(X)), layers.predict(X))
    np.testing.assert_array_equal(layers.predict(X.tolist()), layers.predict(X))
    assert layers.predict([X, X]).shape == (2, 4, 1)  # as NumPy reads it


def test_a_tuple_is_several_inputs() -> None:
    layer = MultiHeadAttention(6, 2, rng=0)
    x, memory = np.ones((4, 5, 6)), np.ones((4, 7, 6))
    np.testing.assert_array_equal(layer.predict((x, memory)), layer(x, memory))


def test_a_list_that_was_meant_as_several_inputs_gets_a_hint() -> None:
    with pytest.raises(ValueError, match=r"each of 2 examples: .* several inputs are a tuple"):
        model().fit([X, X], np.ones((4, 1)), verbose=False)
    with pytest.raises(ValueError, match=r"x must be one array, or a tuple .* \(4, 3\), \(4, 2\)"):
        model().predict([X, X[:, :2]])


def test_lists_of_different_lengths_are_refused_in_one_sentence() -> None:
    with pytest.raises(ValueError, match="x must be rectangular: got lists of different lengths"):
        model().predict([[1.0], [1.0, 2.0]])
