"""KVCache: in which type rows are stored, and that none is ever narrowed silently."""

from __future__ import annotations

import warnings

import ml_dtypes
import numpy as np
import pytest

import heedful

SHAPE = (3, 2, 1, 5)
HALF, FLOAT, DOUBLE = np.float16, np.float32, np.float64
BRAIN = ml_dtypes.bfloat16


def filled(*types: object, dtype: object = None) -> heedful.KVCache:
    """One row of 0.75 in each type, of integers 1."""
    cache = heedful.KVCache(dtype=dtype)
    for one in types:
        whole = np.dtype(one).kind in "iub"
        row = np.ones(SHAPE, one) if whole else np.full(SHAPE, 0.75).astype(one)
        cache.append(row, row)
    return cache


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ((int,), DOUBLE),
        ((bool,), DOUBLE),
        ((np.uint8, DOUBLE), DOUBLE),
        ((FLOAT, int), DOUBLE),
        ((HALF, FLOAT), FLOAT),
        ((FLOAT, HALF), FLOAT),
        ((FLOAT, DOUBLE), DOUBLE),
        ((DOUBLE, FLOAT), DOUBLE),
        ((BRAIN, FLOAT, BRAIN), FLOAT),
        ((HALF, HALF), HALF),
        ((BRAIN, DOUBLE), DOUBLE),
        ((">f4", "<f4"), FLOAT),
    ],
)
def test_rows_are_stored_in_the_common_type_of_all(
    types: tuple[object, ...], expected: object
) -> None:
    cache = filled(*types)
    assert cache.key.dtype == cache.value.dtype == expected
    assert cache.key.dtype.isnative
    wanted = [1.0 if np.dtype(one).kind in "iub" else 0.75 for one in types]
    for rows in (cache.key, cache.value):
        np.testing.assert_array_equal(rows[1, 1, :, 3].astype(float), wanted)


def test_the_rows_before_are_widened_without_loss(rng: np.random.Generator) -> None:
    cache = heedful.KVCache(capacity=7)
    narrow = rng.standard_normal((2, 3, 5, 3)).astype(np.float32)
    wide = rng.standard_normal((2, 3, 11, 3))
    cache.append(narrow, narrow, [5, 2])
    cache.append(wide, -wide, [3, 11])
    np.testing.assert_array_equal(cache.key[0, :, :8], np.concatenate([narrow, wide], 2)[0, :, :8])
    np.testing.assert_array_equal(cache.value[1, :, :2], narrow[1, :, :2])
    np.testing.assert_array_equal(cache.value[1, :, 2:], -wide[1])


def test_key_and_value_have_one_type() -> None:
    cache = heedful.KVCache()
    cache.append(np.ones(SHAPE, np.float32), np.full(SHAPE, 1 / 3))
    assert cache.key.dtype == cache.value.dtype == np.float64
    assert cache.value[0, 0, 0, 0] == 1 / 3


def test_a_chosen_type_rounds_without_a_warning() -> None:
    row = np.array([[[[0.1, 1e-30, np.nan, -np.inf]]]])
    cache = heedful.KVCache(dtype="float16")
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        cache.append(row, row)
        cache.append([[[[1, 2, 3, 4]]]], [[[[1, 2, 3, 4]]]])
    np.testing.assert_array_equal(
        cache.key[0, 0], np.array([[0.1, 0, np.nan, -np.inf], [1, 2, 3, 4]], np.float16)
    )


@pytest.mark.parametrize(
    "given", [complex, np.longdouble, object, "U3", "M8[s]", ml_dtypes.float8_e4m3fn, [("a", "f4")]]
)
def test_foreign_types_are_refused_and_nothing_changes(given: object) -> None:
    cache = filled(np.float32)
    row = np.zeros(SHAPE, given)
    for key, value in ((row, np.ones(SHAPE)), (np.ones(SHAPE), row)):
        for one in (cache, heedful.KVCache(), heedful.KVCache(dtype=np.float64)):
            before = repr(one)
            with pytest.raises(TypeError, match=r"^(key|value) must be of type float32, float64"):
                one.append(key, value)
            assert repr(one) == before


def test_the_16_bit_types_do_not_mix() -> None:
    cache = filled(HALF)
    row = np.ones(SHAPE, BRAIN)
    with pytest.raises(TypeError, match=r"key, value and the rows before must not mix float16 and"):
        cache.append(row, row)
    with pytest.raises(TypeError, match="must not mix"):
        heedful.KVCache().append(row, np.ones(SHAPE, HALF))
    assert cache.lengths.tolist() == [1, 1, 1]
    np.testing.assert_array_equal(cache.key, np.full(SHAPE, 0.75))


@pytest.mark.parametrize("dtype", [int, "int16", complex, object, "nonsense", np.longdouble, 3])
def test_a_type_that_is_not_stored_is_refused_at_once(dtype: object) -> None:
    with pytest.raises(TypeError, match=r"^dtype must be float32, float64, float16 or bfloat16"):
        heedful.KVCache(dtype=dtype)


def test_masked_rows_are_refused() -> None:
    masked = np.ma.masked_array(np.ones(SHAPE), mask=True)
    for key, value in ((masked, np.ones(SHAPE)), (np.ones(SHAPE), list(masked))):
        with pytest.raises(TypeError, match=r"^(key|value) must be a plain array: got a masked"):
            heedful.KVCache().append(key, value)
