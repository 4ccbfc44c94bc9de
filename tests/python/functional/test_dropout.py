"""Counter-based dropout: the mask is known beforehand, bit for bit, wherever it is used."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from closeness import assert_same_bits
from numpy.typing import NDArray
from philox import kept_weights

import heedful
import reference

Array = NDArray[Any]
SEEDS = [0, 1, 2**32 - 1, 2**32, 2**63 + 12345, 2**64 - 1]
SHAPES = [(1, 1, 1, 1), (2, 3, 5, 7), (1, 2, 33, 97), (2, 1, 197, 389), (3, 4, 1, 1025)]


def draw(rng: np.random.Generator, shape: tuple[int, int, int, int], dtype: Any) -> list[Array]:
    """Queries and keys of equal scores: then a weight shows whether it was kept."""
    items, heads, queries, keys = shape
    shapes = (items, heads, queries, 8), (items, heads, keys, 8), (items, heads, keys, 3)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_weights_are_kept_where_the_counters_say(
    shape: tuple[int, int, int, int], seed: int, rng: np.random.Generator
) -> None:
    query, key, value = draw(rng, shape, np.float32)
    _, weights = heedful.attention(
        query, key, value, scale=0.0, dropout_p=0.3, rng=seed, return_weights=True
    )
    items, heads, queries, keys = shape
    kept = kept_weights(np.arange(items), heads, queries, keys, 0.3, seed)
    np.testing.assert_array_equal(weights != 0, kept)
    np.testing.assert_allclose(weights[kept], 1 / (keys * 0.7), rtol=1e-6)


@pytest.mark.parametrize("probability", [1e-9, 0.001, 0.1, 0.5, 0.9, 0.999, 1 - 1e-9])
def test_every_probability(probability: float, rng: np.random.Generator) -> None:
    query, key, value = draw(rng, (1, 2, 33, 97), np.float64)
    _, weights = heedful.attention(
        query, key, value, scale=0.0, dropout_p=probability, rng=5, return_weights=True
    )
    kept = kept_weights(np.arange(1), 2, 33, 97, probability, 5)
    np.testing.assert_array_equal(weights != 0, kept)
    np.testing.assert_allclose(weights[kept], 1 / (97 * (1 - probability)), rtol=1e-12)


def test_probability_one_leaves_nothing(rng: np.random.Generator, dtype: np.dtype[Any]) -> None:
    query, key, value = draw(rng, (1, 2, 33, 97), dtype)
    (out, lse), pullback = heedful.attention_vjp(
        query, key, value, dropout_p=1.0, rng=5, return_lse=True
    )
    assert not out.any()
    exact = reference.attention(query, key, value)
    np.testing.assert_allclose(lse, exact.lse, rtol=1e-5)  # that before dropout
    assert not any(gradient.any() for gradient in pullback(np.ones_like(out))[:3])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_out_uses_the_same_mask_as_the_weights(
    shape: tuple[int, int, int, int], rng: np.random.Generator
) -> None:
    query, key, value = draw(rng, shape, np.float64)
    out, weights = heedful.attention(query, key, value, dropout_p=0.4, rng=11, return_weights=True)
    np.testing.assert_allclose(out, weights @ value, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_backward_uses_the_same_mask(
    shape: tuple[int, int, int, int], rng: np.random.Generator
) -> None:
    query, key, value = draw(rng, shape, np.float64)
    out, pullback = heedful.attention_vjp(query, key, value, dropout_p=0.4, rng=11)
    dout = rng.standard_normal(out.shape)
    exact = reference.attention_backward(dout, query, key, value, dropout_p=0.4, rng=11)
    for gradient, expected in zip(pullback(dout)[:3], exact[:3], strict=True):
        np.testing.assert_allclose(gradient, expected, rtol=1e-10, atol=1e-12)


def test_the_mask_does_not_depend_on_type_or_processor_level(
    rng: np.random.Generator, dtype: np.dtype[Any]
) -> None:
    query, key, value = draw(rng, (2, 2, 33, 97), dtype)
    _, weights = heedful.attention(
        query, key, value, scale=0.0, dropout_p=0.25, rng=3, return_weights=True
    )
    kept = kept_weights(np.arange(2), 2, 33, 97, 0.25, 3)
    np.testing.assert_array_equal(weights != 0, kept)


def test_leading_axes_are_counted_as_one(rng: np.random.Generator) -> None:
    query, key, value = draw(rng, (6, 2, 5, 7), np.float64)
    flat = heedful.attention(query, key, value, dropout_p=0.5, rng=1)
    nested = heedful.attention(
        *(array.reshape(2, 3, *array.shape[1:]) for array in (query, key, value)),
        dropout_p=0.5, rng=1,
    )  # fmt: skip
    assert_same_bits(nested.reshape(flat.shape), flat)


def test_heads_that_share_keys_have_their_own_masks(rng: np.random.Generator) -> None:
    query, key, value = draw(rng, (1, 1, 17, 65), np.float64)
    query = np.repeat(query, 4, axis=1)
    _, weights = heedful.attention(query, key, value, dropout_p=0.5, rng=1, return_weights=True)
    np.testing.assert_array_equal(weights != 0, kept_weights(np.arange(1), 4, 17, 65, 0.5, 1))


def test_restrictions_do_not_move_the_mask(rng: np.random.Generator) -> None:
    query, key, value = draw(rng, (1, 2, 97, 97), np.float64)
    options = {"scale": 0.0, "dropout_p": 0.5, "rng": 1, "return_weights": True}
    _, weights = heedful.attention(query, key, value, causal=True, window=(20, None), **options)
    i, j = np.ogrid[:97, :97]
    seen = (j <= i) & (j >= i - 20)
    kept = kept_weights(np.arange(1), 2, 97, 97, 0.5, 1)
    np.testing.assert_array_equal(weights != 0, kept & seen)


def test_an_integer_seed_repeats_the_result_and_none_does_not(rng: np.random.Generator) -> None:
    query, key, value = draw(rng, (1, 2, 33, 97), np.float64)

    def once(seed: Any) -> Array:
        return heedful.attention(query, key, value, dropout_p=0.5, rng=seed)

    assert_same_bits(once(7), once(7))
    assert (once(7) != once(8)).any()
    assert (once(None) != once(None)).any()


def test_one_seed_per_call_is_drawn_from_a_generator(rng: np.random.Generator) -> None:
    query, key, value = draw(rng, (1, 2, 33, 97), np.float64)
    generator, twin = np.random.default_rng(4), np.random.default_rng(4)
    for _ in range(3):
        seed = int(twin.integers(0, 2**64, dtype=np.uint64))
        drawn = heedful.attention(query, key, value, dropout_p=0.5, rng=generator)
        assert_same_bits(drawn, heedful.attention(query, key, value, dropout_p=0.5, rng=seed))


def test_the_pullback_keeps_the_seed_it_drew(rng: np.random.Generator) -> None:
    query, key, value = draw(rng, (1, 1, 5, 33), np.float64)
    (out, weights), pullback = heedful.attention_vjp(
        query, key, value, dropout_p=0.5, return_weights=True
    )
    np.testing.assert_allclose(weights @ value, out, rtol=1e-12)
    dout = rng.standard_normal(out.shape)
    np.testing.assert_allclose(
        pullback(dout).value, weights.swapaxes(-1, -2) @ dout, rtol=1e-11, atol=1e-13
    )


@pytest.mark.parametrize("seed", [None, np.random.default_rng(0)], ids=["none", "generator"])
def test_attention_backward_requires_the_seed_as_an_integer(seed: Any) -> None:
    array = np.ones((1, 1, 3, 2))
    out, lse = heedful.attention(array, array, array, dropout_p=0.5, rng=1, return_lse=True)
    with pytest.raises(ValueError, match="rng"):
        heedful.attention_backward(array, array, array, array, out, lse, dropout_p=0.5, rng=seed)


def test_the_mean_over_many_masks_is_attention_without_dropout(rng: np.random.Generator) -> None:
    query, key, value = draw(rng, (1, 1, 1, 97), np.float64)
    many = [np.broadcast_to(array, (4000, *array.shape[1:])) for array in (query, key, value)]
    dropped = heedful.attention(*many, dropout_p=0.3, rng=123)
    mean, deviation = dropped.mean(axis=0), dropped.std(axis=0) / np.sqrt(4000)
    assert (np.abs(mean - heedful.attention(query, key, value)) < 4.5 * deviation).all()
