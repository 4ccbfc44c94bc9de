"""One to many axes, both layouts, grouped heads, broadcasting: what the results are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from closeness import assert_same_bits
from numpy.typing import NDArray

import heedful
import reference

Array = NDArray[Any]


def normal(rng: np.random.Generator, *shape: int, dtype: Any = np.float64) -> Array:
    return rng.standard_normal(shape).astype(dtype)


def softmax(scores: Array) -> Array:
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


# Results of a calculation by hand


def test_two_matrices_of_a_textbook() -> None:
    query, key = [[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [10, 11, 12]]
    value = [[13, 14, 15], [16, 17, 18]]
    first, second = 1 / (1 + math.exp(18 / math.sqrt(3))), 1 / (1 + math.exp(45 / math.sqrt(3)))
    expected = [[16 - 3 * first + column for column in range(3)] for first in (first, second)]
    out = heedful.attention(query, key, value)
    assert out.dtype == np.float64
    np.testing.assert_allclose(out, expected, rtol=1e-15)


@pytest.mark.parametrize("scale", [None, 1.0, 2.0 / 3.0])
def test_columns_of_five_numbers(scale: float | None) -> None:
    query = np.array([[1], [2], [3], [4], [5]])
    value = np.array([[9], [8], [7], [6], [5]])
    out = heedful.attention(query, query, value, scale=scale)
    factor = 1.0 if scale is None else scale  # 1/√1
    expected = [
        sum(math.exp(factor * i * j) * (10 - j) for j in range(1, 6))
        / sum(math.exp(factor * i * j) for j in range(1, 6))
        for i in range(1, 6)
    ]
    np.testing.assert_allclose(out[:, 0], expected, rtol=1e-14)


def test_a_single_query_vector_against_a_matrix(rng: np.random.Generator) -> None:
    query, key, value = normal(rng, 7), normal(rng, 5, 7), normal(rng, 5, 3)
    (out, lse, weights), pullback = heedful.attention_vjp(
        query, key, value, return_lse=True, return_weights=True
    )
    assert (out.shape, lse.shape, weights.shape) == ((3,), (), (5,))
    expected = softmax(key @ query / math.sqrt(7))
    np.testing.assert_allclose(weights, expected, rtol=1e-14)
    np.testing.assert_allclose(out, expected @ value, rtol=1e-13)
    assert heedful.attention_weights(query, key).shape == (5,)
    assert heedful.attention_weights(query, key, average_heads=True).shape == (5,)
    assert heedful.attention_scores(query, key).shape == (5,)

    gradients = pullback(normal(rng, 3), 0.5, normal(rng, 5))
    assert [gradient.shape for gradient in gradients[:3]] == [(7,), (5, 7), (5, 3)]
    again = heedful.attention_backward(np.ones(3), query, key, value, out, lse)
    assert [gradient.shape for gradient in again[:3]] == [(7,), (5, 7), (5, 3)]


def test_a_single_query_obeys_masks_and_bias(rng: np.random.Generator) -> None:
    query, key, value = normal(rng, 7), normal(rng, 5, 7), normal(rng, 5, 3)
    mask, bias = np.array([True, False, True, True, False]), normal(rng, 5)
    out, pullback = heedful.attention_vjp(query, key, value, mask=mask, bias=bias)
    expected = heedful.attention(query[None], key, value, mask=mask[None], bias=bias[None])[0]
    assert_same_bits(out, expected)
    dbias = pullback(np.ones(3)).bias
    assert dbias is not None
    assert dbias.shape == (5,)
    assert (dbias[~mask] == 0).all()
    assert (dbias[mask] != 0).all()


def test_two_axes_are_one_head_of_one_item(rng: np.random.Generator) -> None:
    query, key, value = normal(rng, 5, 7), normal(rng, 11, 7), normal(rng, 11, 3)
    two = heedful.attention(query, key, value, return_lse=True, return_weights=True)
    four = heedful.attention(
        *(array[None, None] for array in (query, key, value)),
        return_lse=True,
        return_weights=True,
    )
    assert [part.shape for part in two] == [(5, 3), (5,), (5, 11)]
    for short, long in zip(two, four, strict=True):
        assert_same_bits(short, long[0, 0])
    one_head = {"mask": rng.random((1, 5, 11)) < 0.5, "sink": [0.5], "alibi_slopes": [0.25]}
    assert heedful.attention(query, key, value, align=0, **one_head).shape == (5, 3)


def test_three_axes_are_heads(rng: np.random.Generator) -> None:
    query, key = normal(rng, 4, 5, 7), normal(rng, 2, 11, 7)
    out = heedful.attention(query, key, key)
    for head in range(4):
        np.testing.assert_allclose(
            out[head], heedful.attention(query[head], key[head // 2], key[head // 2]), rtol=1e-13
        )


@pytest.mark.parametrize(
    ("shapes", "out"),
    [
        (((2, 3, 5, 7), (11, 7), (11, 6)), (2, 3, 5, 6)),
        (((5, 7), (2, 1, 11, 7), (2, 1, 11, 6)), (2, 1, 5, 6)),
        (((5, 7), (1, 11, 7), (11, 6)), (1, 5, 6)),
        (((4, 1, 3, 5, 7), (2, 3, 11, 7), (3, 11, 6)), (4, 2, 3, 5, 6)),
        (((3, 5, 7), (8, 1, 1, 3, 11, 7), (2, 1, 11, 6)), None),
        (((3, 5, 7), (8, 1, 1, 3, 11, 7), (2, 3, 11, 6)), (8, 1, 2, 3, 5, 6)),
    ],
)
@pytest.mark.parametrize("layout", ["bhld", "blhd"])
def test_numbers_of_axes_may_differ(
    shapes: tuple[tuple[int, ...], ...], out: Any, layout: Any, rng: np.random.Generator
) -> None:
    def given(array: Array) -> Array:
        return array.swapaxes(-2, -3) if layout == "blhd" and array.ndim > 2 else array

    query, key, value = (normal(rng, *shape) for shape in shapes)
    if out is None:
        with pytest.raises(ValueError, match="same number of heads: key has 3, value has 1"):
            heedful.attention(given(query), given(key), given(value), layout=layout)
        return
    result, pullback = heedful.attention_vjp(given(query), given(key), given(value), layout=layout)
    expanded = [array[(None,) * (len(out) - array.ndim)] for array in (query, key, value)]
    exact = reference.attention(*expanded).out
    assert given(result).shape == out
    np.testing.assert_allclose(given(result), exact, rtol=1e-12)
    gradients = pullback(np.ones(result.shape))
    for gradient, array in zip(gradients[:3], (query, key, value), strict=True):
        assert gradient is not None
        assert gradient.shape == given(array).shape


def test_gradients_sum_over_broadcast_axes(rng: np.random.Generator) -> None:
    """The gradient of a broadcast input is the sum of the gradients of its copies."""
    query, key, value = normal(rng, 4, 1, 3, 5, 7), normal(rng, 2, 3, 11, 7), normal(rng, 3, 11, 6)
    bias, dout = normal(rng, 2, 1, 1, 11), normal(rng, 4, 2, 3, 5, 6)
    shared = heedful.attention_vjp(query, key, value, bias=bias)[1](dout)
    copies = [
        np.broadcast_to(array, (4, 2, *array.shape[-3:])).copy() for array in (query, key, value)
    ]
    bias_copy = np.broadcast_to(bias, (4, 2, 3, 5, 11)).copy()
    apart = heedful.attention_vjp(*copies, bias=bias_copy)[1](dout)
    np.testing.assert_allclose(shared.query, apart.query.sum(1, keepdims=True), rtol=1e-11)
    np.testing.assert_allclose(shared.key, apart.key.sum(0), rtol=1e-11)
    np.testing.assert_allclose(shared.value, apart.value.sum((0, 1)), rtol=1e-11)
    assert shared.bias is not None
    assert apart.bias is not None
    expected = apart.bias.sum((0, 2, 3), keepdims=True)[0]
    np.testing.assert_allclose(shared.bias, expected, rtol=1e-10, atol=1e-13)


# Layouts


@pytest.mark.parametrize("axes", [3, 4, 5])
def test_the_layouts_give_the_same_bits(axes: int, rng: np.random.Generator) -> None:
    lead = (2, 3)[: axes - 3]
    query = normal(rng, *lead, 4, 5, 7, dtype=np.float32)
    key, value = normal(rng, *lead, 2, 5, 7), normal(rng, *lead, 2, 5, 3)
    arrays = [query, key.astype(np.float32), value.astype(np.float32)]
    options: dict[str, Any] = {
        "causal": True,
        "bias": normal(rng, 4, 5, 5),
        "mask": rng.random((4, 5, 5)) < 0.8,
        "sink": normal(rng, 4),
        "return_lse": True,
        "return_weights": True,
    }
    (out, lse, weights), pullback = heedful.attention_vjp(*arrays, **options)
    swapped = [array.swapaxes(-2, -3).copy() for array in arrays]
    (out_, lse_, weights_), pullback_ = heedful.attention_vjp(*swapped, layout="blhd", **options)
    assert out_.flags.c_contiguous
    assert_same_bits(np.ascontiguousarray(out_.swapaxes(-2, -3)), out)
    assert_same_bits(lse_, lse)  # in "bhld" order in both
    assert_same_bits(weights_, weights)

    dout = normal(rng, *out.shape, dtype=np.float32)
    gradients = pullback(dout, lse, weights)
    gradients_ = pullback_(dout.swapaxes(-2, -3), lse, weights)
    for one, other in zip(gradients[:3], gradients_[:3], strict=True):
        assert_same_bits(np.ascontiguousarray(other.swapaxes(-2, -3)), one)
    for one, other in zip(gradients[3:], gradients_[3:], strict=True):
        assert one is not None
        assert other is not None
        assert_same_bits(other, one)
    named = {name: options[name] for name in ("causal", "bias", "mask", "sink")}
    expected = heedful.attention_backward(dout, *arrays, out, lse, dlse=lse, **named)
    result = heedful.attention_backward(
        dout.swapaxes(-2, -3), *swapped, out_, lse, dlse=lse, layout="blhd", **named
    )
    assert_same_bits(np.ascontiguousarray(result.key.swapaxes(-2, -3)), expected.key)


def test_scores_and_weights_have_the_same_axes_in_both_layouts(rng: np.random.Generator) -> None:
    query, key = normal(rng, 2, 4, 5, 7), normal(rng, 2, 2, 11, 7)
    swapped = query.swapaxes(1, 2), key.swapaxes(1, 2)
    for function in (heedful.attention_scores, heedful.attention_weights):
        assert_same_bits(function(*swapped, layout="blhd"), function(query, key))


def test_merged_pieces_keep_their_layout(rng: np.random.Generator) -> None:
    query, key = normal(rng, 2, 5, 3, 7), normal(rng, 2, 11, 3, 7)
    pieces = [
        heedful.attention(query, part, part, layout="blhd", return_lse=True)
        for part in (key[:, :4], key[:, 4:])
    ]
    out, lse = heedful.merge_attention(*zip(*pieces, strict=True), layout="blhd")
    whole, whole_lse = heedful.attention(query, key, key, layout="blhd", return_lse=True)
    np.testing.assert_allclose(out, whole, rtol=1e-13)
    np.testing.assert_allclose(lse, whole_lse, rtol=1e-13)
