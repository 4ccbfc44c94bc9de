"""Inputs of any form with a block mask, top_k, min_weight, pages and caches: the same bits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from memory_layouts import columns_apart, columns_first, heads_inside
from numpy.typing import NDArray

import heedful

Array = NDArray[Any]
H, L, D = 4, 77, 16
MASK = heedful.BlockMask.window(L, 30, 9, block_size=16)
OPTIONS: dict[str, dict[str, Any]] = {
    "block_mask": {"block_mask": MASK}, "top_k": {"top_k": 5}, "min_weight": {"min_weight": 0.3},
    "block_mask and top_k": {"block_mask": MASK, "top_k": 5},
    "block_mask and min_weight": {"block_mask": MASK, "min_weight": 0.3},
}  # fmt: skip
CACHES: dict[str, dict[str, Any]] = {
    "contiguous": {}, "paged": {"kind": "paged"}, "int8": {"dtype": "int8"},
    "sinks": {"policy": heedful.SinksAndWindow(2, 30)},
    "heavy": {"policy": heedful.HeavyHitters(20, 20)}, "quest": {"policy": heedful.QuestPages(3)},
}  # fmt: skip
each_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
each_cache = pytest.mark.parametrize("options", CACHES.values(), ids=CACHES)


class Own(np.ndarray[Any, Any]):
    """An array of a class of the user's, whose operators must not be called."""

    def __array_ufunc__(self, *arguments: Any, **options: Any) -> Any:
        raise AssertionError("an operator of the user's class")


def read_only(array: Array) -> Array:
    array = array.copy()
    array.flags.writeable = False
    return array


def unaligned(array: Array) -> Array:
    home = np.empty(array.nbytes + 1, np.uint8)
    home[1:] = np.frombuffer(array.tobytes(), np.uint8)
    return home[1:].view(array.dtype).reshape(array.shape)


