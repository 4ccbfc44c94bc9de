"""Diagonals of any sign and size, windows, lengths: the same as an explicit mask."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import heedful
from heedful.functional._positions import Diagonal, items_of

LQ, LK = 5, 7
FAR = [2**31, 2**60, 2**58 + 1, 2**59 - 3, 2**61 + 1, 2**62 - 3, 2**63, 2**70 + 11]
NEAR = [0, 1, 3, 6, 8]
OFFSETS = sorted(
    {sign * size + shift for size in [*NEAR, *FAR] for sign in (1, -1) for shift in (0, 2)}
)
SIDES = [None, 0, 2, *FAR]


def allowed(offset: int, left: int | None, right: int | None) -> NDArray[np.bool_]:
    """In Python's integers, which cannot overflow."""
    return np.array(
        [
            [
                (left is None or j >= i + offset - left)
                and (right is None or j <= i + offset + right)
                for j in range(LK)
            ]
            for i in range(LQ)
        ]
    )


def seen(offset: int, left: int, right: int) -> NDArray[np.bool_]:
    """What the compiled functions compute from their arguments, in 64 bits."""
    places = np.arange(LQ, dtype=np.int64)[:, None] + np.int64(offset)
    keys = np.arange(LK, dtype=np.int64)
    below = keys >= places - np.int64(left) if left >= 0 else np.True_
    above = keys <= places + np.int64(right) if right >= 0 else np.True_
    return np.broadcast_to(below & above, (LQ, LK))


@pytest.mark.once
@pytest.mark.filterwarnings("error")  # of overflow
def test_the_arguments_passed_mean_the_same_in_64_bits() -> None:
    for left, right in product(SIDES, SIDES):
        # offsets right where an edge of the window meets the keys, however far the window reaches
        edges = [
            *OFFSETS,
            *(side + shift for side in [left or 0, -(right or 0)] for shift in (-2, 0, 3, 6)),
        ]
        items = items_of(len(edges), 0, LQ, 0, LK, edges, left, right)
        low, high = Diagonal("window", None, left, right).limits
        for offset, near in zip(edges, items[:, 4], strict=True):
            expected = allowed(offset, left, right)
            np.testing.assert_array_equal(
                seen(near, low, high), expected, err_msg=f"{offset=} {left=} {right=}"
            )


@pytest.fixture
def inputs(rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    return (
        rng.standard_normal((3, 1, LQ, 4)),
        rng.standard_normal((3, 1, LK, 4)),
        rng.standard_normal((3, 1, LK, 2)),
    )


@pytest.mark.parametrize("offset", [0, 2, -2, 2**40, -(2**62), 2**63, -(2**63), 2**100, -(2**100)])
@pytest.mark.parametrize(
    "window", [None, (1, None), (None, 1), (0, 0), (2**63, None), (None, 2**70), (2**70, 2**70)]
)
def test_an_offset_of_any_size_is_an_explicit_mask(
    offset: int, window: Any, inputs: tuple[NDArray[Any], ...]
) -> None:
    left, right = window or (None, 0)
    expected = heedful.attention(*inputs, mask=allowed(offset, left, right))
    options = {"causal": True} if window is None else {"window": window}
    np.testing.assert_allclose(
        heedful.attention(*inputs, align=offset, **options), expected, rtol=1e-12
    )
    each = [offset, 0, offset]
    out = heedful.attention(*inputs, align=each, **options)
    np.testing.assert_allclose(out[::2], expected[::2], rtol=1e-12)


def test_align_is_ignored_where_nothing_uses_it(inputs: tuple[NDArray[Any], ...]) -> None:
    plain = heedful.attention(*inputs)
    for align in (None, "upper_left", "lower_right", 2**80, [1, -2, 3], np.array([1, 2, 3])):
        np.testing.assert_array_equal(heedful.attention(*inputs, align=align), plain)
        np.testing.assert_array_equal(
            heedful.attention(*inputs, align=align, window=(None, None)), plain
        )


def test_align_of_none_is_offset_0_where_the_lengths_are_equal(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 1, 6, 4))
    expected = heedful.attention(x, x, x, causal=True, align="upper_left")
    np.testing.assert_array_equal(heedful.attention(x, x, x, causal=True), expected)
    padded = heedful.attention(x, x, x, causal=True, kv_lengths=[4, 6])
    np.testing.assert_allclose(padded[0, :, :4], expected[0, :, :4], rtol=1e-13)


