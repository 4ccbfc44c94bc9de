"""Arrays of any layout in memory give what their contiguous copies give, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from case import Call, Case
from cases import CASE, SMALL_CASES
from closeness import assert_same_bits
from numpy.typing import NDArray

import heedful

Array = NDArray[Any]


def nan_everywhere(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Memory for a strided view: reading outside of the view would show."""
    return np.full(shape, np.nan if dtype.kind != "b" else True).astype(dtype)


def fortran(array: Array) -> Array:
    return np.asfortranarray(array)


def transposed(array: Array) -> Array:
    return array.swapaxes(-1, -2).copy().swapaxes(-1, -2) if array.ndim > 1 else array


def heads_after_rows(array: Array) -> Array:
    return array.swapaxes(-2, -3).copy().swapaxes(-2, -3) if array.ndim > 2 else array


def every_second_number(array: Array) -> Array:
    home = nan_everywhere(tuple(2 * size for size in array.shape), array.dtype)
    view = home[tuple(slice(None, None, 2) for _ in array.shape)]
    view[...] = array
    return view


def every_third_row(array: Array) -> Array:
    if array.ndim < 2:
        return array
    home = nan_everywhere((*array.shape[:-2], 3 * array.shape[-2], array.shape[-1]), array.dtype)
    view = home[..., ::3, :]
    view[...] = array
    return view


def backwards(array: Array) -> Array:
    reverse = tuple(slice(None, None, -1) for _ in array.shape)
    return array[reverse].copy()[reverse]


def slice_of_the_last_axis(array: Array) -> Array:
    home = nan_everywhere((*array.shape[:-1], array.shape[-1] + 5), array.dtype)
    view = home[..., 3 : 3 + array.shape[-1]]
    view[...] = array
    return view


def unaligned(array: Array) -> Array:
    home = np.empty(array.nbytes + 1, np.uint8)
    home[1:] = np.frombuffer(array.tobytes(), np.uint8)
    return home[1:].view(array.dtype).reshape(array.shape)


def byte_swapped(array: Array) -> Array:
    return array.astype(array.dtype.newbyteorder())


def read_only(array: Array) -> Array:
    array = array.copy()
    array.flags.writeable = False
    return array


LAYOUTS = [
    fortran, transposed, heads_after_rows, every_second_number, every_third_row, backwards,
    slice_of_the_last_axis, unaligned, byte_swapped, read_only,
]  # fmt: skip


def in_layout(call: Call, layout: Callable[[Array], Array]) -> Call:
    options = {
        name: layout(option) if isinstance(option, np.ndarray) else option
        for name, option in call.options.items()
    }
    query, key, value = (layout(array) for array in call.inputs)
    return replace(call, query=query, key=key, value=value, dout=layout(call.dout), options=options)


def assert_forward_and_gradients_are_the_same(strided: Call, contiguous: Call) -> None:
    results = []
    for call in (strided, contiguous):
        returned, pullback = call.run(heedful.attention_vjp, return_lse=True)
        results.append([*returned, *pullback(call.dout)])
    names = ("out", "lse", "dquery", "dkey", "dvalue", "dbias", "dsink")
    for name, result, expected in zip(names, *results, strict=True):
        if expected is not None:
            assert_same_bits(result.astype(result.dtype.newbyteorder("=")), expected, name)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
@pytest.mark.parametrize("case", SMALL_CASES, ids=str)
def test_strides_do_not_matter(case: Case, layout: Callable[[Array], Array]) -> None:
    contiguous = case.draw(np.float32)
    assert_forward_and_gradients_are_the_same(in_layout(contiguous, layout), contiguous)


WITH_EVERY_TYPE = ["vit", "decode_split", "mask_full", "bias_heads", "everything"]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
@pytest.mark.parametrize("name", WITH_EVERY_TYPE)
def test_strides_do_not_matter_in_any_type(
    name: str, layout: Callable[[Array], Array], dtype: np.dtype[Any]
) -> None:
    if layout is byte_swapped and dtype.name == "bfloat16":
        layout = unaligned  # ml_dtypes has no foreign byte order
    contiguous = CASE[name].draw(dtype)
    assert_forward_and_gradients_are_the_same(in_layout(contiguous, layout), contiguous)


@pytest.mark.parametrize("axis", [-1, -2, -3, -4])
@pytest.mark.parametrize(
    "name", ["past_one_panel", "vit", "decode_split", "decode_grouped_split", "everything"]
)
def test_repeated_elements_that_share_memory_are_read_as_often_as_needed(
    name: str, axis: int, wide_dtype: np.dtype[Any]
) -> None:
    call = CASE[name].draw(wide_dtype)

    def repeated(array: Array) -> Array:
        if array.ndim < 4:
            return array
        return np.broadcast_to(array.take([0], axis=axis), array.shape)

    strided = in_layout(call, repeated)
    assert strided.key.strides[axis] == 0 or strided.key.shape[axis] == 1
    assert_forward_and_gradients_are_the_same(strided, in_layout(strided, np.ascontiguousarray))


