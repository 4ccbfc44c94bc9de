"""The compiled linear attention against the matrix of all pairs in float64."""

from __future__ import annotations

import tracemalloc
from typing import Any

import linear_attention_reference as reference
import numpy as np
import pytest
from closeness import assert_as_accurate_as_numpy, assert_same_bits
from numpy.typing import NDArray

import heedful
from heedful.functional._linear_attention import (
    KeySums,
    linear_attention,
    linear_attention_gradients,
)
from heedful.testing import gradcheck

Array = NDArray[Any]
# around a chunk of 64 rows, and around a range of 1024
LENGTHS = [1, 2, 15, 17, 63, 64, 65, 130, 1023, 1025, 2100]
# depth of keys and of values
DEPTHS = [(1, 1), (3, 5), (16, 16), (17, 33), (40, 7), (64, 64)]


def drawn(
    seed: int, length: int, heads: int = 1, depth: int = 5, batch: tuple[int, ...] = (2,),
    dtype: Any = np.float64,
) -> Array:  # fmt: skip
    shape = (*batch, length, heads, depth)
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def triple(
    length: int, *, keys: int | None = None, heads: int = 1, group: int = 1,
    depths: tuple[int, int] = (5, 7), dtype: Any = np.float64,
) -> tuple[Array, Array, Array]:  # fmt: skip
    keys = length if keys is None else keys
    return (
        drawn(1, length, heads * group, depths[0], dtype=dtype),
        drawn(2, keys, heads, depths[0], dtype=dtype),
        drawn(3, keys, heads, depths[1], dtype=dtype),
    )


def allowed(length: int, keys: int, causal: bool, kept: Array | None = None) -> Array:
    """(1 or B, 1, Lq, Lk)"""
    seen = np.tri(length, keys, dtype=bool) if causal else np.ones((length, keys), bool)
    return seen[None, None] if kept is None else seen & kept[:, None, None, :]


def both(
    arrays: tuple[Array, Array, Array], causal: bool, kept: Array | None = None
) -> tuple[list[Array], list[Array], list[Array]]:
    """out and three gradients: compiled, in plain NumPy of the same type, and exact."""
    query, key, _ = arrays
    found = linear_attention(*arrays, kept=kept, causal=causal)
    dout = drawn(4, query.shape[1], query.shape[2], found.out.shape[-1], dtype=query.dtype)
    gradients = linear_attention_gradients(dout, *arrays, found, kept=kept, causal=causal)
    seen = allowed(query.shape[1], key.shape[1], causal, kept)
    results = []
    narrow = query.dtype == np.float32 or len(query[0]) > 1000  # long double takes a minute there
    for dtype in (query.dtype, np.float64 if narrow else np.longdouble):
        moved = [array.swapaxes(-2, -3).astype(dtype) for array in (*arrays, dout)]
        results.append(
            [
                array.swapaxes(-2, -3)
                for array in (
                    reference.attention(*moved[:3], seen),
                    *reference.gradients(moved[3], *moved[:3], seen),
                )
            ]
        )
    return [found.out, *gradients], *results


NAMES = ("out", "dquery", "dkey", "dvalue")


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("length", LENGTHS)
def test_every_length_is_as_accurate_as_numpy(
    length: int, causal: bool, wide_dtype: np.dtype[Any]
) -> None:
    found, plain, exact = both(triple(length, dtype=wide_dtype), causal)
    for name, *three in zip(NAMES, found, plain, exact, strict=True):
        difference = name in ("dquery", "dkey")  # of larger terms
        if difference and length == 1:  # rounding errors alone: there is nothing to choose from
            np.testing.assert_allclose(three[0], 0, atol=4 * np.finfo(wide_dtype).eps)
            continue
        if wide_dtype == np.float64 and length > 1000:
            np.testing.assert_allclose(three[0], three[2], rtol=1e-9, atol=1e-12)
            continue
        assert_as_accurate_as_numpy(*three, name, ratio=4 if difference else 2)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("depths", DEPTHS)
def test_every_depth(depths: tuple[int, int], causal: bool) -> None:
    found, _, exact = both(triple(70, heads=2, depths=depths), causal)
    for name, one, other in zip(NAMES, found, exact, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-11, err_msg=name)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("group", [1, 3])
