"""SpatialGating: its formula written with einsum in float64 as oracle, its cache, refusals."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import heedful
from heedful.layers import SpatialGating
from heedful.training import load_weights, save_weights

Array = NDArray[Any]
X = np.random.default_rng(2).standard_normal((3, 5, 6))


def layer(**options: Any) -> SpatialGating:
    made = SpatialGating(6, 8, hidden=7, activation="tanh", dtype="float64", rng=0, **options)
    for parameter in made.parameters().values():
        parameter += 0.3 * np.random.default_rng(1).standard_normal(parameter.shape)
    return made


def expected(made: SpatialGating, x: Array, seen: Array) -> Array:
    """`seen` (…, L, L): which positions j add to the gate of i."""
    both = np.tanh(x @ made.in_proj.weight.T + made.in_proj.bias)
    u, v = both[..., :7], both[..., 7:]
    v = v - v.mean(-1, keepdims=True)
    v = v / np.sqrt((v**2).mean(-1, keepdims=True) + 1e-5)
    v = v * made.norm.weight + made.norm.bias
    length = x.shape[-2]
    weight = np.where(seen, made.spatial_weight[:length, :length], 0)
    gate = np.einsum("...ij,...jf->...if", weight, v) + made.spatial_bias[:length, None]
    return (u * gate) @ made.out_proj.weight.T + made.out_proj.bias


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("length", [1, 5, 8])
def test_it_is_its_formula(length: int, causal: bool) -> None:
    x = np.random.default_rng(length).standard_normal((3, length, 6))
    seen = np.tri(length, dtype=bool) if causal else np.ones((length, length), bool)
    made = layer()
    right = expected(made, x, seen)
    np.testing.assert_allclose(made(x, causal=causal), right, rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(layer(causal=causal)(x), made(x, causal=causal))


def test_lengths_and_masks_hide_positions() -> None:
    made, lengths = layer(), np.array([5, 3, 0])
    kept = (np.arange(5) < lengths[:, None]) & (np.arange(5) != 1)
    x = np.where(kept[..., None], X, np.nan)
    found = made(x, kv_lengths=lengths, mask=np.arange(5) != 1)
    right = expected(made, X, kept[:, None] & np.ones((5, 1), bool))
    np.testing.assert_allclose(found[kept], right[kept], rtol=1e-10)


def test_padding_does_not_matter() -> None:
    made = layer()
    padded = np.concatenate([X, np.full((3, 3, 6), 9.0)], 1)
    y, backward = made.forward(padded, kv_lengths=[5] * 3, q_lengths=[5] * 3)
    np.testing.assert_allclose(y[:, :5], made(X), rtol=1e-12)
    np.testing.assert_array_equal(y[:, 5:], np.broadcast_to(made.out_proj.bias, (3, 3, 6)))
    dy = np.ones_like(y)
    dx = backward(dy)
    np.testing.assert_array_equal(dx[:, 5:], 0)
    _, back = made.forward(X)
    np.testing.assert_allclose(dx[:, :5], back(dy[:, :5]), rtol=1e-10)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_later_positions_have_no_effect_whatever_they_hold(number: float) -> None:
    made, x = layer(causal=True), X.copy()
    before = made(x)
    x[:, 3:] = number
    after, backward = made.forward(x)
    np.testing.assert_array_equal(after[:, :3], before[:, :3])
    assert np.isnan(after[:, 3:]).all()
    assert np.isnan(backward(np.ones_like(after))[:, :3]).all()  # they are seen by the later ones
    # a gradient that is none reaches the positions before it alone
    _, backward = made.forward(X)
    dy = np.ones_like(before)
    dy[:, 3] = number
    dx = backward(dy)
    assert np.isnan(dx[:, :4]).all()
    _, backward = made.forward(X)
    dy[:, 3] = 0
    np.testing.assert_array_equal(dx[:, 4:], backward(dy)[:, 4:])


def test_at_first_the_gate_is_open() -> None:
    made = SpatialGating(6, 8, rng=0)
    both = made.in_proj(X)
    np.testing.assert_allclose(made(X), made.out_proj(both[..., :6]), atol=1e-2)
    assert np.abs(made.spatial_weight).max() <= 1e-3 / 8
    np.testing.assert_array_equal(made.spatial_bias, 1)


def test_what_is_frozen_gets_no_gradient() -> None:
    made = layer()
    made.freeze("spatial_*")
    y, backward = made.forward(X)
    backward(y)
    assert not any(name.startswith("spatial") for name in made.grads)
    made.unfreeze("spatial_weight")
    y, backward = made.forward(X, causal=True)
    backward(y)
    gradient = made.grads["spatial_weight"]
    assert gradient[:5, :5].any()
    assert not np.triu(gradient, 1).any()
    assert not gradient[5:].any()


def test_it_is_saved_and_copied(tmp_path: Any) -> None:
    made, other = layer(), SpatialGating(6, 8, hidden=7, activation="tanh", dtype="float64")
    save_weights(made, tmp_path / "gating.safetensors")
    load_weights(other, tmp_path / "gating.safetensors")
    for same in (other, copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        np.testing.assert_array_equal(same(X), made(X))


def test_a_permuted_batch_is_permuted() -> None:
    made, order = SpatialGating(6, 8, causal=True, rng=0), [2, 0, 1]
    np.testing.assert_array_equal(made(X[order]), made(X)[order])


def test_the_representation_shows_the_options() -> None:
    assert repr(layer(causal=True)).splitlines()[0] == (
        "SpatialGating(6, max_length=8, hidden=7, causal=True"
    )


# --- the cache


@pytest.mark.parametrize("sizes", [[1, 1, 1, 1, 1], [3, 2], [5]])
def test_steps_with_a_cache_equal_the_whole(sizes: list[int]) -> None:
    made = layer(causal=True)
    cache, ends = made.new_cache(4), np.cumsum(sizes)
    parts = [
        made(X[:, end - size : end], cache=cache) for size, end in zip(sizes, ends, strict=True)
    ]
    np.testing.assert_allclose(np.concatenate(parts, 1), made(X), rtol=1e-10)


def test_items_of_different_lengths_continue_at_their_own_positions() -> None:
    made, lengths = layer(causal=True), [5, 2, 3]
    cache = made.new_cache()
    x = X.copy()
    x[1, 2:], x[2, 3:] = np.nan, np.nan
    made(x, cache=cache, kv_lengths=lengths)
    more = np.random.default_rng(5).standard_normal((3, 2, 6))
    found = made(more, cache=cache)
    for item, length in enumerate(lengths):
        whole = made(np.concatenate([X[item, :length], more[item]]))
        np.testing.assert_allclose(found[item], whole[length:], rtol=1e-10)


@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        (lambda: layer()(np.ones((2, 9, 6))), ValueError,
         r"query must have at most max_length=8 positions: got shape \(2, 9, 6\)"),
        (lambda: layer(causal=True)(X, cache=filled(5)), ValueError,
         "query must have at most max_length=8 positions with those in the cache: got 10"),
        (lambda: layer(causal=True)(X[:2], cache=filled(2)), ValueError,
         r"query must have shape \(3, L, 6\) with this cache: got \(2, 5, 6\)"),
        (lambda: layer()(X, cache=heedful.KVCache()), ValueError, "cache needs causal=True"),
        (lambda: layer(causal=True).forward(X, cache=heedful.KVCache()), ValueError,
         "cache is for inference"),
        (lambda: layer()(X, cache=3), TypeError, "cache must be a KVCache: got 3"),
        (lambda: layer()(X, X + 1), ValueError,
         "key must be None or query itself, spatial gating is within one sequence"),
        (lambda: layer()(X, None, X), ValueError, "key must be given where value is"),
        (lambda: layer()(X, mask=np.tri(5, dtype=bool)), ValueError, "mask must be the same for"),
        (lambda: layer()(X, return_weights=True), ValueError, "return_weights must be False"),
        (lambda: layer()(X[0, 0]), ValueError, "query must have positions and features as axes"),
    ],
)  # fmt: skip
def test_is_refused_in_one_sentence(wrong: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        wrong()


def filled(rows: int) -> heedful.KVCache:
    cache = heedful.KVCache()
    layer(causal=True)(X[:, :rows], cache=cache)
    return cache