def test_lower_right_uses_each_items_own_lengths(inputs: tuple[NDArray[Any], ...]) -> None:
    query, key, value = inputs
    q_lengths, kv_lengths = [5, 2, 3], [7, 6, 1]
    out = heedful.attention(
        *inputs, causal=True, align="lower_right", q_lengths=q_lengths, kv_lengths=kv_lengths
    )
    for item, (rows, keys) in enumerate(zip(q_lengths, kv_lengths, strict=True)):
        alone = heedful.attention(
            query[item, :, :rows],
            key[item, :, :keys],
            value[item, :, :keys],
            causal=True,
            align="lower_right",
        )
        np.testing.assert_allclose(out[item, :, :rows], alone, rtol=1e-12)
        assert (out[item, :, rows:] == 0).all()


@pytest.mark.parametrize("kind", [np.int64, np.int8, np.uint8, np.uint64, ">i4", list, tuple])
def test_lengths_and_offsets_of_any_integer_type(
    kind: Any, inputs: tuple[NDArray[Any], ...]
) -> None:
    def given(numbers: list[int]) -> Any:
        return kind(numbers) if kind in (list, tuple) else np.array(numbers, kind)

    expected = heedful.attention(*inputs, kv_lengths=[7, 0, 3], causal=True, align=[0, 5, 2])
    out = heedful.attention(
        *inputs, kv_lengths=given([7, 0, 3]), causal=True, align=given([0, 5, 2])
    )
    np.testing.assert_array_equal(out, expected)


def test_packed_sequences_place_each_item_by_itself(rng: np.random.Generator) -> None:
    query, key = rng.standard_normal((9, 2, 4)), rng.standard_normal((12, 2, 4))
    starts_q, starts_k = [0, 2, 2, 7], [0, 5, 6, 10]
    options: list[dict[str, Any]] = [
        {"causal": True, "align": "lower_right"},
        {"window": (1, 1), "align": [3, 2**70, -1]},
        {"causal": True, "align": "lower_right", "q_lengths": [1, 0, 4], "kv_lengths": [5, 1, 2]},
        {"alibi_slopes": [[0.5, 0.25], [1, 2], [0.125, 3]], "align": "upper_left"},
    ]
    for each in options:
        out, lse = heedful.attention_varlen(
            query, key, key, starts_q, starts_k, return_lse=True, **each
        )
        assert (out.shape, lse.shape) == ((9, 2, 4), (2, 9))
        for item in range(3):
            rows = slice(starts_q[item], starts_q[item + 1])
            keys = slice(starts_k[item], starts_k[item + 1])
            own = {
                name: option[item] if isinstance(option, list) else option
                for name, option in each.items()
            }
            alone, alone_lse = heedful.attention(
                query[rows], key[keys], key[keys], layout="blhd", return_lse=True, **own
            )
            np.testing.assert_allclose(out[rows], alone, rtol=1e-12)
            np.testing.assert_allclose(lse[:, rows], alone_lse, rtol=1e-12)
        assert (out[7:] == 0).all()
        assert (lse[:, 7:] == -np.inf).all()


def test_tokens_without_any_sequence(rng: np.random.Generator) -> None:
    x = rng.standard_normal((3, 2, 4))
    (out, lse), pullback = heedful.attention_varlen_vjp(
        x, x, x, [0], [0], sink=np.ones(2), return_lse=True
    )
    assert not out.any()
    assert (lse == -np.inf).all()
    for gradient in pullback(np.ones_like(out), np.ones_like(lse)):
        assert gradient is None or not gradient.any()
    nothing = x[:0]
    starts = [0, 0, 0]
    assert heedful.attention_varlen(nothing, nothing, nothing, starts, starts).shape == (0, 2, 4)
