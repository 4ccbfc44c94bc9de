"""min_weight: what is dropped is small, and gradients are those of what was kept."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import heedful
import reference

Array = NDArray[Any]
EPSILON = 1e-3


def inputs(
    heads: int = 4, kv_heads: int = 2, queries: int = 301, keys: int = 700, depth: int = 16
) -> tuple[Array, Array, Array]:
    """Queries that prefer the keys near them, as in trained models."""
    rng = np.random.default_rng(7)
    query = rng.standard_normal((2, heads, queries, depth))
    key = rng.standard_normal((2, kv_heads, keys, depth))
    value = rng.standard_normal((2, kv_heads, keys, depth))
    for array in (query, key):
        angle = np.arange(array.shape[2]) / 60
        array[..., 0], array[..., 1] = 9 * np.cos(angle), 9 * np.sin(angle)
    return query, key, value


CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "causal": {"causal": True, "align": "lower_right"},
    "lengths": {"kv_lengths": [511, 700], "q_lengths": [300, 17]},
    "mask": {"mask": np.random.default_rng(0).random((301, 700)) < 0.8},
    "bias": {"bias": np.random.default_rng(0).standard_normal((301, 700))},
    "window": {"window": (250, 100), "align": 100},
    "softcap and sink": {"softcap": 30.0, "sink": np.linspace(-1, 3, 4)},
    "dropout": {"dropout_p": 0.3, "rng": 5},
    "gumbel": {"gumbel_temperature": 0.7, "rng": 5},
    "blocks": {
        "block_mask": heedful.BlockMask(
            np.random.default_rng(1).random((4, 4, 6)) < 0.7, (100, 128), (301, 700)
        )
    },
}
every_case = pytest.mark.parametrize("options", CASES.values(), ids=CASES)


@every_case
def test_dropped_weights_are_small_and_the_bound_holds(options: dict[str, Any]) -> None:
    query, key, value = inputs()
    found, weights, skipped = heedful.attention(
        query, key, value, **options, min_weight=EPSILON, return_weights=True, return_skipped=True
    )
    exact = reference.attention(query, key, value, **options)
    plain = reference.attention(query, key, value, **{**options, "dropout_p": 0.0})
    dropped = (weights == 0) & (exact.weights > 0)
    assert plain.weights[dropped].max(initial=0) <= EPSILON
    assert dropped.any()
    assert 0.1 < skipped < 1
    limit = 2 * EPSILON * key.shape[2] * np.abs(value).max() / (1 - options.get("dropout_p", 0))
    assert np.abs(found - exact.out).max() <= limit
    assert np.abs(found - exact.out).max() > 0


@every_case
def test_results_and_gradients_are_those_of_what_was_kept(options: dict[str, Any]) -> None:
    query, key, value = inputs()
    (found, lse, weights), pullback = heedful.attention_vjp(
        query, key, value, **options, min_weight=EPSILON, return_lse=True, return_weights=True
    )
    options = dict(options)
    random = {"dropout_p": options.pop("dropout_p", 0.0), "rng": options.get("rng", 0)}
    blocks = options.pop("block_mask", None)
    given = {**options, "block_mask": blocks, "min_weight": EPSILON}
    undropped = heedful.attention_weights(query, key, **given)
    known = heedful.attention_weights(query, key, **given, lse=lse)
    np.testing.assert_allclose(known, undropped, atol=1e-12)
    kept = undropped > 0
    mask = options.pop("mask", True) & kept
    options |= {"mask": mask, **random}
    expected = reference.attention(query, key, value, **options)
    np.testing.assert_allclose(found, expected.out, atol=1e-12)
    np.testing.assert_allclose(lse, expected.lse, atol=1e-12)
    np.testing.assert_allclose(weights, expected.weights, atol=1e-12)
    dout = np.random.default_rng(3).standard_normal(found.shape)
    exact = reference.attention_backward(dout, query, key, value, **options)
    for name in ("query", "key", "value", "bias", "sink"):
        if getattr(exact, name) is not None:
            np.testing.assert_allclose(
                getattr(pullback(dout), name), getattr(exact, name), atol=1e-10, err_msg=name
            )


@every_case
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_backward_alone_drops_the_same(options: dict[str, Any], dtype: str) -> None:
    query, key, value = (array.astype(dtype) for array in inputs())
    (out, lse), pullback = heedful.attention_vjp(
        query, key, value, **options, min_weight=EPSILON, return_lse=True
    )
    if dtype == "float16":  # the pullback keeps out before rounding
        out = heedful.attention(*(array.astype(np.float32) for array in (query, key, value)),
                                **options, min_weight=EPSILON)  # fmt: skip
    dout = np.ones(out.shape, dtype)
    alone = heedful.attention_backward(
        dout, query, key, value, out, lse, **options, min_weight=EPSILON
    )
    for one, other in zip(alone, pullback(dout), strict=True):
        if one is not None:
            if dtype == "float16":
                np.testing.assert_allclose(one, other, rtol=2e-3, atol=2e-3)
            else:
                np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("queries", [1, 3, 5, 40, 301])
@pytest.mark.parametrize("group", [1, 4])
def test_the_same_bits_for_every_number_of_threads(queries: int, group: int) -> None:
    arrays = [array.astype(np.float32) for array in inputs(4, 4 // group, queries, 2600)]

    def run(threads: int) -> list[Any]:
        with heedful.num_threads(threads):
            (out, skipped), pullback = heedful.attention_vjp(
                *arrays, min_weight=EPSILON, return_skipped=True
            )
            return [out, skipped, *pullback(np.ones_like(out))[:3]]

    first = run(1)
    for threads in (2, 3):
        for found, expected in zip(run(threads), first, strict=True):
            np.testing.assert_array_equal(found, expected)
    alone = heedful.attention(*(array[1:] for array in arrays), min_weight=EPSILON)
    np.testing.assert_array_equal(alone, first[0][1:])
    weights = heedful.attention_weights(*arrays[:2], min_weight=EPSILON)
    expected = reference.attention(*arrays, mask=weights > 0).out
    np.testing.assert_allclose(first[0], expected, atol=1e-5)


def test_nothing_is_dropped_at_zero() -> None:
    query, key, value = inputs()
    out, skipped = heedful.attention(query, key, value, min_weight=0.0, return_skipped=True)
    np.testing.assert_array_equal(out, heedful.attention(query, key, value))
    assert skipped == 0.0


def test_a_nan_is_not_dropped() -> None:
    query, key, value = inputs()
    key[0, 0, 699, 5] = np.nan
    assert np.isnan(heedful.attention(query, key, value, min_weight=0.5)[0, :2]).all()


def test_packed_sequences() -> None:
    query, key, value = (array[0].swapaxes(0, 1) for array in inputs(4, 2, 700, 700))
    starts = [0, 190, 700]
    found, pullback = heedful.attention_varlen_vjp(
        query, key, value, starts, starts, min_weight=EPSILON, causal=True
    )
    gradients = pullback(np.ones_like(found))
    for first, last in pairwise(starts):
        own = [array[first:last].swapaxes(0, 1) for array in (query, key, value)]
        out, back = heedful.attention_vjp(*own, min_weight=EPSILON, causal=True)
        np.testing.assert_allclose(found[first:last].swapaxes(0, 1), out, atol=1e-12)
        expected = back(np.ones_like(out)).value
        np.testing.assert_allclose(gradients.value[first:last].swapaxes(0, 1), expected, atol=1e-12)


@pytest.mark.parametrize("given", [-0.1, 1.0, 2, np.nan])
def test_a_share_outside_its_range_is_refused(given: float) -> None:
    x = np.ones((4, 4))
    with pytest.raises(ValueError, match=r"min_weight must "):
        heedful.attention(x, x, x, min_weight=given)