def test_groups_and_keys_that_do_not_count(group: int, causal: bool) -> None:
    arrays = triple(70, heads=2, group=group)
    kept = np.random.default_rng(5).random((2, 70)) < 0.7
    kept[0, :3] = False  # causal: the first rows see nothing
    for array in arrays[1:]:
        array[~kept] = np.nan
    clean = tuple(np.nan_to_num(array) for array in arrays)
    found, _, _ = both(arrays, causal, kept)
    _, _, exact = both(clean, causal, kept)
    for name, one, other in zip(NAMES, found, exact, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-11, err_msg=name)
    if causal:
        np.testing.assert_array_equal(found[0][0, :3], 0)


@pytest.mark.parametrize(("queries", "keys"), [(3, 130), (130, 3), (1, 1100), (1100, 1), (5, 0)])
def test_queries_and_keys_of_different_lengths(queries: int, keys: int) -> None:
    found, _, exact = both(triple(queries, keys=keys, heads=2, group=2), False)
    for name, one, other in zip(NAMES, found, exact, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-11, err_msg=name)


@pytest.mark.parametrize("causal", [False, True])
def test_gradients_match_finite_differences(causal: bool) -> None:
    kept = np.arange(67) < np.array([[67], [30]])

    def function(*arrays: Array) -> tuple[Array, Any]:
        found = linear_attention(*arrays, kept=kept, causal=causal)
        return found.out, lambda dout: linear_attention_gradients(
            dout, *arrays, found, kept=kept, causal=causal
        )

    assert gradcheck(function, *triple(67, heads=2, group=2), samples=40, rtol=1e-5)


