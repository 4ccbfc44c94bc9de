"""FourierMixing: the matrix of the transform as oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from closeness import assert_as_accurate_as_numpy
from numpy.typing import NDArray

from heedful.layers import FourierMixing

Array = NDArray[Any]


def exact(x: Array) -> Array:
    """Σ_l Σ_e x[l, e] cos(2π (k l / L + m e / E)), from matrices of cosines and sines."""
    length, width = x.shape[-2:]
    angles = [2 * np.pi * np.outer(np.arange(n), np.arange(n)) / n for n in (length, width)]
    wide = x.astype(np.float64)
    result: Array = np.cos(angles[0]) @ wide @ np.cos(angles[1])
    return result - np.sin(angles[0]) @ wide @ np.sin(angles[1])


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 7), (7, 1), (2, 2), (5, 6), (3, 6, 5), (2, 3, 97, 64)]
)
def test_it_is_the_matrix_of_the_transform(
    shape: tuple[int, ...], wide_dtype: np.dtype[Any], rng: np.random.Generator
) -> None:
    x = rng.standard_normal(shape).astype(wide_dtype)
    layer = FourierMixing(shape[-1], dtype=wide_dtype)
    y, backward = layer.forward(x)
    assert y.dtype == wide_dtype
    plain = np.fft.fft2(x).real.astype(wide_dtype)
    assert_as_accurate_as_numpy(y, plain, exact(x), ratio=3)
    dy = rng.standard_normal(shape).astype(wide_dtype)
    # the transpose of the matrix, which is symmetric
    assert_as_accurate_as_numpy(backward(dy), np.fft.fft2(dy).real.astype(wide_dtype), exact(dy),
                                ratio=3)  # fmt: skip


def test_each_sequence_is_transformed_in_its_own_length(rng: np.random.Generator) -> None:
    layer, x = FourierMixing(6, dtype="float64"), rng.standard_normal((4, 5, 6))
    lengths = [5, 3, 0, 3]
    padding = np.arange(5) < np.array(lengths)[:, None]
    x[~padding] = np.nan
    y = layer(x, kv_lengths=lengths)
    for row, item, length in zip(y, x, lengths, strict=True):
        np.testing.assert_allclose(row[:length], exact(item[:length]), atol=1e-12)
        np.testing.assert_array_equal(row[length:], 0)
    np.testing.assert_array_equal(layer(x, mask=padding[:, None, None]), y)
    longer = np.concatenate([x, np.full((4, 3, 6), np.nan)], 1)
    np.testing.assert_array_equal(layer(longer, kv_lengths=lengths)[:, :5], y)
    y, backward = layer.forward(x, kv_lengths=lengths)
    dx = backward(np.where(padding[..., None], np.ones(6), np.nan))
    np.testing.assert_array_equal(dx[~padding], 0)
    assert np.isfinite(dx).all()


def test_key_and_value_may_be_query_itself(rng: np.random.Generator) -> None:
    layer, x = FourierMixing(6), rng.standard_normal((3, 5, 6)).astype(np.float32)
    y, backward = layer.forward(x, x, x)
    np.testing.assert_array_equal(y, layer(x))
    dx, dkey, dvalue = backward(y)
    np.testing.assert_array_equal(dx, layer(y))
    assert not dkey.any()
    assert not dvalue.any()


def test_q_lengths_and_residual(rng: np.random.Generator) -> None:
    layer, x = FourierMixing(6), rng.standard_normal((3, 5, 6)).astype(np.float32)
    y = layer(x, q_lengths=[5, 2, 0], residual=x)
    np.testing.assert_array_equal(y[1, 2:], x[1, 2:])
    np.testing.assert_array_equal(y[2], x[2])
    np.testing.assert_allclose(y[0], layer(x)[0] + x[0], rtol=1e-6)


def test_a_permuted_batch_is_permuted(rng: np.random.Generator) -> None:
    layer, x = FourierMixing(16), rng.standard_normal((3, 33, 16)).astype(np.float32)
    np.testing.assert_array_equal(layer(x[[2, 0, 1]]), layer(x)[[2, 0, 1]])


def test_it_has_no_parameters_and_takes_no_rows() -> None:
    layer = FourierMixing(6)
    assert layer.parameter_count == 0
    assert layer.state_dict() == {}
    assert repr(layer) == "FourierMixing(6)"
    for shape in ((0, 5, 6), (2, 0, 6)):
        y, backward = layer.forward(np.ones(shape))
        assert y.shape == backward(y).shape == shape


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"causal": True}, "causal must be False, Fourier mixing lets every position see all"),
        ({"key": np.ones((2, 5, 6))}, "key must be None or query itself, Fourier mixing is within"),
        ({"value": np.ones((2, 5, 6))}, "value must be None or query itself"),
        ({"mask": np.tri(5, dtype=bool)}, "mask must be the same for all queries"),
        ({"mask": np.array([True, False, True, True, True])},
         "mask must hide positions at the end alone, Fourier mixing transforms what is before"),
        ({"bias": np.eye(5)}, "bias must be None, Fourier mixing has no scores of pairs"),
        ({"window": (1, 0)}, "window must be None"),
        ({"align": 0}, "align must be None"),
        ({"cache": []}, "cache must be None"),
        ({"return_weights": True}, "return_weights must be False, Fourier mixing has no scores"),
        ({"kv_lengths": [6, 1]}, "kv_lengths must lie between 0 and 5"),
    ],
)  # fmt: skip
def test_what_it_cannot_honour_is_refused(options: dict[str, Any], message: str) -> None:
    layer, x = FourierMixing(6), np.ones((2, 5, 6))
    for call in (layer, layer.forward):
        with pytest.raises(ValueError, match=message):
            call(x, **options)
