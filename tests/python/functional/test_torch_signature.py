"""scaled_dot_product_attention does what torch's function of that name does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import heedful

Array = NDArray[Any]
peer = pytest.mark.peer


def normal(rng: np.random.Generator, *shape: int, dtype: Any = np.float32) -> Array:
    return rng.standard_normal(shape).astype(dtype)


def both(query: Array, key: Array, value: Array, attn_mask: Any = None, **options: Any) -> Array:
    """heedful's result, after it was compared with torch's."""
    torch = pytest.importorskip("torch")
    mask = None if attn_mask is None else torch.from_numpy(attn_mask)
    expected = torch.nn.functional.scaled_dot_product_attention(
        *map(torch.from_numpy, (query, key, value)), attn_mask=mask, **options
    ).numpy()
    result = heedful.scaled_dot_product_attention(query, key, value, attn_mask, **options)
    assert result.shape == expected.shape
    assert result.dtype == expected.dtype
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=2e-6)
    return result


@peer
@pytest.mark.parametrize("lead", [(), (3,), (2, 3), (2, 1, 3)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_any_number_of_leading_axes(
    lead: tuple[int, ...], dtype: Any, rng: np.random.Generator
) -> None:
    shapes = (*lead, 5, 7), (*lead, 11, 7), (*lead, 11, 3)
    both(*(normal(rng, *shape, dtype=dtype) for shape in shapes))


@peer
@pytest.mark.parametrize(
    "leads",
    [
        ((2, 4), (2, 1), (2, 1)),
        ((2, 1), (2, 4), (2, 4)),
        ((2, 4), (), ()),
        ((4,), (2, 4), (2, 4)),
        ((1, 4), (2, 1), (2, 4)),
        ((), (3,), (2, 3)),
    ],
    ids=str,
)
@pytest.mark.parametrize("masked", [False, True])
def test_leading_axes_broadcast(
    leads: tuple[tuple[int, ...], ...], masked: bool, rng: np.random.Generator
) -> None:
    query, key = normal(rng, *leads[0], 5, 7), normal(rng, *leads[1], 11, 7)
    value = normal(rng, *leads[2], 11, 3)
    mask = rng.random((5, 11)) < 0.5
    both(query, key, value, mask if masked else None)


@peer
@pytest.mark.parametrize("lengths", [(5, 5), (5, 11), (11, 5), (1, 5)], ids=str)
def test_causal_starts_at_the_upper_left(
    lengths: tuple[int, int], rng: np.random.Generator
) -> None:
    query, key = normal(rng, 2, 3, lengths[0], 7), normal(rng, 2, 3, lengths[1], 7)
    result = both(query, key, key, is_causal=True)
    np.testing.assert_allclose(result[:, :, 0], key[:, :, 0], rtol=1e-6)


@peer
@pytest.mark.parametrize("shape", [(5, 11), (1, 11), (5, 1), (3, 5, 11), (2, 1, 1, 11)], ids=str)
@pytest.mark.parametrize("kind", [bool, np.float32])
def test_masks_broadcast(shape: tuple[int, ...], kind: Any, rng: np.random.Generator) -> None:
    query, key = normal(rng, 2, 3, 5, 7), normal(rng, 2, 3, 11, 7)
    mask = rng.random(shape) < 0.6 if kind is bool else normal(rng, *shape)
    both(query, key, key, mask)


@peer
@pytest.mark.parametrize("kind", [bool, np.float32])
def test_a_row_that_sees_nothing_is_0(kind: Any, rng: np.random.Generator) -> None:
    query, key = normal(rng, 2, 3, 5, 7), normal(rng, 2, 3, 11, 7)
    mask = np.ones((5, 11), bool)
    mask[2] = False
    attn_mask = mask if kind is bool else np.where(mask, 0, -np.inf).astype(np.float32)
    result = both(query, key, key, attn_mask)
    assert (result[:, :, 2] == 0).all()


@peer
@pytest.mark.parametrize("kv_heads", [1, 2, 6])
@pytest.mark.parametrize("lead", [(), (2,), (2, 3)], ids=str)
def test_grouped_heads(kv_heads: int, lead: tuple[int, ...], rng: np.random.Generator) -> None:
    query, key = normal(rng, *lead, 6, 5, 7), normal(rng, *lead, kv_heads, 11, 7)
    both(query, key, key, enable_gqa=True)


@peer
@pytest.mark.parametrize("scale", [0.0, 1.0, -0.3])
def test_scale(scale: float, rng: np.random.Generator) -> None:
    query, key = normal(rng, 2, 3, 5, 7), normal(rng, 2, 3, 11, 7)
    both(query, key, key, scale=scale)


@peer
def test_empty_axes(rng: np.random.Generator) -> None:
    query, key = normal(rng, 2, 3, 5, 7), normal(rng, 2, 3, 11, 7)
    both(query[:, :, :0], key, key)
    both(query[:0], key[:0], key[:0])
    both(query[..., :0], key[..., :0], key)
    assert (both(query, key[:, :, :0], key[:, :, :0]) == 0).all()


@peer
@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_16_bits(name: str, rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    kind: Any = np.float16 if name == "float16" else pytest.importorskip("ml_dtypes").bfloat16
    arrays = [normal(rng, 2, 3, size, 8, dtype=kind) for size in (5, 11, 11)]
    result = heedful.scaled_dot_product_attention(*arrays)
    tensors = [torch.from_numpy(array.astype(np.float32)) for array in arrays]
    expected = torch.nn.functional.scaled_dot_product_attention(*tensors).numpy()
    assert result.dtype == kind
    np.testing.assert_allclose(result.astype(np.float32), expected, rtol=2**-7, atol=2**-9)


def test_it_drops_whenever_dropout_p_is_above_0(rng: np.random.Generator) -> None:
    query, key = normal(rng, 2, 3, 50, 7), normal(rng, 2, 3, 60, 7)
    ones = np.ones((2, 3, 60, 1), np.float32)
    sums = heedful.scaled_dot_product_attention(query, key, ones, dropout_p=0.25)
    assert abs(sums.mean() - 1) < 0.05
    assert sums.std() > 0.01
    again = heedful.scaled_dot_product_attention(query, key, ones, dropout_p=0.25)
    assert (sums != again).any()
    assert not heedful.scaled_dot_product_attention(query, key, ones, dropout_p=1.0).any()


def test_arguments_may_be_given_by_position(rng: np.random.Generator) -> None:
    x = normal(rng, 2, 4, 5, 7)
    by_name = heedful.scaled_dot_product_attention(
        x, x[:, :2], x[:, :2], scale=0.5, enable_gqa=True
    )
    by_place = heedful.scaled_dot_product_attention(
        x, x[:, :2], x[:, :2], None, 0.0, False, 0.5, True
    )
    np.testing.assert_array_equal(by_place, by_name)
