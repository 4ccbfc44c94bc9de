"""Options of other libraries' attention are answered with heedful's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import heedful

pytestmark = pytest.mark.once

X = np.ones((2, 4, 8), np.float32)
STARTS = [0, 2]
PACKED = (np.ones((2, 4, 8)), np.ones((2, 4, 8)), np.ones((2, 4, 8)), STARTS, STARTS)
PAGES = (X[:, :1], X[:, None], X[:, None], [[0], [1]], [1, 1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: heedful.attention(X, X, X, attn_mask=None),
            "attention: attn_mask is not supported: write mask, where True may attend, or bias for",
        ),
        (
            lambda: heedful.attention(X, X, X, is_causal=True),
            "attention: is_causal is not supported: write causal=True",
        ),
        (lambda: heedful.attention(X, X, X, enable_gqa=True), "enable_gqa .* leave it out"),
        (lambda: heedful.attention(X, X, X, key_padding_mask=X), r"mask=~key_padding_mask\[:, "),
        (lambda: heedful.attention(X, X, X, need_weights=True), "write return_weights=True"),
        (lambda: heedful.attention(X, X, X, softmax_scale=1.0), "not supported: write scale"),
        (lambda: heedful.attention(X, X, X, window_size=(1, 1)), r"write window=\(left, right\)"),
        (lambda: heedful.attention(X, X, X, dropout=0.1), "not supported: write dropout_p"),
        (lambda: heedful.attention(X, X, X, use_causal_mask=True), "write causal=True"),
        (lambda: heedful.attention(X, X, X, num_heads=2), "write heedful.multi_head_attention"),
        (lambda: heedful.attention_vjp(X, X, X, is_causal=True), "attention_vjp: is_causal is not"),
        (
            lambda: heedful.attention_backward(X, X, X, X, X, X[..., 0], is_causal=True),
            "attention_backward: is_causal",
        ),
        (lambda: heedful.attention_scores(X, X, attn_mask=X), "attention_scores: attn_mask is not"),
        (lambda: heedful.attention_weights(X, X, is_causal=True), "attention_weights: is_causal"),
        (
            lambda: heedful.attention_varlen(*PACKED, max_seqlen_q=2),
            "attention_varlen: max_seqlen_q is not supported: leave it out",
        ),
        (
            lambda: heedful.attention_varlen_vjp(*PACKED, softmax_scale=2.0),
            "attention_varlen_vjp: softmax_scale is not supported: write scale",
        ),
        (
            lambda: heedful.additive_attention(X, X, X, X[0, 0], attn_mask=X),
            "additive_attention: attn_mask",
        ),
        (
            lambda: heedful.additive_attention_vjp(X, X, X, X[0, 0], return_attention_scores=True),
            "additive_attention_vjp: return_attention_scores is not",
        ),
        (
            lambda: heedful.attention_paged(*PAGES, block_table=[[0]]),
            "attention_paged: block_table is not supported: write page_table",
        ),
        (
            lambda: heedful.functional.attention_penalty(X, X, "entropy", is_causal=True),
            "attention_penalty: is_causal",
        ),
        (lambda: heedful.attention_pool(X, X[0, 0], attention_mask=X), "attention_pool: attention"),
        (
            lambda: heedful.attention_pool_vjp(X, X[0, 0], need_weights=True),
            "attention_pool_vjp: need_weights is not supported: write return_weights=True",
        ),
        (
            lambda: heedful.multi_head_attention(X, X, X, 2, is_causal=True),
            "multi_head_attention: is_causal is not supported: write causal=True",
        ),
        (lambda: heedful.rotary_embedding(X, rope_theta=1e4), "rope_theta is not .* write base"),
    ],
)
def test_an_option_of_another_library_is_answered(call: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call()


@pytest.mark.parametrize(
    "name", ["attention", "attention_scores", "attention_pool", "rotary_embedding"]
)
def test_an_unknown_option_is_reported_as_python_does(name: str) -> None:
    arguments = {"attention": (X, X, X), "attention_pool": (X, X[0, 0]), "rotary_embedding": (X,)}
    with pytest.raises(
        TypeError, match=rf"^{name}\(\) got an unexpected keyword argument 'wrong'$"
    ):
        getattr(heedful, name)(*arguments.get(name, (X, X)), wrong=1)


def test_a_hint_names_an_option_that_the_function_has() -> None:
    """attention_scores returns no weights: there is nothing to write instead."""
    with pytest.raises(TypeError, match="got an unexpected keyword argument 'need_weights'"):
        heedful.attention_scores(X, X, need_weights=True)  # type: ignore[arg-type]


def test_no_option_of_a_function_counts_as_another_librarys() -> None:
    from every_option.options import in_signature

    from heedful.functional._foreign_options import _OPTIONS

    for name in heedful.functional.__all__:
        function = getattr(heedful.functional, name)
        if callable(function) and not isinstance(function, type):
            own = set(in_signature(function))
            assert "foreign" not in own, name
            hidden = {word for word in _OPTIONS if word in own}
            allowed = {"lengths", "num_heads", "attn_mask", "is_causal", "enable_gqa"}
            assert hidden <= allowed, (name, hidden)
