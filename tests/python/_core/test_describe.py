"""describe: calls that look the same, and only these, have equal descriptions."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

import heedful
from heedful._core import native

pytestmark = pytest.mark.once

Q = np.ones((2, 4, 3, 5), np.float32)
K = np.ones((2, 2, 7, 5), np.float32)
UNALIGNED = np.zeros(K.nbytes + 1, np.int8)[1:].view(np.float32).reshape(K.shape)


def describe(**other: Any) -> bytes | None:
    names = ("query", "key", "value", "mask", "bias", "alibi_slopes", "sink")
    arrays: dict[str, Any] = {**dict.fromkeys(names), "query": Q, "key": K, "value": K}
    options: dict[str, Any] = {"layout": "bhld", "causal": False, "window": None, "align": None}
    for name, value in other.items():
        (arrays if name in arrays else options)[name] = value
    return native.describe(tuple(arrays.values()), tuple(options.values()))


DIFFERENT: dict[str, dict[str, Any]] = {
    "plain": {},
    "shape": {"key": K[..., :6, :]},
    "axes": {"query": Q[0]},
    "type": {"key": K.astype(np.float64)},
    "integers": {"key": K.astype(np.int32)},
    "unsigned integers": {"key": K.astype(np.uint32)},
    "byte order": {"key": K.astype(K.dtype.newbyteorder())},
    "unaligned": {"key": UNALIGNED},
    "mask": {"mask": np.ones((3, 7), bool)},
    "bias": {"bias": np.ones((3, 7), bool)},
    "slopes": {"alibi_slopes": np.ones(4)},
    "sink": {"sink": np.ones(4)},
    "layout": {"layout": "blhd"},
    "causal": {"causal": True},
    "a number for causal": {"causal": 1},
    "a word for causal": {"causal": "t"},
    "window": {"window": (1, None)},
    "the other side": {"window": (None, 1)},
    "a bool in a window": {"window": (True, None)},
    "a longer window": {"window": (1, None, None)},
    "a word": {"align": "upper_left"},
    "the other word": {"align": "lower_right"},
    "a number": {"align": 3},
    "its negative": {"align": -3},
    "a large number": {"align": 2**63 - 1},
    "a bool": {"align": True},
}


@pytest.mark.parametrize(("one", "other"), [*combinations(DIFFERENT, 2)])
def test_what_differs_in_anything_differs(one: str, other: str) -> None:
    first, second = describe(**DIFFERENT[one]), describe(**DIFFERENT[other])
    assert first is not None
    assert second is not None
    assert first != second


def test_how_many_arrays_and_values_there_are_counts() -> None:
    assert native.describe((Q, None), ()) != native.describe((Q,), (None,))
    assert native.describe((), ((1,), 1)) != native.describe((), (1, (1,)))
    assert native.describe((), ()) is not None


@pytest.mark.parametrize("case", DIFFERENT)
def test_neither_contents_nor_strides_nor_identity_count(case: str) -> None:
    other = {
        name: np.repeat(value, 2, axis=-1)[..., ::2] * value.dtype.type(3)
        if isinstance(value, np.ndarray) and case not in ("byte order", "unaligned")
        else value
        for name, value in DIFFERENT[case].items()
    }
    assert describe(**other) == describe(**DIFFERENT[case])


INDESCRIBABLE: dict[str, dict[str, Any]] = {
    "a list for an array": {"query": [[1.0]]},
    "a number for an array": {"mask": True},
    "a subclass": {"key": np.ma.masked_array(K)},
    "objects": {"key": K.astype(object)},
    "dates": {"key": K.astype("M8[s]")},
    "strings": {"key": K.astype("U1")},
    "records": {"key": np.zeros(3, "f4,f4")},
    "complex numbers": {"key": K.astype(complex)},
    "an array for a value": {"align": np.array([1, 2])},
    "a list for a value": {"window": [1, 2]},
    "a NumPy integer": {"align": np.int64(3)},
    "a NumPy bool": {"causal": np.True_},
    "a float": {"align": 1.0},
    "a number beyond 64 bits": {"align": 2**63},
    "tuples in tuples": {"window": ((1, 2), 3)},
    "more than there is room for": {"window": tuple(range(200))},
    "half a character": {"layout": "\ud800"},
}


@pytest.mark.parametrize("case", INDESCRIBABLE)
def test_the_rest_has_no_description(case: str) -> None:
    assert describe(**INDESCRIBABLE[case]) is None


REFUSED: list[tuple[dict[str, Any], dict[str, Any], type[Exception]]] = [
    ({"causal": True}, {"causal": 1}, TypeError),
    ({"window": (1, 1)}, {"window": (True, 1)}, TypeError),
    ({"window": (1, 1)}, {"window": (1.0, 1)}, TypeError),
    ({"causal": True, "align": 1}, {"causal": True, "align": True}, TypeError),
    ({"mask": np.ones((3, 7), bool)}, {"mask": np.ones((3, 7), np.int8)}, TypeError),
    ({"mask": np.ones((3, 7), bool)}, {"mask": np.ones((3, 6), bool)}, ValueError),
    ({"alibi_slopes": np.ones(4)}, {"alibi_slopes": np.full(4, np.inf)},
     ValueError),
    ({"sink": np.ones(4)}, {"sink": np.ones(4, np.int64)}, TypeError),
    ({"kv_lengths": [7, 7]}, {"kv_lengths": [7, 8]}, ValueError),
    ({"kv_lengths": [7, 7]}, {"kv_lengths": [7.0, 7]}, TypeError),
    ({"scale": 1.0}, {"scale": True}, TypeError),
    ({"scale": 1.0}, {"scale": np.nan}, ValueError),
    ({"softcap": 1.0}, {"softcap": 0.0}, ValueError),
    ({"dropout_p": 0.0}, {"dropout_p": False}, TypeError),
]  # fmt: skip


@pytest.mark.parametrize(("right", "wrong", "error"), REFUSED)
def test_a_valid_call_does_not_excuse_one_that_looks_like_it(
    right: dict[str, Any], wrong: dict[str, Any], error: type[Exception]
) -> None:
    for _ in range(2):
        heedful.attention(Q, K, K, **{"align": 0, **right})
        with pytest.raises(error):
            heedful.attention(Q, K, K, **{"align": 0, **wrong})


def test_more_shapes_than_are_cached_do_no_harm() -> None:
    key = np.ones((1, 1, 3000, 4), np.float32)
    query = key[:, :, :1]
    for length in range(1, 3000):
        out = heedful.attention(query, key[:, :, :length], key[:, :, :length])
        assert out.shape == (1, 1, 1, 4)
    np.testing.assert_array_equal(heedful.attention(query, key[:, :, :1], key[:, :, :1]), query)
