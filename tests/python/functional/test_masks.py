"""Masks are structure: each way to restrict attention equals the equivalent mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import heedful
import reference

Array = NDArray[Any]
LENGTHS = [(1, 1), (5, 5), (17, 33), (33, 17), (197, 197), (3, 401), (193, 385)]


def draw(rng: np.random.Generator, num_queries: int, num_keys: int, items: int = 2) -> list[Array]:
    shapes = (items, 2, num_queries, 8), (items, 2, num_keys, 8), (items, 2, num_keys, 5)
    return [rng.standard_normal(shape) for shape in shapes]


def assert_equal_to_mask(inputs: list[Array], allowed: Array, **options: Any) -> None:
    """out, lse and gradients agree with those of the oracle with `allowed` as its mask."""
    (out, lse), pullback = heedful.attention_vjp(*inputs, **options, return_lse=True)
    exact = reference.attention(*inputs, mask=allowed)
    np.testing.assert_allclose(out, exact.out, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(lse, exact.lse, rtol=1e-12)
    dout = np.random.default_rng(2).standard_normal(out.shape)
    expected = reference.attention_backward(dout, *inputs, mask=allowed)
    for gradient, truth in zip(pullback(dout)[:3], expected[:3], strict=True):
        np.testing.assert_allclose(gradient, truth, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("num_queries", "num_keys"), LENGTHS)
@pytest.mark.parametrize("offset", [0, 1, -1, 13, -13, 200, 1000, -1000])
def test_causal_is_a_triangle(
    num_queries: int, num_keys: int, offset: int, rng: np.random.Generator
) -> None:
    i, j = np.ogrid[:num_queries, :num_keys]
    inputs = draw(rng, num_queries, num_keys, items=1)
    assert_equal_to_mask(inputs, j <= i + offset, causal=True, align=offset)


@pytest.mark.parametrize(("num_queries", "num_keys"), LENGTHS)
@pytest.mark.parametrize("left", [None, 0, 3, 40, 300, 2**62])
@pytest.mark.parametrize("right", [None, 0, 7, 250])
def test_a_window_is_a_band(
    num_queries: int,
    num_keys: int,
    left: int | None,
    right: int | None,
    rng: np.random.Generator,
) -> None:
    i, j = np.ogrid[:num_queries, :num_keys]
    allowed = np.ones((num_queries, num_keys), bool)
    if left is not None:
        allowed &= j >= i - left
    if right is not None:
        allowed &= j <= i + right
    inputs = draw(rng, num_queries, num_keys, items=1)
    assert_equal_to_mask(inputs, allowed, window=(left, right), align="upper_left")


@pytest.mark.parametrize(("num_queries", "num_keys"), LENGTHS)
def test_lengths_are_a_rectangle(num_queries: int, num_keys: int, rng: np.random.Generator) -> None:
    inputs = draw(rng, num_queries, num_keys, items=4)
    q_lengths = np.array([num_queries, 0, 1, num_queries // 2])
    kv_lengths = np.array([num_keys // 2, num_keys, 0, 1])
    i, j = np.ogrid[:num_queries, :num_keys]
    allowed = (i < q_lengths[:, None, None, None]) & (j < kv_lengths[:, None, None, None])
    assert_equal_to_mask(inputs, allowed, q_lengths=q_lengths, kv_lengths=kv_lengths)


@pytest.mark.parametrize("shape", ["K", "Q1", "QK", "H1K", "1Q1", "BHQK", "B11K", "B1QK", "1111"])
@pytest.mark.parametrize(("num_queries", "num_keys"), LENGTHS)
def test_a_mask_broadcasts_as_in_numpy(
    shape: str, num_queries: int, num_keys: int, rng: np.random.Generator
) -> None:
    inputs = draw(rng, num_queries, num_keys)
    sizes = {"B": 2, "H": 2, "Q": num_queries, "K": num_keys, "1": 1}
    mask = rng.random([sizes[axis] for axis in shape]) < 0.6
    whole = np.broadcast_to(mask, (2, 2, num_queries, num_keys))
    assert_equal_to_mask(inputs, whole, mask=mask)


@pytest.mark.parametrize(("num_queries", "num_keys"), LENGTHS)
def test_minus_infinity_in_bias_is_false_in_mask(
    num_queries: int, num_keys: int, rng: np.random.Generator
) -> None:
    inputs = draw(rng, num_queries, num_keys)
    mask = rng.random((2, 1, num_queries, num_keys)) < 0.6
    assert_equal_to_mask(inputs, mask, bias=np.where(mask, 0.0, -np.inf))


@pytest.mark.parametrize("places", ["inside", "across", "far"])
def test_blocks_of_a_mask_that_hide_whole_tiles(places: str, rng: np.random.Generator) -> None:
    """Tiles that are all hidden, all seen, and mixed."""
    inputs = draw(rng, 200, 601, items=1)
    border = {"inside": (100, 256), "across": (97, 250), "far": (1, 600)}[places]
    mask = np.zeros((1, 2, 200, 601), bool)
    mask[:, 0, : border[0], : border[1]] = True
    mask[:, 0, border[0] :, border[1] :] = True
    mask[:, 1, : border[0], border[1] :] = True
    assert_equal_to_mask(inputs, mask, mask=mask)


def test_restrictions_combine_by_logical_and(rng: np.random.Generator) -> None:
    inputs = draw(rng, 97, 389)
    mask = rng.random((2, 1, 97, 389)) < 0.8
    bias = np.where(rng.random((2, 97, 389)) < 0.8, 0.0, -np.inf)
    q_lengths, kv_lengths = np.array([97, 50]), np.array([300, 389])
    i, j = np.ogrid[:97, :389]
    p = i + (kv_lengths - q_lengths)[:, None, None, None]
    allowed = mask & (bias == 0) & (j <= p) & (j >= p - 120)
    allowed &= (i < q_lengths[:, None, None, None]) & (j < kv_lengths[:, None, None, None])
    assert_equal_to_mask(
        inputs, allowed, mask=mask, bias=bias, causal=True, window=(120, None),
        align="lower_right", q_lengths=q_lengths, kv_lengths=kv_lengths,
    )  # fmt: skip


@pytest.mark.parametrize("right", [None, 0, 5])
def test_causal_is_the_stricter_of_causal_and_window(
    right: int | None, rng: np.random.Generator
) -> None:
    i, j = np.ogrid[:33, :33]
    allowed = (j <= i) & (j >= i - 4)
    assert_equal_to_mask(draw(rng, 33, 33), allowed, causal=True, window=(4, right))
