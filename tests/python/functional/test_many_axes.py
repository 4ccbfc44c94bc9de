"""As many leading axes as NumPy allows."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import heedful

pytestmark = pytest.mark.once

MAX_AXES = 64 if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else 32
FEW = (3, 2)  # leading axes that are longer than 1


def stretched(array: np.ndarray, axes: int) -> np.ndarray:
    """(3, 2, …) as (1, …, 3, 1, …, 2, …) of so many axes."""
    added = axes - array.ndim
    return array.reshape(*(1,) * (added // 2), 3, *(1,) * (added - added // 2), *array.shape[1:])


@pytest.mark.parametrize("axes", [n for n in (31, 32, 33, 35, 36, 63, 64) if n <= MAX_AXES])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_attention_and_its_gradients(rng: np.random.Generator, axes: int, dtype: Any) -> None:
    query, key, value = (
        (rng.standard_normal((*FEW, heads, rows, depth)) * 3).astype(dtype)
        for heads, rows, depth in ((4, 5, 3), (2, 7, 3), (2, 7, 6))
    )
    mask = rng.random((3, 1, 1, 5, 7)) < 0.7
    bias = rng.standard_normal((2, 4, 5, 7))
    lengths = rng.integers(1, 8, FEW)
    wide = [stretched(array, axes) for array in (query, key, value)]
    leading = wide[0].shape[:-3]
    (out, lse, weights), back = heedful.attention_vjp(
        query, key, value, mask=mask, bias=bias, kv_lengths=lengths, return_lse=True,
        return_weights=True,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, back_wide = heedful.attention_vjp(
            *wide, mask=stretched(mask, axes), bias=bias, kv_lengths=lengths.reshape(leading),
            return_lse=True, return_weights=True,
        )  # fmt: skip
        gradients = back_wide(found[0], dlse=found[1], dweights=found[2])
        more = heedful.attention_weights(*wide[:2], bias=bias)
    for one, other in zip(found, (out, lse, weights), strict=True):
        np.testing.assert_array_equal(one, other.reshape(*leading, *other.shape[2:]))
    for one, given, other in zip(
        gradients[:3], wide, back(out, dlse=lse, dweights=weights), strict=False
    ):
        np.testing.assert_array_equal(one, other.reshape(given.shape))
    assert gradients.bias.shape == bias.shape
    assert more.shape == (*leading, 4, 5, 7)


@pytest.mark.parametrize("axes", [n for n in (32, 36, MAX_AXES - 1) if n < MAX_AXES])
def test_the_other_functions(rng: np.random.Generator, axes: int) -> None:
    x = rng.standard_normal((*FEW, 5, 6))
    wide = stretched(x, axes)
    leading = wide.shape[:-2]
    calls: list[Callable[[np.ndarray], Any]] = [
        lambda a: heedful.rotary_embedding(a),
        lambda a: heedful.rotary_embedding(a, layout="blhd"),
        lambda a: heedful.scaled_dot_product_attention(a, a, a, is_causal=True),
        lambda a: heedful.scaled_dot_product_attention(a, a[..., :1, :, :], a[..., :1, :, :]),
        lambda a: heedful.multi_head_attention(a, a, a, 3),
        lambda a: heedful.additive_attention(a, a, a, np.ones(6)),
        lambda a: heedful.attention_pool(a, np.ones(6)),
        lambda a: heedful.attention_pool_vjp(a, np.ones(6))[1](np.ones((*a.shape[:-2], 6)))[0],
        lambda a: heedful.merge_attention([a, a], [a[..., 0], a[..., 0]])[0],
    ]
    for call in calls:
        one, other = call(wide), call(x)
        np.testing.assert_array_equal(one, other.reshape(*leading, *other.shape[2:]))


def test_where_an_axis_has_to_be_added_one_less() -> None:
    x = np.ones((1,) * MAX_AXES)
    for call in (
        lambda: heedful.attention_pool(x, np.ones(1)),
        lambda: heedful.multi_head_attention(x, x, x, 1),
        lambda: heedful.scaled_dot_product_attention(x, x[0], x),
    ):
        with pytest.raises(
            ValueError, match=f"must have at most {MAX_AXES - 1} axes: got {MAX_AXES}"
        ):
            call()