@pytest.mark.parametrize("split", [1, 7, 64, 66])
def test_a_sequence_continues_from_its_sums(split: int) -> None:
    query, key, value = triple(131, heads=2, group=2)
    whole = linear_attention(query, key, value, kept=None, causal=True, adds=True)
    first, second = (
        [array[:, rows] for array in (query, key, value)]
        for rows in (slice(split), slice(split, None))
    )
    begun = linear_attention(*first, kept=None, causal=True, adds=True)
    ended = linear_attention(*second, kept=None, causal=True, before=begun.added, adds=True)
    parts = np.concatenate([begun.out, ended.out], 1)
    np.testing.assert_allclose(parts, whole.out, rtol=1e-10, atol=1e-12)
    assert whole.added is not None
    assert begun.added is not None
    assert ended.added is not None
    for index, total in enumerate(whole.added):
        np.testing.assert_allclose(begun.added[index] + ended.added[index], total, rtol=1e-10)
    of_key = reference.features(key)
    exact = KeySums(np.einsum("blhd,blhe->bhde", of_key, value), of_key.sum(1))
    for one, other in zip(whole.added, exact, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("length", [65, 2100])
def test_the_same_bits_for_any_number_of_threads_and_alone(length: int, causal: bool) -> None:
    arrays = triple(length, heads=3, group=2, depths=(32, 32), dtype=np.float32)

    def run(*arrays: Array) -> list[Array]:
        found = linear_attention(*arrays, kept=None, causal=causal, adds=True)
        assert found.added is not None
        gradients = linear_attention_gradients(found.out, *arrays, found, kept=None, causal=causal)
        return [found.out, *found.added, *gradients]

    with heedful.num_threads(1):
        expected = run(*arrays)
    for threads in (2, 3):
        with heedful.num_threads(threads):
            for one, other in zip(run(*arrays), expected, strict=True):
                assert_same_bits(one, other)
    alone = run(*(array[1:] for array in arrays))
    for one, other in zip(alone, expected, strict=True):
        assert_same_bits(one, other[1:])


@pytest.mark.parametrize("place", [0, 5, 63, 64, 100])
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_later_keys_have_no_effect_whatever_they_hold(place: int, number: float) -> None:
    query, key, value = triple(130)
    before = linear_attention(query, key, value, kept=None, causal=True)
    dout = drawn(4, 130, 1, 7)
    dout[:, place:] = 0
    args: dict[str, Any] = {"kept": None, "causal": True}
    expected = linear_attention_gradients(dout, query, key, value, before, **args)
    key[:, place], value[:, place] = number, number
    after = linear_attention(query, key, value, **args)
    assert_same_bits(after.out[:, :place], before.out[:, :place])
    assert np.isnan(after.out[:, place:]).all()
    # the rows that see it have a norm that is not finite, so their gradient counts only if given
    found = linear_attention_gradients(dout, query, key, value, before, **args)
    for one, other in zip(found, expected, strict=True):
        assert_same_bits(one[:, :place], other[:, :place])


@pytest.mark.parametrize("view", ["heads first", "reversed", "broadcast", "fused"])
def test_any_strides(view: str) -> None:
    query, key, value = triple(70, heads=3, depths=(8, 8), dtype=np.float32)
    arrays: tuple[Array, ...] = (query, key, value)
    if view == "heads first":
        arrays = tuple(
            np.ascontiguousarray(array.swapaxes(1, 2)).swapaxes(1, 2) for array in arrays
        )
    elif view == "reversed":
        arrays = tuple(array[..., ::-1].copy()[..., ::-1] for array in arrays)
    elif view == "fused":
        arrays = tuple(np.moveaxis(np.stack(arrays, -2), -2, 0))
    else:
        arrays = (query, *(np.broadcast_to(array[:1], array.shape) for array in (key, value)))
    plain = tuple(np.ascontiguousarray(array) for array in arrays)
    for causal in (False, True):
        results = []
        for given in (arrays, plain):
            found = linear_attention(*given, kept=None, causal=causal)
            results.append(
                [found.out, *linear_attention_gradients(
                    found.out, *given, found, kept=None, causal=causal)]
            )  # fmt: skip
        for one, other in zip(*results, strict=True):
            assert_same_bits(one, other)


@pytest.mark.slow
def test_sums_over_32768_rows_stay_accurate_in_float32() -> None:
    """Of positive values too, whose sums only grow."""
    for shift in (0.0, 1.0):
        query, key, value = (
            drawn(seed, 32768, 1, 16, (1,), np.float32) + np.float32(shift) for seed in (1, 2, 3)
        )
        found = linear_attention(query, key, value, kept=None, causal=True)
        moved = [array.swapaxes(1, 2) for array in (query, key, value)]
        exact = reference.plain(*(array.astype(np.float64) for array in moved)).swapaxes(1, 2)
        plain = reference.plain(*moved).swapaxes(1, 2)
        assert_as_accurate_as_numpy(found.out, plain, exact)
        last = np.abs(found.out[:, -1000:] - exact[:, -1000:]).max()
        assert last < 4e-6 * np.abs(exact).max()
        exact_found = linear_attention(
            *(array.astype(np.float64) for array in (query, key, value)), kept=None, causal=True
        )
        dout = drawn(4, 32768, 1, 16, (1,), np.float32)
        given: dict[str, Any] = {"kept": None, "causal": True}
        narrow = linear_attention_gradients(dout, query, key, value, found, **given)
        wide = linear_attention_gradients(
            *(array.astype(np.float64) for array in (dout, query, key, value)), exact_found, **given
        )
        for one, other in zip(narrow, wide, strict=True):
            assert np.abs(one - other).max() < 2e-5 * np.abs(other).max()


@pytest.mark.slow
def test_memory_grows_with_the_length_alone() -> None:
    query, key, value = (drawn(seed, 16384, 2, 32, (1,), np.float32) for seed in (1, 2, 3))
    tracemalloc.start()
    try:
        found = linear_attention(query, key, value, kept=None, causal=True)
        linear_attention_gradients(found.out, query, key, value, found, kept=None, causal=True)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * query.nbytes


def test_nothing_to_compute() -> None:
    for shape in ((0, 5, 2, 3), (2, 0, 2, 3)):
        empty = np.ones(shape, np.float32)
        for causal in (False, True):
            found = linear_attention(empty, empty, empty, kept=None, causal=causal, adds=True)
            assert found.out.shape == shape
            assert found.added is not None
            assert not found.added.values.any()
            for gradient in linear_attention_gradients(
                found.out, empty, empty, empty, found, kept=None, causal=causal
            ):
                assert gradient.shape == shape
