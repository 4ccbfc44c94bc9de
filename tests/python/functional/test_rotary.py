"""rotary_embedding against complex numbers, one pair at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from closeness import assert_same_bits, machine_epsilon
from numpy.typing import NDArray

import heedful

Array = NDArray[Any]


def rotated(x: Any, positions: Any, base: float = 1e4, interleaved: bool = False) -> Array:
    """By complex numbers, one pair at a time."""
    y, depth = np.array(x, float), x.shape[-1]
    for i in range(depth // 2):
        a, b = (2 * i, 2 * i + 1) if interleaved else (i, i + depth // 2)
        factor = np.exp(1j * positions * base ** (-2 * i / depth))
        z = (y[..., a] + 1j * y[..., b]) * factor
        y[..., a], y[..., b] = z.real, z.imag
    return y


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("depth", [2, 6, 14, 16, 22, 32, 34, 62, 64, 66, 130])
def test_pairs_are_rotated(
    depth: int, interleaved: bool, rng: np.random.Generator, dtype: np.dtype[Any]
) -> None:
    x = rng.standard_normal((2, 3, 5, depth)).astype(dtype)
    options: dict[str, Any] = {"interleaved": interleaved, "base": 500.0}
    expected = rotated(x, np.arange(5) + 7, 500.0, interleaved)
    found = heedful.rotary_embedding(x, 7, **options)
    assert found.dtype == dtype
    # angles are rounded in float64 on both sides, and are as great as 11
    close = 8 * machine_epsilon(dtype) + 64 * np.finfo(float).eps
    np.testing.assert_allclose(found.astype(float), expected, rtol=close, atol=close)
    assert_same_bits(
        heedful.rotary_embedding(x.swapaxes(1, 2), 7, layout="blhd", **options),
        found.swapaxes(1, 2),
    )
    back = heedful.rotary_embedding(found, 7, inverse=True, **options)
    np.testing.assert_allclose(back.astype(float), x.astype(float), rtol=2 * close, atol=2 * close)


def test_items_may_have_positions_of_their_own(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 3, 5, 6))
    positions = np.array([[0, 1, 2, 3, 4], [9, 8, 7, 6, 5]])
    expected = rotated(x, positions[:, None])
    np.testing.assert_allclose(heedful.rotary_embedding(x, positions), expected, atol=1e-12)
    found = heedful.rotary_embedding(x.swapaxes(1, 2), positions, layout="blhd")
    np.testing.assert_allclose(found.swapaxes(1, 2), expected, atol=1e-12)
    many = np.stack([x, 2 * x])  # two batch axes, over the first of which positions are repeated
    np.testing.assert_allclose(
        heedful.rotary_embedding(many, positions[None]), [expected, 2 * expected], atol=1e-12
    )
    np.testing.assert_allclose(
        heedful.rotary_embedding(many.swapaxes(0, 1), positions[:, None]).swapaxes(0, 1),
        [expected, 2 * expected], atol=1e-12,
    )  # fmt: skip


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("part", [2, 4, 34])
def test_features_past_rotary_dim_are_copied(
    part: int, interleaved: bool, rng: np.random.Generator, dtype: np.dtype[Any]
) -> None:
    x = rng.standard_normal((2, 5, 37)).astype(dtype)
    found = heedful.rotary_embedding(x, rotary_dim=part, interleaved=interleaved)
    np.testing.assert_array_equal(found[..., part:], x[..., part:])
    assert_same_bits(
        found[..., :part].copy(),
        heedful.rotary_embedding(x[..., :part].copy(), interleaved=interleaved),
    )


@pytest.mark.parametrize("layout", ["bhld", "blhd"])
@pytest.mark.parametrize("interleaved", [False, True])
def test_strides_change_nothing(
    interleaved: bool, layout: Any, rng: np.random.Generator, dtype: np.dtype[Any]
) -> None:
    wide = rng.standard_normal((4, 6, 10, 40)).astype(dtype)
    for x in (
        wide[..., :34], wide[..., 3:37], wide[..., ::2], wide[..., ::-1], wide[:, ::-1, ::2],
        np.broadcast_to(wide[:1, :, :1], wide.shape), wide.swapaxes(0, 1), wide.T[:, :4],
        np.asfortranarray(wide),
    ):  # fmt: skip
        before = x.copy()
        options = {"interleaved": interleaved, "layout": layout}
        assert_same_bits(
            heedful.rotary_embedding(x, **options), heedful.rotary_embedding(before, **options)
        )
        np.testing.assert_array_equal(x, before)


def test_bytes_in_another_order_or_place_are_converted(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 5, 6)).astype(np.float32)
    expected = heedful.rotary_embedding(x)
    assert_same_bits(heedful.rotary_embedding(x.astype(">f4")), expected)
    buffer = np.frombuffer(b"." + x.tobytes(), np.uint8)[1:]
    unaligned = buffer.view(np.float32).reshape(x.shape)
    assert not unaligned.flags.aligned
    assert_same_bits(heedful.rotary_embedding(unaligned), expected)
    whole = rng.integers(-9, 9, (2, 5, 6))
    assert_same_bits(heedful.rotary_embedding(whole), heedful.rotary_embedding(whole.astype(float)))


@pytest.mark.parametrize("layout", ["bhld", "blhd"])
def test_the_same_bits_for_every_number_of_threads_and_alone(
    layout: Any, rng: np.random.Generator, dtype: np.dtype[Any]
) -> None:
    x = rng.standard_normal((3, 97, 89, 14)).astype(dtype)
    with heedful.num_threads(1):
        expected = heedful.rotary_embedding(x, 3, layout=layout)
    for threads in (2, 3, 8):
        with heedful.num_threads(threads):
            assert_same_bits(heedful.rotary_embedding(x, 3, layout=layout), expected)
    assert_same_bits(heedful.rotary_embedding(x[1], 3, layout=layout), expected[1])


@pytest.mark.parametrize("interleaved", [False, True])
def test_nan_stays_in_its_pair(interleaved: bool, wide_dtype: np.dtype[Any]) -> None:
    for place in (0, 3, 15, 16, 18, 34):
        x = np.ones((2, 3, 39), wide_dtype)
        x[1, 2, place] = np.nan
        y = heedful.rotary_embedding(x, 1, rotary_dim=36, interleaved=interleaved)
        partner = place ^ 1 if interleaved else (place + 18) % 36
        assert set(zip(*np.nonzero(np.isnan(y)), strict=True)) == {(1, 2, place), (1, 2, partner)}


@pytest.mark.parametrize("shape", [(0, 6), (3, 0, 6), (0, 3, 4, 6), (2, 0, 4, 6)], ids=str)
def test_empty_arrays(shape: tuple[int, ...]) -> None:
    assert heedful.rotary_embedding(np.empty(shape)).shape == shape


def test_scores_depend_on_distances_alone(rng: np.random.Generator) -> None:
    query, key = rng.standard_normal((2, 4, 8))
    here = heedful.rotary_embedding(query) @ heedful.rotary_embedding(key).T
    there = heedful.rotary_embedding(query, 1000) @ heedful.rotary_embedding(key, 1000).T
    np.testing.assert_allclose(here, there, atol=1e-10)


WRONG = [
    (np.ones(6), {}, ValueError, "x must have positions and features as axes"),
    (np.ones((4, 5)), {}, ValueError, "rotary_dim must be even and at most the depth 5: got 5"),
    (np.ones((4, 6)), {"rotary_dim": 8}, ValueError, "at most the depth 6: got 8"),
    (np.ones((4, 6)), {"rotary_dim": 2.0}, TypeError, "rotary_dim must be an integer"),
    (np.ones((4, 6)), {"base": 0}, ValueError, "base"),
    (np.ones((4, 6)), {"positions": [1, 2]}, ValueError, r"must end with 4 rows: got shape \(2,\)"),
    (np.ones((4, 6)), {"positions": [1.0] * 4}, TypeError, "positions"),
    (np.ones((2, 3, 4, 6)), {"positions": np.ones((3, 4), int)}, ValueError,
     "must broadcast to the rows of x"),
    (np.ones((1, 3, 4, 6)), {"positions": np.ones((2, 4), int)}, ValueError, "not have more items"),
    (np.ones((4, 6)), {"positions": np.ones((1, 4), int)}, ValueError, "not have more items"),
    (np.ones((4, 6)), {"interleaved": 1}, TypeError, "interleaved"),
    (np.ones((4, 6)), {"layout": "lbhd"}, ValueError, "layout"),
    (np.ones((4, 6), complex), {}, TypeError, "x must be of type float32"),
    (np.ones((4, 6), np.longdouble), {}, TypeError, "x must be of type float32"),
]  # fmt: skip


@pytest.mark.parametrize(("x", "options", "error", "message"), WRONG)
def test_what_does_not_fit_is_refused(
    x: Array, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        heedful.rotary_embedding(x, **options)