FORMS: dict[str, Callable[[Array], Any]] = {
    "heads inside": heads_inside, "columns apart": columns_apart, "columns first": columns_first,
    "reversed": lambda array: array[..., ::-1, :].copy()[..., ::-1, :],
    "every other row": lambda array: array.repeat(2, -2)[..., ::2, :],
    "read-only": read_only, "unaligned": unaligned,
    "swapped bytes": lambda array: array.astype(array.dtype.newbyteorder()),
    "subclass": lambda array: array.view(Own), "lists": lambda array: array.tolist(),
}  # fmt: skip
each_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def draw(*batch: int, length: int = L) -> list[Array]:
    rng = np.random.default_rng(3)
    query = 2 * rng.standard_normal((*batch, H, length, D))
    return [query, *rng.standard_normal((2, *batch, H // 2, length, D))]


def results(arrays: list[Any], **options: Any) -> list[Array]:
    out, pullback = heedful.attention_vjp(*arrays, **options)
    weights = heedful.attention_weights(*arrays[:2], **options)
    return [out, *pullback(np.ones(out.shape))[:3], weights]


@each_form
@each_option
def test_inputs_of_any_form(options: dict[str, Any], form: Callable[[Array], Any]) -> None:
    arrays = draw(2)
    expected = results(arrays, **options)
    found = results([form(array) for array in arrays], **options)
    for one, other in zip(found, expected, strict=True):
        assert type(one) is np.ndarray
        np.testing.assert_array_equal(one, other)


@each_form
@each_cache
def test_rows_and_queries_of_a_cache_of_any_form(
    options: dict[str, Any], form: Callable[[Array], Any]
) -> None:
    query, key, value = draw(2)
    found, expected = heedful.KVCache(**options), heedful.KVCache(**options)
    for rows in (slice(0, 40), slice(40, 41), slice(41, L)):
        given = [array[:, :, rows] for array in (query, key, value)]
        plain = [np.ascontiguousarray(array) for array in given]
        before = expected.append(plain[1], plain[2])
        wanted = expected.attend(plain[0], causal=True, align=before)
        before = found.append(form(given[1]), form(given[2]))
        out = found.attend(form(given[0]), causal=True, align=before)
        assert type(out) is np.ndarray
        np.testing.assert_array_equal(out, wanted)


@each_option
def test_a_mapped_file_is_read(options: dict[str, Any], tmp_path: Path) -> None:
    arrays, mapped = draw(2), []
    for number, array in enumerate(arrays):
        np.save(tmp_path / f"{number}.npy", array)
        mapped.append(np.load(tmp_path / f"{number}.npy", mmap_mode="r"))
    for one, other in zip(results(mapped, **options), results(arrays, **options), strict=True):
        np.testing.assert_array_equal(one, other)


@each_option
def test_masked_arrays_are_refused(options: dict[str, Any]) -> None:
    for place in range(3):
        arrays: list[Any] = draw(2)
        arrays[place] = np.ma.masked_array(arrays[place])
        with pytest.raises(TypeError, match="must be a plain array: got a masked array"):
            heedful.attention(*arrays, **options)


@each_option
@pytest.mark.parametrize("batch", [(0,), (0, 3), (2, 0)], ids=str)
def test_there_may_be_no_items(options: dict[str, Any], batch: tuple[int, ...]) -> None:
    found = results(draw(*batch), **options)
    assert found[0].shape == (*batch, H, L, D)
    assert found[-1].shape == (*batch, H, L, L)
    assert found[1].size == found[2].size == 0


@pytest.mark.parametrize(("queries", "keys"), [(0, L), (L, 0), (0, 0)], ids=str)
def test_there_may_be_no_queries_and_no_keys(queries: int, keys: int) -> None:
    query, key, value = draw(2)
    arrays = [query[:, :, :queries], key[:, :, :keys], value[:, :, :keys]]
    (out, skipped), pullback = heedful.attention_vjp(*arrays, min_weight=0.3, return_skipped=True)
    assert out.shape == (2, H, queries, D)
    assert skipped == 0
    assert (out == 0).all()
    for gradient, array in zip(pullback(out)[:3], arrays, strict=True):
        assert gradient.shape == array.shape
        assert (gradient == 0).all()


@pytest.mark.parametrize("depths", [(0, 5), (5, 0), (0, 0)], ids=str)
@each_option
def test_there_may_be_no_depth(options: dict[str, Any], depths: tuple[int, int]) -> None:
    query, key, value = draw(2)
    arrays = [query[..., : depths[0]], key[..., : depths[0]], value[..., : depths[1]]]
    out, weights = heedful.attention(*arrays, **options, return_weights=True)
    assert out.shape == (2, H, L, depths[1])
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-12)


@each_option
def test_results_are_written_where_requested(options: dict[str, Any]) -> None:
    arrays = draw(2)
    expected = heedful.attention(*arrays, **options)
    out = np.full((2, H, 2 * L, D), np.nan)[:, :, ::2]
    assert heedful.attention(*arrays, **options, out=out) is out
    np.testing.assert_array_equal(out, expected)
    for wrong in (
        np.empty((2, H, L, D), "f"),
        np.empty((2, H, L, D + 1)),
        arrays[0],
        read_only(out),
    ):
        with pytest.raises(ValueError, match=r"^out must"):
            heedful.attention(*arrays, **options, out=wrong)


@each_option
def test_a_row_beside_one_with_nothing_to_attend_is_unaffected(options: dict[str, Any]) -> None:
    query, key, value = draw(2)
    mask = np.ones((2, 1, L, L), bool)
    mask[0, :, 5] = mask[1, :, 30:33] = False
    expected, gradients = heedful.attention_vjp(query, key, value, mask=mask, **options)
    changed = query.copy()
    changed[0, :, 5] = np.nan
    changed[1, :, 30:33] = np.inf
    found, pullback = heedful.attention_vjp(changed, key, value, mask=mask, **options)
    np.testing.assert_array_equal(found, expected)
    assert (found[0, :, 5] == 0).all()
    assert (found[1, :, 30:33] == 0).all()
    for one, other in zip(pullback(expected)[:3], gradients(expected)[:3], strict=True):
        np.testing.assert_array_equal(one, other)


def through(options: dict[str, Any], arrays: list[Array]) -> list[Array]:
    """A prompt, a token and some more of them."""
    cache, found = heedful.KVCache(**options), []
    for rows in (slice(0, 40), slice(40, 41), slice(41, L)):
        query, key, value = (array[:, :, rows] for array in arrays)
        before = cache.append(key, value)
        found.append(cache.attend(query, causal=True, align=before))
    return [*found, cache.key, cache.value]


@each_cache
def test_caches_have_the_same_bits_for_every_number_of_threads(options: dict[str, Any]) -> None:
    arrays = [array.astype(np.float32) for array in draw(2)]
    with heedful.num_threads(1):
        expected = through(options, arrays)
    for threads in (2, 3):
        with heedful.num_threads(threads):
            for one, other in zip(through(options, arrays), expected, strict=True):
                np.testing.assert_array_equal(one, other)


@each_cache
@pytest.mark.parametrize("size", [1e-30, 1e18])
def test_caches_raise_no_floating_point_error(options: dict[str, Any], size: float) -> None:
    arrays = [(array * size).astype(np.float32) for array in draw(2)]
    with np.errstate(all="raise"):
        found = through(options, arrays)
    assert all(np.isfinite(array).all() for array in found)


@each_option
@pytest.mark.parametrize("size", [1e-30, 1e18])
def test_no_floating_point_error_is_raised(options: dict[str, Any], size: float) -> None:
    arrays = [(array * size).astype(np.float32) for array in draw(2)]
    with np.errstate(all="raise"):
        found = results(arrays, **options)
    assert np.isfinite(found[0]).all()
    assert np.isfinite(found[-1]).all()
