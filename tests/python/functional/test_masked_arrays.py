"""A masked array is refused wherever an array is taken: what it masks would be used silently."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import heedful
from heedful import testing

pytestmark = pytest.mark.once

X = np.ones((2, 1, 4, 3))
P = np.ones((7, 1, 3))  # packed
STARTS = [0, 3, 7]
OUT, LSE = heedful.attention(X, X, X, return_lse=True)


def masked(given: Any) -> Any:
    array = np.ma.array(given)
    array[(0,) * array.ndim] = np.ma.masked
    return array


def backward(**changed: Any) -> Any:
    options = {
        "dout": OUT, "query": X, "key": X, "value": X, "out": OUT, "lse": LSE, "dlse": LSE,
    } | changed  # fmt: skip
    return heedful.attention_backward(**options)


def pullback(*arguments: Any, **named: Any) -> Any:
    _, run = heedful.attention_vjp(X, X, X, return_lse=True, return_weights=True)
    return run(*arguments, **named)


WEIGHTS = np.ones((2, 1, 4, 4))
# name of the argument, a good one, the call
TAKEN: list[tuple[str, Any, Callable[[Any], Any]]] = [
    ("query", X, lambda a: heedful.attention(a, X, X)),
    ("key", X, lambda a: heedful.attention_scores(X, a)),
    ("key", X, lambda a: heedful.attention_weights(X, a)),
    ("value", X, lambda a: heedful.attention_vjp(X, X, a)),
    ("mask", np.ones((4, 4), bool), lambda a: heedful.attention(X, X, X, mask=a)),
    ("bias", np.ones((4, 4)), lambda a: heedful.attention(X, X, X, bias=a)),
    ("alibi_slopes", [1.0], lambda a: heedful.attention(X, X, X, alibi_slopes=a)),
    ("sink", [1.0], lambda a: heedful.attention(X, X, X, sink=a)),
    ("q_lengths", [4, 1], lambda a: heedful.attention(X, X, X, q_lengths=a)),
    ("kv_lengths", [4, 1], lambda a: heedful.attention(X, X, X, kv_lengths=a)),
    ("kv_lengths", [4, 1], lambda a: heedful.attention_vjp(X, X, X, kv_lengths=a)),
    ("kv_lengths", 4, lambda a: heedful.attention(X[0], X[0], X[0], kv_lengths=a)),
    ("align", [0, 1], lambda a: heedful.attention(X, X, X, causal=True, align=a)),
    ("rows", [0, 1], lambda a: heedful.attention_scores(X, X, rows=a)),
    ("rows", [0, 1], lambda a: heedful.attention_weights(X, X, rows=a)),
    ("scale", 1.0, lambda a: heedful.attention(X, X, X, scale=a)),
    ("softcap", 1.0, lambda a: heedful.attention(X, X, X, softcap=a)),
    ("dropout_p", 0.5, lambda a: heedful.attention(X, X, X, dropout_p=a)),
    ("cu_seqlens_q", STARTS, lambda a: heedful.attention_varlen(P, P, P, a, STARTS)),
    ("cu_seqlens_k", STARTS, lambda a: heedful.attention_varlen(P, P, P, STARTS, a)),
    ("cu_seqlens_k", STARTS, lambda a: heedful.attention_varlen_vjp(P, P, P, STARTS, a)),
    ("q_lengths", [3, 4],
     lambda a: heedful.attention_varlen(P, P, P, STARTS, STARTS, q_lengths=a)),
    ("value", P, lambda a: heedful.attention_varlen(P, P, a, STARTS, STARTS)),
    ("dout", OUT, lambda a: pullback(a)),
    ("dlse", LSE, lambda a: pullback(OUT, dlse=a)),
    ("dweights", WEIGHTS, lambda a: pullback(OUT, dweights=a)),
    ("dout", OUT, lambda a: backward(dout=a)),
    ("out", OUT, lambda a: backward(out=a)),
    ("lse", LSE, lambda a: backward(lse=a)),
    ("dlse", LSE, lambda a: backward(dlse=a)),
    ("outs[1]", OUT, lambda a: heedful.merge_attention([OUT, a], [LSE, LSE])),
    ("lses[1]", LSE, lambda a: heedful.merge_attention([OUT, OUT], [LSE, a])),
    ("weight", [1.0, 2.0, 3.0], lambda a: heedful.additive_attention(X, X, X, a)),
    ("kv_lengths", [4, 1],
     lambda a: heedful.additive_attention_vjp(X, X, X, np.ones(3), kv_lengths=a)),
    ("x", X[:, 0], lambda a: heedful.attention_pool(a, np.ones(3))),
    ("query", np.ones(3), lambda a: heedful.attention_pool(X[:, 0], a)),
    ("key", X[:, 0], lambda a: heedful.attention_pool(X[:, 0], np.ones(3), key=a)),
    ("mask", np.ones((2, 4), bool),
     lambda a: heedful.attention_pool(X[:, 0], np.ones(3), mask=a)),
    ("lengths", [4, 1], lambda a: heedful.attention_pool(X[:, 0], np.ones(3), lengths=a)),
    ("dy", np.ones((2, 3)), lambda a: heedful.attention_pool_vjp(X[:, 0], np.ones(3))[1](a)),
    ("query", X[:, 0], lambda a: heedful.multi_head_attention(a, X[:, 0], X[:, 0], 3)),
    ("kv_lengths", [4, 1],
     lambda a: heedful.multi_head_attention(*(X[:, 0],) * 3, 3, kv_lengths=a)),
    ("attn_mask", np.ones((4, 4), bool),
     lambda a: heedful.scaled_dot_product_attention(X, X, X, a)),
    ("x", X[..., :2], heedful.rotary_embedding),
    ("positions", [0, 1, 2, 3], lambda a: heedful.rotary_embedding(X[..., :2], a)),
    ("base", 10.0, lambda a: heedful.rotary_embedding(X[..., :2], base=a)),
    ("actual", X, lambda a: testing.assert_close(a, X)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "good", "call"), TAKEN)
@pytest.mark.parametrize("dtype", [None, "narrow"])
def test_a_masked_array_is_refused_by_name(
    name: str, good: Any, call: Callable[[Any], Any], dtype: str | None
) -> None:
    bad = masked(good)
    if dtype and bad.dtype.kind in "fi":
        bad = bad.astype(np.float32 if bad.dtype.kind == "f" else np.int32)
    shown = name.replace("[", r"\[").replace("]", r"\]")
    message = f"^{shown} must be a plain array: got a masked array"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        call(good)
        with pytest.raises(TypeError, match=message):
            call(bad)


IN_LISTS = [entry for entry in TAKEN if np.ndim(entry[1]) and entry[0] != "rows"]


@pytest.mark.parametrize(("name", "good", "call"), IN_LISTS)
@pytest.mark.parametrize("kind", [list, tuple])
def test_so_is_a_list_of_them(
    name: str, good: Any, call: Callable[[Any], Any], kind: Callable[[Any], Any]
) -> None:
    whole = masked(good)
    shown = name.replace("[", r"\[").replace("]", r"\]")
    for bad in (kind(whole), nested(whole, kind)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(TypeError, match=rf"^{shown} must be a plain array: got a masked"):
                call(bad)


def nested(given: Any, kind: Callable[[Any], Any]) -> Any:
    """Down to single elements, one of which is numpy.ma.masked."""
    return kind(nested(inner, kind) for inner in given) if given.ndim else given


def test_out_is_refused_too() -> None:
    for call in (
        lambda out: heedful.attention(X, X, X, out=out),
        lambda out: heedful.attention_varlen(P, P, P, STARTS, STARTS, out=out),
        lambda out: heedful.additive_attention(X, X, X, np.ones(3), out=out),
    ):
        with pytest.raises(TypeError, match=r"^out must be a plain array: got a masked array$"):
            call(masked(np.zeros_like(X)))


@pytest.mark.parametrize(
    "given",
    [
        np.ones((4, 3), object),
        np.zeros((4, 3), "M8[s]"),
        np.zeros((4, 3), "m8[s]"),
        np.full((4, 3), "1"),
        np.full((4, 3), b"1"),
        np.zeros((4, 3), [("real", float)]),
        np.zeros((4, 3), complex),
    ],
)
def test_foreign_types_do_not_pass_either(given: Any) -> None:
    x = np.ones((4, 3))
    for arrays in ((given, x, x), (x, given, x), (x, x, given)):
        with pytest.raises(TypeError, match=r"^(query|key|value) must be of type"):
            heedful.attention(*arrays)
    for name, call in (
        ("q_lengths", lambda: heedful.attention(x, x, x, q_lengths=given[:1, 0].reshape(()))),
        ("rows", lambda: heedful.attention_scores(x, x, rows=given[:, 0])),
        ("positions", lambda: heedful.rotary_embedding(x[:, :2], given[:, 0])),
        ("cu_seqlens_q", lambda: heedful.attention_varlen(P, P, P, given[:3, 0], STARTS)),
    ):
        with pytest.raises(TypeError, match=rf"^{name} must be integers"):
            call()


def test_other_subclasses_count_as_their_elements(rng: np.random.Generator) -> None:
    x = rng.standard_normal((5, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        matrix = np.matrix(x)
    expected = heedful.attention(x, x, x)
    for given in (matrix, list(map(list, matrix.A)), x.view(np.memmap)):
        out = heedful.attention(given, given, given)
        assert type(out) is np.ndarray
        np.testing.assert_array_equal(out, expected)


def test_a_list_that_holds_itself_ends_in_an_error() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises((TypeError, ValueError)):
        heedful.attention(endless, X, X)
