"""Conv1d and PatchEmbed beside plain loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import heedful
from heedful.layers import Conv1d, PatchEmbed


def convolved(layer: Conv1d, x: Any, before: int, after: int) -> Any:
    """y[t, o] as the sum over taps and the channels of o's group."""
    padded = np.pad(x, ((0, 0), (before, after), (0, 0)))
    reach = layer.dilation * (layer.kernel_size - 1)
    length = (padded.shape[1] - reach - 1) // layer.stride + 1
    y = np.zeros((len(x), length, layer.out_channels))
    inputs, outputs = layer.weight.shape[1], layer.out_channels // layer.groups
    for t in range(length):
        for o in range(layer.out_channels):
            first = o // outputs * inputs
            for k in range(layer.kernel_size):
                row = padded[:, t * layer.stride + k * layer.dilation, first : first + inputs]
                y[:, t, o] += row @ layer.weight[o, :, k]
    return y if layer.bias is None else y + layer.bias


@pytest.mark.parametrize(
    ("options", "zeros"),
    [
        ({}, (0, 0)),
        ({"padding": 2, "stride": 3}, (2, 2)),
        ({"padding": "same", "dilation": 2}, (3, 3)),
        ({"padding": "same", "kernel_size": 2}, (0, 1)),
        ({"padding": "causal", "dilation": 2, "groups": 3}, (6, 0)),
        ({"padding": "valid", "groups": 3, "bias": False, "stride": 5}, (0, 0)),
    ],
)
def test_a_convolution_is_the_sum_over_its_taps(
    options: dict[str, Any], zeros: tuple[int, int], rng: np.random.Generator
) -> None:
    layer = Conv1d(6, 9, **{"kernel_size": 4, "dtype": np.float64, "rng": 0, **options})
    x = rng.standard_normal((3, 11, 6))
    y = layer(x)
    np.testing.assert_allclose(y, convolved(layer, x, *zeros), rtol=0, atol=1e-13)
    np.testing.assert_array_equal(layer(x[0]), layer(x[:1])[0])


def test_a_causal_convolution_does_not_look_ahead(rng: np.random.Generator) -> None:
    layer = Conv1d(3, 5, 4, padding="causal", dilation=2, rng=0)
    x = rng.standard_normal((2, 13, 3))
    spoilt = x.copy()
    spoilt[:, 7:] = np.nan
    np.testing.assert_array_equal(layer(spoilt)[:, :7], layer(x)[:, :7])


def test_a_sequence_does_not_reach_into_the_next_one(rng: np.random.Generator) -> None:
    layer = Conv1d(3, 5, 4, padding=1, stride=2, rng=0)
    x = rng.standard_normal((4, 13, 3))
    spoilt = x.copy()
    spoilt[2] = np.nan
    y, clean = layer(spoilt), layer(x)
    np.testing.assert_array_equal(y[[0, 1, 3]], clean[[0, 1, 3]])
    assert np.isnan(y[2]).all()


def test_sequences_shorter_than_the_kernel_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\Ax must have 5 positions at least, as many as the"):
        Conv1d(3, 4, 4, padding=1, dilation=2)(np.ones((2, 4, 3)))
    with pytest.raises(ValueError, match=r"\Apadding 'same' keeps the length with stride 1"):
        Conv1d(3, 4, 4, stride=2, padding="same")


@pytest.mark.parametrize("groups", [1, 3])
def test_bits_are_the_same_for_any_number_of_threads(groups: int, rng: np.random.Generator) -> None:
    x = rng.standard_normal((5, 403, 96))
    found = []
    for threads in (1, 2, 3):
        layer = Conv1d(96, 48, 5, padding="same", groups=groups, rng=0)
        with heedful.num_threads(threads):
            y, backward = layer.forward(x)
            found.append([y, backward(np.cos(y)), *layer.grads.values()])
    for arrays in found[1:]:
        for one, first in zip(arrays, found[0], strict=True):
            np.testing.assert_array_equal(one, first)


def test_a_patch_is_multiplied_as_a_whole(rng: np.random.Generator) -> None:
    layer = PatchEmbed((6, 8), (3, 2), 2, 5, dtype=np.float64, rng=0)
    x = rng.standard_normal((2, 2, 6, 8))
    y = layer(x)
    assert y.shape == (2, layer.num_patches, 5)
    for row in range(2):
        for column in range(4):
            patch = x[:, :, 3 * row : 3 * row + 3, 2 * column : 2 * column + 2]
            wanted = np.einsum("bcij,ecij->be", patch, layer.weight) + layer.bias
            np.testing.assert_allclose(y[:, 4 * row + column], wanted, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: Conv1d(6, 4, 3, groups=2, dtype=np.float64, rng=0), (2, 9, 6)),
        (lambda: PatchEmbed(6, 3, 2, 5, dtype=np.float64, rng=0), (2, 2, 6, 6)),
    ],
    ids=["Conv1d", "PatchEmbed"],
)
def test_a_frozen_weight_gets_no_gradient(
    make: Callable[[], Any], shape: tuple[int, ...], rng: np.random.Generator
) -> None:
    x, whole, part = rng.standard_normal(shape), make(), make()
    part.freeze("weight")
    for layer in (whole, part):
        y, backward = layer.forward(x)
        backward(np.cos(y))
    assert set(part.grads) == {"bias"}
    np.testing.assert_allclose(part.grads["bias"], whole.grads["bias"], rtol=1e-12)
    np.testing.assert_allclose(part.grads["bias"], np.cos(y).reshape(-1, y.shape[-1]).sum(0))
