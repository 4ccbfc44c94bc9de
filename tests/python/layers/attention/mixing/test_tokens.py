"""TokenMixing: its formula written with einsum in float64 as oracle, and refusals."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from heedful.layers import TokenMixing
from heedful.training import load_weights, save_weights

Array = NDArray[Any]
X = np.random.default_rng(2).standard_normal((3, 5, 6))


def layer(**options: Any) -> TokenMixing:
    made = TokenMixing(6, 8, hidden=9, activation="tanh", dtype="float64", rng=0, **options)
    for parameter in made.parameters().values():
        parameter += 0.1 * np.random.default_rng(1).standard_normal(parameter.shape)
    return made


def expected(made: TokenMixing, x: Array) -> Array:
    """With the columns of the weights for positions that are there."""
    length = x.shape[-2]
    first, second = made.linear1, made.linear2
    inner = np.einsum("hl,...le->...he", first.weight[:, :length], x) + first.bias[:, None]
    outer = np.einsum("lh,...he->...le", second.weight[:length], np.tanh(inner))
    result: Array = outer + second.bias[:length, None]
    return result


@pytest.mark.parametrize("length", [1, 5, 8])
def test_it_is_its_formula(length: int) -> None:
    x = np.random.default_rng(length).standard_normal((2, 3, length, 6))
    np.testing.assert_allclose(layer()(x), expected(layer(), x), rtol=1e-10, atol=1e-12)


def test_positions_that_do_not_count_are_0_and_get_no_gradient() -> None:
    made, lengths = layer(), np.array([5, 3, 0])
    kept = (np.arange(5) < lengths[:, None]) & (np.arange(5) != 1)
    x = np.where(kept[..., None], X, np.nan)
    y, backward = made.forward(x, kv_lengths=lengths, mask=np.arange(5) != 1)
    np.testing.assert_allclose(y, expected(made, np.where(kept[..., None], X, 0)), rtol=1e-10)
    np.testing.assert_array_equal(backward(np.ones_like(y))[~kept], 0)


def test_padding_does_not_matter() -> None:
    made = layer()
    padded = np.concatenate([X, np.full((3, 3, 6), np.nan)], 1)
    y, backward = made.forward(padded, kv_lengths=[5] * 3, q_lengths=[5] * 3)
    np.testing.assert_allclose(y[:, :5], made(X), rtol=1e-12)
    np.testing.assert_array_equal(y[:, 5:], 0)
    dy = np.ones_like(y)
    dy[:, 5:] = np.nan
    _, back = made.forward(X)
    np.testing.assert_allclose(backward(dy)[:, :5], back(dy[:, :5]), rtol=1e-10)


def test_key_and_value_may_be_query_itself() -> None:
    made = layer()
    y, backward = made.forward(X, X)
    dx, dkey = backward(y)
    _, back = made.forward(X)
    np.testing.assert_array_equal(dx, back(y))
    assert not dkey.any()


def test_residual_is_added() -> None:
    made = layer()
    np.testing.assert_array_equal(made(X, residual=X), made(X) + X)


def test_it_is_saved_and_copied(tmp_path: Any) -> None:
    made, other = layer(), TokenMixing(6, 8, hidden=9, activation="tanh", dtype="float64")
    save_weights(made, tmp_path / "tokens.safetensors")
    load_weights(other, tmp_path / "tokens.safetensors")
    for same in (other, copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        np.testing.assert_array_equal(same(X), made(X))


def test_a_permuted_batch_is_permuted() -> None:
    made, order = TokenMixing(6, 8, rng=0), [2, 0, 1]
    np.testing.assert_array_equal(made(X[order]), made(X)[order])


def test_the_representation_shows_the_sizes() -> None:
    lines = repr(TokenMixing(6, 8, dropout=0.5)).splitlines()
    assert lines[0] == "TokenMixing(6, max_length=8"
    assert lines[1].strip() == "(linear1): Linear(8, 3, activation='gelu')"
    assert TokenMixing(1, 8).linear1.out_features == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: layer()(np.ones((2, 9, 6))), "query must have at most max_length=8 positions"),
        (lambda: layer()(X, causal=True), "causal must be False, token mixing lets every position"),
        (lambda: layer()(X, X + 1), "key must be None or query itself, token mixing is within"),
        (lambda: layer()(X, cache=[]), "cache must be None, token mixing has no scores of pairs"),
        (lambda: layer()(X, mask=np.tri(5, dtype=bool)), "mask must be the same for all queries"),
        (lambda: layer()(X, residual=X[:1]), r"residual must have shape \(3, 5, 6\)"),
        (lambda: TokenMixing(6, 8, hidden=0), "hidden must be at least 1"),
        (lambda: TokenMixing(6, 8, dropout=2), "dropout must lie between 0 and 1"),
    ],
)
def test_is_refused_in_one_sentence(wrong: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wrong()
