"""Adaptive spans and calls that have no meaning are refused in one sentence."""

from __future__ import annotations

from typing import Any

import pytest
from span_reference import X, span_attention

import heedful


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"adaptive_span": -3}, "adaptive_span must be at least 1: got -3"),
        ({"adaptive_span": 5, "span_ramp": 0.0}, "span_ramp must be finite and above 0: got 0.0"),
        ({"adaptive_span": 5, "span_penalty": -1}, "span_penalty must not be negative: got -1"),
    ],
)
def test_what_has_no_meaning_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"\A{message}\Z"):
        span_attention(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key": X}, "key must be None with adaptive_span, which is of distances in a sequence"),
        ({"align": "lower_right"}, "align must be None, with adaptive_span: got 'lower_right'"),
        ({"return_weights": True}, "return_weights must be False, with adaptive_span: got True"),
        ({"cache": heedful.KVCache(policy=heedful.SinksAndWindow(1, 4))},
         "cache must have no policy with adaptive_span, which drops keys by itself: got "),
        ({"window": 3}, "window must be a pair"),
        ({"kv_lengths": [3, 99]}, "kv_lengths must lie between 0 and 37: got 99"),
    ],
    ids=lambda one: next(iter(one)) if isinstance(one, dict) else "",
)  # fmt: skip
def test_a_call_that_has_no_meaning_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=rf"\A{message}"):
        span_attention()(X, **options)
