"""The gradients of attention with sparse normalisers: oracle, finite differences, α, memory."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from case import Call, Case
from cases import ENTMAX_CASES
from closeness import ALLOWED_RATIO, assert_as_accurate_as_numpy, assert_same_bits
from numpy.typing import NDArray

import heedful
import reference

Array = NDArray[Any]
each_case = pytest.mark.parametrize("case", ENTMAX_CASES, ids=str)
NAMES = ("query", "key", "value", "bias")


def assert_gradients_agree(call: Call, gradients: Any, dtypes: Any, **more: Any) -> None:
    exact, plain = (
        reference.attention_backward(
            call.dout, *call.inputs, **call.options, **more, dtype=dtype
        )
        for dtype in dtypes
    )  # fmt: skip
    assert gradients.sink is None
    for name in NAMES:
        found = getattr(gradients, name)
        assert (found is not None) == (name != "bias" or "bias" in call.options)
        if found is not None:
            arrays = (getattr(result, name) for result in (plain, exact))
            # that of a bias of whole rows is a sum which cancels to 0: what is left is rounding
            ratio = 4 if name == "bias" and found.shape[-1] == 1 else ALLOWED_RATIO
            assert_as_accurate_as_numpy(found, *arrays, f"gradient of {name}", ratio)


@each_case
def test_gradients_agree_with_the_reference(case: Case) -> None:
    call = case.draw()
    out, pullback = call.run(heedful.attention_vjp)
    assert_same_bits(out, call.run(heedful.attention))
    assert_gradients_agree(call, pullback(call.dout), (np.longdouble, np.float64))


@each_case
def test_gradients_through_weights_agree_with_the_reference(case: Case) -> None:
    call = case.draw()
    _, pullback = call.run(heedful.attention_vjp, return_weights=True)
    gradients = pullback(call.dout, dweights=call.dweights)
    assert_gradients_agree(
        call, gradients, (np.longdouble, np.float64), dweights=call.dweights
    )  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("normalizer", ["sparsemax", "entmax15", 1.3])
def test_gradients_are_zero_where_dropout_drops_every_weight(
    rng: np.random.Generator, dtype: Any, normalizer: Any
) -> None:
    query, key, value, dout = rng.standard_normal((4, 2, 3, 5)).astype(dtype)
    (out, weights), pullback = heedful.attention_vjp(
        query, key, value, normalizer=normalizer, dropout_p=1.0, rng=0, return_weights=True
    )
    gradients = pullback(dout, dweights=rng.standard_normal((2, 3, 3)).astype(dtype))
    for array in (out, weights, gradients.query, gradients.key, gradients.value):
        assert not array.any()


@each_case
def test_a_pullback_may_be_called_twice_and_is_linear(case: Case) -> None:
    call = case.draw()
    _, pullback = call.run(heedful.attention_vjp)
    once, twice, doubled = pullback(call.dout), pullback(call.dout), pullback(2 * call.dout)
    for one, two, double in zip(once, twice, doubled, strict=True):
        if one is not None:
            assert_same_bits(one, two)
            np.testing.assert_array_equal(2 * one, double)


def objective(call: Call, **changed: Any) -> float:
    inputs = [changed.pop(name, getattr(call, name)) for name in ("query", "key", "value")]
    options = {**call.options, **changed}
    out, weights = heedful.attention(*inputs, **options, return_weights=True)
    return float((out * call.dout).sum() + (weights * call.dweights).sum())


@each_case
def test_gradients_match_finite_differences(case: Case) -> None:
    """Of every input at once along a random direction, and of α of each head."""
    call = case.draw()
    alphas = np.broadcast_to(alphas_of(case), case.H).astype(float)
    call.options["normalizer"] = alphas = np.minimum(alphas, 2 - 1e-4)
    _, pullback = call.run(heedful.attention_vjp, return_weights=True)
    gradients = pullback(call.dout, dweights=call.dweights)
    assert gradients.normalizer.shape == (case.H,)
    rng = np.random.default_rng(3)
    arrays = {"query": call.query, "key": call.key, "value": call.value, "normalizer": alphas}
    if "bias" in call.options:
        arrays["bias"] = call.options["bias"]
    for name, array in arrays.items():
        direction, step = rng.standard_normal(array.shape), 1e-6
        above = objective(call, **{name: array + step * direction})
        below = objective(call, **{name: array - step * direction})
        gradient = getattr(gradients, name)
        expected = (gradient * direction).sum()
        size = np.linalg.norm(gradient) * np.linalg.norm(direction)
        # a weight that becomes 0 within the step bends the line
        assert abs((above - below) / (2 * step) - expected) < 3e-5 * (size + 1), name


def alphas_of(case: Case) -> Any:
    normalizer = case.options["normalizer"]
    return {"sparsemax": 2.0, "entmax15": 1.5}.get(normalizer, normalizer)


def test_the_gradient_of_alpha_has_its_type_and_shape(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 3, 5, 4), dtype=np.float32)
    alphas = np.array([1.2, 1.5, 1.8], np.float32)
    out, pullback = heedful.attention_vjp(x, x, x, normalizer=alphas)
    gradients = pullback(out)
    assert isinstance(gradients, heedful.NormalizerGradients)
    assert (gradients.normalizer.dtype, gradients.normalizer.shape) == (np.float32, (3,))
    _, pullback = heedful.attention_vjp(x, x, x, normalizer=[1.2, 1.5, 1.8])
    assert pullback(out).normalizer.dtype == np.float64
    _, pullback = heedful.attention_vjp(x, x, x, normalizer=1.2)
    assert isinstance(pullback(out), heedful.Gradients)


def test_the_gradient_of_alpha_of_one_head_without_an_axis_of_heads(
    rng: np.random.Generator,
) -> None:
    x = rng.standard_normal((5, 4))
    one, pullback = heedful.attention_vjp(x, x, x, normalizer=[1.5])
    many, pullback_of_many = heedful.attention_vjp(x[None], x[None], x[None], normalizer=[1.5])
    assert_same_bits(one, many[0])
    assert_same_bits(pullback(one).normalizer, pullback_of_many(many).normalizer)
    single, pullback = heedful.attention_vjp(x[0], x, x, normalizer=[1.5])
    assert single.shape == (4,)
    assert pullback(single).normalizer.shape == (1,)


def test_blocks_whose_weights_are_zero_are_skipped(rng: np.random.Generator) -> None:
    """Keys far from a query's block: gradients are exact zeros where nobody attends."""
    length, depth = 1536, 16
    places = np.repeat(np.arange(length // 256), 256)
    x = np.zeros((1, length, depth), np.float32)
    x[0, np.arange(length), places] = 20
    x += rng.standard_normal(x.shape).astype(np.float32) * 0.1
    out, pullback = heedful.attention_vjp(x, x, x, normalizer="entmax15")
    dout = np.zeros_like(out)
    dout[:, :256] = rng.standard_normal((256, depth))
    gradients = pullback(dout)
    for gradient in gradients[:3]:
        assert not gradient[:, 256:].any()
        assert gradient[:, :256].any()


MEMORY = """
import numpy as np, heedful
from heedful.benchmark.memory import highest
heads, depth = 1, 16
def extra(length, normalizer, gradients):
    x = np.ones((1, heads, length, depth), np.float32)
    x += np.random.default_rng(0).standard_normal(x.shape, dtype=np.float32)
    def call():
        if gradients:
            out, pullback = heedful.attention_vjp(x, x, x, normalizer=normalizer)
            return pullback(out)
        return heedful.attention(x, x, x, normalizer=normalizer)
    return highest(call)
heedful.set_num_threads(2)
for normalizer in ("entmax15", [1.3]):
    for gradients in (False, True):
        extra(256, normalizer, gradients)
        print(extra(16_384, normalizer, gradients))
"""


def test_memory_is_linear_in_the_lengths() -> None:
    """16,384 scores of each row would take a gigabyte."""
    ended = subprocess.run(
        [sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True
    )
    for line in ended.stdout.split():
        assert int(line) < 40e6