@pytest.mark.parametrize("layout", [fortran, transposed, heads_after_rows, every_second_number])
@pytest.mark.parametrize("name", ["past_one_panel", "vit", "decode_split", "everything"])
def test_out_may_have_any_strides(
    name: str, layout: Callable[[Array], Array], dtype: np.dtype[Any]
) -> None:
    call = CASE[name].draw(dtype)
    expected = call.run(heedful.attention)
    target = layout(np.ones_like(expected))
    home = target.base if target.base is not None else target
    untouched = np.isnan(home.astype(np.float64))
    result = call.run(heedful.attention, out=target)
    assert result is target
    assert_same_bits(np.ascontiguousarray(result), expected)
    np.testing.assert_array_equal(np.isnan(home.astype(np.float64)), untouched)


@pytest.mark.parametrize("strided", ["query", "key", "value", "dout"])
def test_one_strided_array_among_contiguous_ones(strided: str) -> None:
    contiguous = CASE["past_one_key_tile"].draw(np.float32)
    call = replace(contiguous, **{strided: every_second_number(getattr(contiguous, strided))})
    assert_forward_and_gradients_are_the_same(call, contiguous)


EMPTY = {
    "no items": {"B": (0,)},
    "no heads": {"H": 0},
    "no queries": {"Lq": 0},
    "no keys": {"Lk": 0},
    "no depth": {"D": 0},
    "no depth of value": {"Dv": 0},
    "nothing": {"B": (0,), "Lq": 0, "Lk": 0, "D": 0, "Dv": 0},
}


@pytest.mark.parametrize("fields", EMPTY.values(), ids=EMPTY.keys())
@pytest.mark.parametrize("options", [{}, {"causal": True, "align": "lower_right"}], ids=str)
def test_empty_axes_give_empty_or_zero_results(
    fields: dict[str, Any], options: dict[str, Any], dtype: np.dtype[Any]
) -> None:
    sizes = {"B": (2,), "H": 3, "Lq": 5, "Lk": 7, "D": 4, "Dv": 6, **fields}
    call = Case("empty", options=options, mask="BHQK", bias="BHQK", sink=True, **sizes).draw(dtype)
    (out, lse), pullback = call.run(heedful.attention_vjp, return_lse=True)
    shape = (*sizes["B"], sizes["H"], sizes["Lq"])
    assert (out.shape, lse.shape) == ((*shape, sizes["Dv"]), shape)
    assert out.dtype == dtype
    if sizes["Lk"] == 0:
        assert not out.any()
        sinks = np.broadcast_to(call.options["sink"][:, None], shape).astype(lse.dtype)
        np.testing.assert_allclose(lse, sinks, rtol=4 * np.finfo(lse.dtype).eps)
    gradients = pullback(call.dout)
    for name, array in zip(("query", "key", "value"), call.inputs, strict=True):
        gradient = getattr(gradients, name)
        assert (gradient.shape, gradient.dtype) == (array.shape, array.dtype)
        assert np.isfinite(gradient.astype(np.float64)).all()
    assert gradients.bias.shape == call.options["bias"].shape
    assert gradients.sink.shape == call.options["sink"].shape


def test_without_depth_all_keys_weigh_the_same(rng: np.random.Generator) -> None:
    value = rng.standard_normal((3, 7, 5))
    out, lse = heedful.attention(np.ones((3, 2, 0)), np.ones((3, 7, 0)), value, return_lse=True)
    expected = np.broadcast_to(value.mean(axis=1, keepdims=True), out.shape)
    np.testing.assert_allclose(out, expected, rtol=1e-14)
    np.testing.assert_allclose(lse, np.log(7), rtol=1e-14)


def test_slopes_and_sinks_may_be_unaligned(rng: np.random.Generator) -> None:
    """Compiled code reads them in place, and an unaligned read is undefined there."""
    x = rng.standard_normal((2, 3, 5, 4))
    slopes, sink = rng.random(3), rng.standard_normal(3)

    def unaligned(array: Array) -> Array:
        moved = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype)
        moved[...] = array
        assert not moved.flags.aligned
        return moved

    options = {"alibi_slopes": slopes, "sink": sink}
    moved = {name: unaligned(array) for name, array in options.items()}
    assert_same_bits(heedful.attention(x, x, x, **moved), heedful.attention(x, x, x, **options))
