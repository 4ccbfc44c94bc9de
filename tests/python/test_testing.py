"""gradcheck and assert_close accept what is right and name what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import heedful
from heedful.testing import assert_close, gradcheck

Array = NDArray[Any]


@pytest.fixture
def inputs(rng: np.random.Generator) -> tuple[Array, Array, Array]:
    query, key, value = rng.standard_normal((3, 2, 3, 4))
    return query, key, value


def cube(x: Array) -> tuple[Array, Callable[[Array], Array]]:
    return x**3, lambda dout: 3 * x**2 * dout


def wrong_cube(x: Array) -> tuple[Array, Callable[[Array], Array]]:
    """Right but for one entry of the gradient."""

    def pullback(dout: Array) -> Array:
        gradient = 3 * x**2 * dout
        gradient[1, 2] *= 1.001
        return gradient

    return x**3, pullback


def test_a_right_gradient_is_accepted(rng: np.random.Generator) -> None:
    assert gradcheck(cube, rng.standard_normal((2, 3)))


def test_a_wrong_entry_is_named(rng: np.random.Generator) -> None:
    with pytest.raises(AssertionError, match=r"input 0 is wrong at \(1, 2\): got .*, differences"):
        gradcheck(wrong_cube, rng.standard_normal((2, 3)))


def test_attention_passes(inputs: tuple[Array, ...]) -> None:
    assert gradcheck(heedful.attention_vjp, *inputs)


def test_attention_with_everything_passes(
    inputs: tuple[Array, ...], rng: np.random.Generator
) -> None:
    def function(query: Array, key: Array, value: Array, bias: Array, sink: Array) -> Any:
        return heedful.attention_vjp(
            query, key, value, bias=bias, sink=sink, causal=True, window=(1, None), softcap=2.0,
            q_lengths=2, dropout_p=0.3, rng=5, return_lse=True, return_weights=True,
        )  # fmt: skip

    bias = rng.standard_normal((2, 1, 3))
    bias[1, 0, 1] = -np.inf
    assert gradcheck(function, *inputs, bias, rng.standard_normal(2))


def test_packed_sequences_pass(rng: np.random.Generator) -> None:
    def function(query: Array, key: Array, value: Array, sink: Array) -> Any:
        return heedful.attention_varlen_vjp(
            query, key, value, [0, 2, 4], [0, 3, 5], sink=sink, causal=True, align="lower_right",
            dropout_p=0.2, rng=3, return_lse=True,
        )  # fmt: skip

    query, key = rng.standard_normal((5, 2, 3)), rng.standard_normal((6, 2, 3))
    assert gradcheck(function, query, key, rng.standard_normal((6, 2, 2)), rng.standard_normal(2))


def test_a_wrong_scale_in_the_backward_is_found(inputs: tuple[Array, ...]) -> None:
    def function(query: Array, key: Array, value: Array) -> Any:
        out, _ = heedful.attention_vjp(query, key, value, scale=0.5)
        return out, heedful.attention_vjp(query, key, value, scale=0.51)[1]

    with pytest.raises(AssertionError, match="the gradient of input 0 is wrong"):
        gradcheck(function, *inputs)


def test_a_gradient_of_the_wrong_shape_is_found() -> None:
    with pytest.raises(AssertionError, match=r"must have shape \(2,\): got \(2, 1\)"):
        gradcheck(lambda x: (x, lambda dout: dout[:, None]), np.ones(2))


def test_a_gradient_that_is_nan_is_found() -> None:
    with pytest.raises(AssertionError, match=r"input 0 is wrong at \(0,\): got nan"):
        gradcheck(lambda x: (x, lambda dout: dout * np.nan), np.ones(2))


def test_as_many_gradients_as_inputs_are_wanted() -> None:
    with pytest.raises(ValueError, match="each of 2 inputs: got 1"):
        gradcheck(lambda x, y: (x + y, lambda dout: dout), np.ones(2), np.ones(2))


@pytest.mark.parametrize("wrong", [np.ones(2, np.float32), [1.0, 2.0], np.ones(2, int)])
def test_only_float64_can_be_differenced(wrong: Any) -> None:
    with pytest.raises(
        TypeError, match=r"input 1 must be a float64 array: got (float32|list|int64)"
    ):
        gradcheck(lambda x, y: (x, lambda dout: (dout, dout)), np.ones(2), wrong)


def test_inputs_are_left_as_they_were(inputs: tuple[Array, ...]) -> None:
    copies = [array.copy() for array in inputs]
    gradcheck(heedful.attention_vjp, *inputs)
    for array, copy in zip(inputs, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_large_inputs_are_sampled() -> None:
    calls = 0

    def counted(x: Array) -> tuple[Array, Callable[[Array], Array]]:
        nonlocal calls
        calls += 1
        return cube(x)

    gradcheck(counted, np.linspace(0, 1, 10_000), samples=7)
    assert calls == 1 + 2 * 7


@pytest.mark.parametrize(
    ("kind", "off"), [("float64", 1e-9), ("float32", 1e-4), ("float16", 1e-2), ("bfloat16", 0.1)]
)
def test_tolerance_goes_by_the_coarser_type(kind: str, off: float) -> None:
    dtype = pytest.importorskip("ml_dtypes").bfloat16 if kind == "bfloat16" else np.dtype(kind)
    expected = np.array([[0.25, -3.0], [1.5, 2.0]])
    assert_close(expected.astype(dtype), expected)
    assert_close(expected, expected.astype(dtype))
    with pytest.raises(AssertionError, match=r"sums differs at \(1, 0\)"):
        assert_close(
            (expected + off * 3 * np.eye(2)[::-1] * [1, 0]).astype(dtype), expected, name="sums"
        )


def test_nan_and_infinities_must_stand_in_the_same_places() -> None:
    strange = np.array([np.nan, np.inf, -np.inf, 1.0])
    assert_close(strange, strange)
    for place in range(4):
        for other in (np.nan, np.inf, -np.inf, 1.0):
            changed = strange.copy()
            changed[place] = other
            if not np.array_equal(changed, strange, equal_nan=True):
                with pytest.raises(AssertionError, match=rf"differs at \({place},\)"):
                    assert_close(changed, strange)


def test_shapes_must_agree() -> None:
    with pytest.raises(AssertionError, match=r"result must have shape \(2,\): got \(2, 1\)"):
        assert_close([[1.0], [2.0]], [1.0, 2.0])


def test_tolerances_may_be_given() -> None:
    assert_close([1.0, 2.0], [1.0, 2.5], atol=0.5)
    assert_close([1.0, 2.0], [1.0, 2.5], rtol=0.2)
    with pytest.raises(AssertionError, match=r"off by 0\.5, allowed 0\.475"):
        assert_close([1.0, 2.0], [1.0, 2.5], rtol=0.19)


def test_nothing_is_close_to_nothing() -> None:
    assert_close(np.zeros((0, 3)), np.zeros((0, 3), np.float32))
