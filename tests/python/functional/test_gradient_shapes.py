"""Gradients of results must have exactly their shapes: nothing is reshaped or broadcast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import heedful
from heedful.testing import gradcheck

pytestmark = pytest.mark.once

S = np.random.default_rng(0).standard_normal((2, 3, 5, 7))
P = np.random.default_rng(1).standard_normal((9, 3, 7))
X = S[:, 0]
STARTS = [0, 4, 9]
ALL = {"return_lse": True, "return_weights": True}

# what the call returns, its pullback
CALLS: dict[str, Callable[[], tuple[Any, Callable[..., Any]]]] = {
    "attention": lambda: heedful.attention_vjp(S, S, S, **ALL),
    "attention, blhd": lambda: heedful.attention_vjp(S, S, S, layout="blhd", **ALL),
    "attention, two axes": lambda: heedful.attention_vjp(X[0], X[0], X[0], **ALL),
    "attention, one axis": lambda: heedful.attention_vjp(X[0, 0], X[0], X[0], **ALL),
    "additive_attention": lambda: heedful.additive_attention_vjp(S, S, S, np.ones(7), **ALL),
    "attention_varlen": lambda: heedful.attention_varlen_vjp(
        P, P, P, STARTS, STARTS, return_lse=True
    ),
    "attention_pool": lambda: heedful.attention_pool_vjp(X, np.ones(7), return_weights=True),
    "attention_pool, several": lambda: heedful.attention_pool_vjp(
        X, np.ones((4, 7)), return_weights=True
    ),
    "attention_pool, key": lambda: heedful.attention_pool_vjp(
        X, np.ones(6), key=S[:, 1, :, :6], return_weights=True
    ),
    "attention_pool, one": lambda: heedful.attention_pool_vjp(
        X[0], np.ones(7), return_weights=True
    ),
}


def others(array: np.ndarray) -> dict[str, Any]:
    """The same elements in other shapes, and shapes that would broadcast to this one."""
    found: dict[str, Any] = {
        "transposed": array.T,
        "first axis last": array.transpose(*range(1, array.ndim), *range(min(array.ndim, 1))),
        "flat": array.reshape(-1),
        "one axis more": array[None],
        "one axis after": array[..., None],
        "a scalar": np.float64(1.0),
        "a number": 1.0,
        "one row": array[:1] if array.ndim else array,
        "one column": array[..., :1] if array.ndim else array,
        "a list": array.T.tolist(),
    }
    return {name: other for name, other in found.items() if np.shape(other) != array.shape}


@pytest.mark.parametrize("name", CALLS)
def test_every_other_shape_is_refused_by_name(name: str) -> None:
    results, pullback = CALLS[name]()
    first = "dy" if "pool" in name else "dout"
    kinds = [first, "dweights"] if "pool" in name else [first, "dlse", "dweights"]
    out = results[0]
    for place, (kind, result) in enumerate(zip(kinds, results, strict=False)):
        for other in others(result).values():
            with pytest.raises(ValueError) as caught:  # noqa: PT011
                pullback(other) if place == 0 else pullback(out, **{kind: other})
            message = f"{kind} must have shape {result.shape}: got {np.shape(other)}"
            assert str(caught.value) == message
    pullback(out.tolist())  # lists are arrays


@pytest.mark.parametrize("name", CALLS)
def test_every_type_that_is_no_number_is_refused_by_name(name: str) -> None:
    results, pullback = CALLS[name]()
    out, first = results[0], "dy" if "pool" in name else "dout"
    for dtype in (complex, object, str, "M8[s]", np.longdouble):
        with pytest.raises(TypeError, match=f"^{first} must be of type float32, float64"):
            pullback(out.astype(int).astype(dtype) if dtype == "M8[s]" else out.astype(dtype))


@pytest.mark.parametrize("array", ["dout", "out", "lse", "dlse"])
def test_attention_backward_too(array: str) -> None:
    out, lse = heedful.attention(S, S, S, return_lse=True)
    given = {"dout": out, "out": out, "lse": lse, "dlse": lse}
    for other in others(given[array]).values():
        with pytest.raises(ValueError, match=f"^{array} must have shape"):
            heedful.attention_backward(query=S, key=S, value=S, **{**given, array: other})


def test_the_gradients_of_the_weights_of_a_pool(rng: np.random.Generator) -> None:
    query, key = rng.standard_normal((4, 6)), rng.standard_normal((2, 5, 6))

    def pool(*arrays: np.ndarray) -> Any:
        x, query, key = arrays
        found, pullback = heedful.attention_pool_vjp(x, query, key=key, return_weights=True)
        return found, lambda dy, da: pullback(dy, dweights=da)

    assert gradcheck(pool, X, query, key)
