"""Messages name the caller's own arguments, also where a function calls another one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from heedful import (
    additive_attention,
    attention_pool,
    attention_pool_vjp,
    attention_scores,
    attention_varlen,
    attention_weights,
    merge_attention,
    multi_head_attention,
    scaled_dot_product_attention,
)

pytestmark = pytest.mark.once

X = np.ones((2, 5, 3))  # (B, L, E)
KEY = np.ones((2, 5, 7))  # (B, L, D)
S = np.ones((2, 3, 5, 7))  # (B, H, L, D)
T = np.ones((9, 3, 7))  # (tokens, H, D)
SPLIT = [0, 4, 9]
W = np.ones((2, 5, 12))
HALF, BRAIN = np.float16, ml_dtypes.bfloat16


def pool(*arguments: Any, **options: Any) -> Callable[[], Any]:
    return lambda: attention_pool(*arguments, **options)


def sdpa(*arguments: Any, **options: Any) -> Callable[[], Any]:
    return lambda: scaled_dot_product_attention(*arguments, **options)


def heads(*arguments: Any, **options: Any) -> Callable[[], Any]:
    return lambda: multi_head_attention(*arguments, **options)


def varlen(**options: Any) -> Callable[[], Any]:
    return lambda: attention_varlen(T, T, T, SPLIT, SPLIT, **options)


REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    # attention_pool has x, query, key, mask, lengths
    (pool(X, np.ones(7)), ValueError,
     "query must be as deep as x: query has 7 features, x has 3"),
    (pool(X, np.ones(3), key=KEY), ValueError,
     "query must be as deep as key: query has 3 features, key has 7"),
    (pool(X, np.ones(7), key=KEY[:, :4]), ValueError,
     "key must have an element for each of x: x has 5, key has 4"),
    (pool(X, np.ones(7), key=np.ones((3, 5, 7))), ValueError,
     "the leading axes of x and key must broadcast: x has (2,), key has (3,)"),
    (pool(X.astype(complex), np.ones(3)), TypeError,
     "x must be of type float32, float64, float16, bfloat16, integer or bool: got complex128"),
    (pool(X, np.ones(7), key=KEY.astype(object)), TypeError, "key must be of type "),
    (pool(X, ["a", "b", "c"]), TypeError, "query must be of type "),
    (pool(X.astype(HALF), np.ones(3, BRAIN)), TypeError,
     "x and query must not mix float16 and bfloat16: got float16, bfloat16"),
    (pool(X.astype(HALF), np.ones(7), key=KEY.astype(BRAIN)), TypeError,
     "x, key and query must not mix float16 and bfloat16"),
    (pool(X, np.ones(3), lengths=[5, 6]), ValueError,
     "lengths must lie between 0 and 5: got 6 for item 1"),
    (pool(X, np.ones(3), lengths=[5]), ValueError,
     "lengths must have shape (2,), that of the leading axes: got shape (1,)"),
    (pool(X, np.ones(3), lengths=[5.0, 5.0]), TypeError, "lengths must be integers: got 5.0"),
    (pool(X, np.ones(3), lengths=[5, 2**70]), ValueError,
     f"lengths must lie between 0 and 5: got {2**70} for item 1"),
    (pool(X, np.ones(3), mask=np.ones((5, 2), bool)), ValueError,
     "mask must broadcast to (B…, L), here (2, 5): got shape (5, 2)"),
    (pool(X, np.ones(3), mask=np.ones((3, 2, 5))), ValueError,
     "mask must broadcast to (B…, L), here (2, 5): got shape (3, 2, 5)"),
    (pool(X, np.ones(3), mask=np.ones((2, 5), int)), TypeError,
     "mask must be boolean or floating: got type int64"),
    (pool(X, np.ones(3), mask=np.ones((2, 5), complex)), TypeError,
     "mask must be boolean or floating: got type complex128"),
    (pool(X, np.ones(3), return_weights=1), TypeError,
     "return_weights must be True or False: got 1"),
    (pool(X, np.ones(3), scale=np.nan), ValueError, "scale must be finite: got nan"),
    (lambda: attention_pool_vjp(X, np.ones(3))[1](np.ones((2, 3)), np.ones((2, 5))), ValueError,
     "dweights must be None: the call had no return_weights=True"),
    # scaled_dot_product_attention has attn_mask
    (sdpa(S, S, S, np.ones((5, 7), bool)), ValueError,
     "attn_mask must broadcast to (…, L, S), here (2, 3, 5, 5): got shape (5, 7)"),
    (sdpa(S, S, S, np.ones((5, 7))), ValueError,
     "attn_mask must broadcast to (…, L, S), here (2, 3, 5, 5): got shape (5, 7)"),
    (sdpa(S, S[:1], S, np.ones((3, 2, 5, 5))), ValueError,
     "attn_mask must broadcast to (…, L, S), here (2, 3, 5, 5): got shape (3, 2, 5, 5)"),
    (sdpa(S[0, 0], S[0, 0], S[0, 0], np.ones((2, 5))), ValueError,
     "attn_mask must broadcast to (…, L, S), here (5, 5): got shape (2, 5)"),
    (sdpa(S, S, S, np.ones((5, 5), complex)), TypeError,
     "attn_mask must be boolean or floating: got type complex128"),
    (sdpa(S, S, S, np.ones((5, 5), np.longdouble)), TypeError,
     "attn_mask must be boolean or floating: got type "),
    (sdpa(S, S, S, [[1, 0]]), TypeError, "attn_mask must be boolean or floating: got type int64"),
    (sdpa(S, S, S, is_causal=1), TypeError, "is_causal must be True or False: got 1"),
    (sdpa(S, S, S, enable_gqa="yes"), TypeError, "enable_gqa must be True or False: got 'yes'"),
    # multi_head_attention has num_heads, num_kv_heads and heads side by side
    (heads(W, W[..., :9], W[..., :9], 3), ValueError,
     "query and key must have heads of the same depth: query has 4 in each of 3, key has 3"),
    (heads(W, W, W, 3, num_kv_heads=2), ValueError,
     "num_kv_heads must divide num_heads: got num_heads=3, num_kv_heads=2"),
    (heads(W, W, W, 5), ValueError, "num_heads must divide the last axis of query: got 12 and 5"),
    (heads(W, W[..., :7], W, 4, num_kv_heads=2), ValueError,
     "num_kv_heads must divide the last axis of key: got 7 and 2"),
    (heads(W, W, W, 2**70), ValueError,
     f"num_heads must be at most {2**63 - 1}: got {2**70}"),
    (heads(W, W, W[:, :4], 3), ValueError,
     "value and key must have the same length: key has 5, value has 4"),
    (heads(W, W, W, 3, dropout=0.1), TypeError,
     "multi_head_attention: dropout is not supported: write dropout_p"),
    # attention_scores and attention_weights have no value
    (lambda: attention_scores(S, np.ones((3, 3, 5, 7))), ValueError,
     "the leading axes of query and key must broadcast: query has (2,), key has (3,)"),
    (lambda: attention_weights(S.astype(HALF), S.astype(BRAIN)), TypeError,
     "query and key must not mix float16 and bfloat16: got float16, bfloat16"),
    # packed sequences have no leading axes
    (varlen(q_lengths=[4]), ValueError,
     "q_lengths must have shape (2,), one for each sequence: got shape (1,)"),
    (varlen(kv_lengths=[[4, 5]]), ValueError,
     "kv_lengths must have shape (2,), one for each sequence: got shape (1, 2)"),
    (varlen(causal=True, align=[0, 0, 0]), ValueError,
     ("align must be a single integer or have shape (2,), one for each sequence: "
      "got shape (3,)")),
    # pieces from any iterable
    (lambda: merge_attention({"a": S}, [S[..., 0]]), TypeError,
     "outs must be a sequence of arrays: got {"),
    (lambda: merge_attention([S], 1.0), TypeError,
     "lses must be a sequence of arrays: got 1.0"),
    (lambda: merge_attention(None, None), TypeError,
     "outs must be a sequence of arrays: got None"),
    (lambda: merge_attention(np.float64(1), []), TypeError,
     "outs must be a sequence of arrays: got "),
    (lambda: merge_attention("ab", "cd"), TypeError,
     "outs must be a sequence of arrays: got 'ab'"),
    (lambda: merge_attention({1.0}, [1.0]), TypeError, "outs must be a sequence of arrays: got {"),
    (lambda: merge_attention(iter(()), iter(())), ValueError,
     "outs must hold one piece at least: got none"),
    (lambda: merge_attention((s for s in (S, S)), [S[..., 0]]), ValueError,
     "outs and lses must have the same length: got 2 and 1"),
    (lambda: additive_attention(S, S[:, :2], S[:, :2], np.ones(7)), ValueError,
     "the heads of query must be a multiple of the heads of key: query has 3, key has 2"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "says"), REFUSED)
def test_is_refused_with_the_argument_names_of_the_caller(
    call: Callable[[], Any], kind: type[Exception], says: str
) -> None:
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert says in message
    assert "\n" not in message


def test_merging_takes_pieces_from_any_iterable(rng: np.random.Generator) -> None:
    outs, lses = rng.standard_normal((3, 2, 5, 7)), rng.standard_normal((3, 2, 5))
    expected = merge_attention(list(outs), list(lses))
    for given in (
        (iter(outs), iter(lses)),
        ((out for out in outs), (lse for lse in lses)),
        (outs, lses),
        (dict(enumerate(outs)).values(), tuple(lses)),
        zip(*zip(outs, lses, strict=True), strict=True),
    ):
        for one, other in zip(merge_attention(*given), expected, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("mask", [True, False, np.True_, np.array(True), 0.5, np.array(-np.inf)])
def test_a_mask_of_no_axes_holds_for_every_element(mask: Any) -> None:
    whole = np.full((2, 5), mask)
    for one, other in zip(
        attention_pool(X, np.ones(3), mask=mask, return_weights=True),
        attention_pool(X, np.ones(3), mask=whole, return_weights=True),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
