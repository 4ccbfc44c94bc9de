"""out=: the caller's own array is written and returned, or refused; never quietly copied."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from closeness import assert_same_bits
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

import heedful

Array = NDArray[Any]


@pytest.fixture
def inputs(rng: np.random.Generator) -> tuple[Array, Array, Array]:
    shapes = (2, 3, 5, 7), (2, 3, 11, 7), (2, 3, 11, 13)
    query, key, value = (rng.standard_normal(shape).astype(np.float32) for shape in shapes)
    return query, key, value


def garbage(shape: tuple[int, ...], dtype: Any = np.float32) -> Array:
    return np.full(shape, np.nan, dtype)


def test_the_same_array_is_returned_with_the_same_bits(inputs: tuple[Array, ...]) -> None:
    out = garbage((2, 3, 5, 13))
    assert heedful.attention(*inputs, out=out) is out
    assert_same_bits(out, heedful.attention(*inputs))


def test_it_is_first_in_a_tuple(inputs: tuple[Array, ...]) -> None:
    out = garbage((2, 3, 5, 13))
    returned = heedful.attention(*inputs, out=out, return_lse=True, return_weights=True)
    assert returned[0] is out


def test_vjp_and_packed_calls_write_it_too(inputs: tuple[Array, ...]) -> None:
    out = garbage((2, 3, 5, 13))
    result, pullback = heedful.attention_vjp(*inputs, out=out)
    assert result is out
    expected = heedful.attention_vjp(*inputs)[1](np.ones_like(out))
    assert_same_bits(pullback(np.ones_like(out)).query, expected.query)

    tokens = np.ascontiguousarray(inputs[0][0].swapaxes(0, 1))
    out = garbage(tokens.shape)
    split = [0, 2, 5]
    assert heedful.attention_varlen(tokens, tokens, tokens, split, split, out=out) is out
    assert_same_bits(out, heedful.attention_varlen(tokens, tokens, tokens, split, split))


@pytest.mark.parametrize("axes", [1, 2, 3, 4])
def test_any_number_of_axes(axes: int, inputs: tuple[Array, ...]) -> None:
    query, key, value = (array[(0,) * (4 - max(axes, 2))] for array in inputs)
    query = query[0] if axes == 1 else query
    expected = heedful.attention(query, key, value)
    out = garbage(expected.shape)
    assert heedful.attention(query, key, value, out=out) is out
    assert_same_bits(out, expected)


def strided_homes(
    shape: tuple[int, ...], dtype: Any = np.float32
) -> dict[str, tuple[Array, Array]]:
    """Views of this shape, each with the array that it is a view of."""
    every_second = garbage(tuple(2 * size for size in shape), dtype)
    part = garbage((*shape[:-1], shape[-1] + 3), dtype)
    backwards = garbage(shape, dtype)
    fortran = garbage(shape[::-1], dtype)
    return {
        "every_second": (every_second[tuple(slice(None, None, 2) for _ in shape)], every_second),
        "part_of_the_last_axis": (part[..., 2:-1], part),
        "backwards": (backwards[tuple(slice(None, None, -1) for _ in shape)], backwards),
        "fortran": (fortran.T, fortran),
    }


@pytest.mark.parametrize("kind", strided_homes((1,)))
@pytest.mark.parametrize("layout", ["bhld", "blhd"])
def test_strides_do_not_matter_and_nothing_else_is_written(
    kind: str, layout: Any, inputs: tuple[Array, ...]
) -> None:
    inputs = tuple(array.swapaxes(1, 2) if layout == "blhd" else array for array in inputs)
    expected = heedful.attention(*inputs, layout=layout)
    out, home = strided_homes(expected.shape)[kind]
    assert heedful.attention(*inputs, layout=layout, out=out) is out
    assert_same_bits(np.ascontiguousarray(out), np.ascontiguousarray(expected))
    assert np.isnan(home).sum() == home.size - out.size


def test_16_bits(dtype: np.dtype[Any], inputs: tuple[Array, ...]) -> None:
    inputs = tuple(array.astype(dtype) for array in inputs)
    out = np.zeros((2, 3, 5, 13), dtype)
    assert heedful.attention(*inputs, out=out) is out
    assert_same_bits(out, heedful.attention(*inputs))


def test_rows_past_the_lengths_become_0(inputs: tuple[Array, ...]) -> None:
    out = garbage((2, 3, 5, 13))
    heedful.attention(*inputs, q_lengths=[2, 0], out=out)
    assert (out[0, :, 2:] == 0).all()
    assert (out[1] == 0).all()
    assert_same_bits(out[0, :, :2], heedful.attention(*inputs, q_lengths=[2, 0])[0, :, :2])


def test_tokens_of_no_sequence_become_0(inputs: tuple[Array, ...]) -> None:
    tokens = np.ascontiguousarray(inputs[0][0].swapaxes(0, 1))
    out = garbage(tokens.shape)
    heedful.attention_varlen(
        tokens, tokens, tokens, [0, 2, 4], [0, 2, 4], q_lengths=[1, 2], out=out
    )
    assert (out[[1, 4]] == 0).all()
    assert np.isfinite(out).all()
    assert (out[[0, 2, 3]] != 0).all()


@pytest.mark.parametrize(
    ("out", "says"),
    [
        (garbage((2, 3, 5, 12)), r"out must have shape \(2, 3, 5, 13\): got \(2, 3, 5, 12\)"),
        (garbage((1, 2, 3, 5, 13)), r"out must have shape \(2, 3, 5, 13\)"),
        (garbage((2, 3, 5, 13), np.float64), "out must have type float32: got float64"),
        (garbage((2, 3, 5, 13), ">f4"), "out must have type float32: got >f4"),
        (np.broadcast_to(np.float32(0), (2, 3, 5, 13)), "out must be writeable"),
        (np.zeros(1561, "i1")[1:].view("f4").reshape(2, 3, 5, 13), "out must be aligned"),
        (
            as_strided(garbage((400,)), (2, 3, 5, 13), (0, 260, 52, 4)),
            r"out must not overlap itself: got strides \(0, 260, 52, 4\)",
        ),
        (
            as_strided(garbage((400,)), (2, 3, 5, 13), (780, 260, 4, 4)),
            "out must not overlap itself",
        ),
    ],
    ids=["shape", "axes", "type", "byte_order", "read_only", "unaligned", "stride_0", "overlap"],
)
def test_what_cannot_be_written_is_refused(
    out: Array, says: str, inputs: tuple[Array, ...]
) -> None:
    with pytest.raises(ValueError, match=says):
        heedful.attention(*inputs, out=out)


@pytest.mark.parametrize("name", ["query", "key", "value", "bias", "mask", "sink", "alibi_slopes"])
def test_an_overlap_with_an_input_is_refused(name: str, rng: np.random.Generator) -> None:
    memory = np.zeros(600, np.float64)
    x = rng.standard_normal((3, 5, 5))
    calls: dict[str, Any] = {"query": x, "key": x, "value": x, "align": 0}
    shared = {
        "query": memory[:75].reshape(3, 5, 5),
        "key": memory[70:145].reshape(3, 5, 5),
        "value": memory[1:301].reshape(3, 5, 20)[..., ::4],
        "bias": memory[74:75].reshape(1),
        "mask": memory.view(bool)[100:175].reshape(3, 5, 5),
        "sink": memory[:3],
        "alibi_slopes": memory[10:13],
    }
    calls[name] = shared[name]
    out = memory[:75].reshape(3, 5, 5)
    query, key, value = (calls.pop(each) for each in ("query", "key", "value"))
    with pytest.raises(ValueError, match=f"out must not overlap an input: .* with {name}"):
        heedful.attention(query, key, value, out=out, **calls)


def test_neighbours_in_one_array_do_not_overlap(rng: np.random.Generator) -> None:
    """query, key, value and out as columns of one projection: interleaved, yet apart."""
    home = rng.standard_normal((11, 4, 7)).astype(np.float32)
    query, key, value, out = (home[:, part] for part in range(4))
    expected = heedful.attention(query.copy(), key.copy(), value.copy())
    assert heedful.attention(query, key, value, out=out) is out
    assert_same_bits(out.copy(), expected)
