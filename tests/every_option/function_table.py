"""Every public function: its arguments, and values of its options."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import heedful
from every_option.options import in_signature
from every_option.results import described
from every_option.values import BELOW_ONE, FINITE, FLAG, POSITIVE, RATE, RNG, SIZE, WORD, Bad

T, V = TypeError, ValueError
rng = np.random.default_rng(20240229)
Q = rng.standard_normal((2, 4, 5, 6))  # (B, H, Lq, D)
K = rng.standard_normal((2, 2, 7, 6))  # (B, Hkv, Lk, D)
VALUE = rng.standard_normal((2, 2, 7, 3))
KEYS = rng.standard_normal((2, 4, 7, 6))  # a head for each of query, as additive attention has
OUT, LSE = heedful.attention(Q, K, VALUE, return_lse=True)
PACKED = rng.standard_normal((9, 4, 6))
STARTS = [0, 4, 9]
X = rng.standard_normal((2, 5, 6))


class Row(NamedTuple):
    name: str
    call: Callable[..., Any]
    needed: dict[str, Any]
    good: dict[str, Any]
    bad: dict[str, Bad]
    function: Any
    more: dict[str, dict[str, Any]] = {}  # noqa: RUF012 - what an option makes sense with


def numeric(like: Any, *shapes: tuple[int, ...]) -> Bad:
    """For a numeric array: other types of the right shape, and wrong shapes."""
    array = np.asarray(like)
    return [
        (array * 1j, T), (array.astype(str), T), (array.astype(object), T),
        (np.ma.masked_array(array, array > 0), T), ([[1.0], [1.0, 2.0]], V),
        *[(np.ones(shape), V) for shape in shapes],
    ]  # fmt: skip


def lengths(count: int) -> Bad:
    return [
        ([count, count + 1], V), ([count, -1], V), ([count], V), ([1.5, 2.0], T), ("a", T),
        ([True, False], T), (np.ma.masked_equal([count, 1], 1), T), ([1, 2**70], V),
    ]  # fmt: skip


MASK_BAD: Bad = [
    (np.ones((5, 8), bool), V), (np.ones((5, 7), np.int64), T), (np.ones((5, 7)), T), ("a", T),
    (np.ma.masked_equal(np.ones((5, 7), bool), False), T), (np.ones((2, 3, 5, 7), bool), V),
]  # fmt: skip
BIAS_BAD: Bad = [
    *numeric(np.ones((5, 7)), (5, 8)), (np.ones((5, 7), bool), T), (np.ones((5, 7), int), T)
]  # fmt: skip
WINDOW_BAD: Bad = [((1,), V), ((-1, 0), V), ((1.5, 0), T), ("a", T), (3, T), ((1, 2, 3), V)]
ALIGN_BAD: Bad = [("nonsense", V), (1.5, T), ([1, 2, 3], V), ([1.5, 2.0], T), (True, T)]
SLOPES_BAD = [*numeric(np.ones(4), (3,)), (np.full(4, math.nan), V)]
SINK_BAD = numeric(np.ones(4), (3,))
NORMALIZER_BAD: Bad = [
    ("entmax", V), ("", V), (1.0, V), (2.5, V), (math.nan, V), (-1, V), ([1.5, 1.5], V),
    ([1.5, 1.5, 1.5, 0.9], V), (np.ones((4, 1)) * 1.5, V), (None, T), (True, T), ("1.5", V),
    (["a"] * 4, T), ([1.5 + 0j] * 4, T), (object(), T),
]  # fmt: skip
BLOCKS = heedful.BlockMask(rng.random((3, 2)) < 0.6, (2, 4), (5, 7))
BLOCKS_BAD: Bad = [
    (np.ones((5, 7), bool), T), ("a", T), (True, T), (heedful.BlockMask.causal(5), V),
    (heedful.BlockMask(np.ones((3, 1, 1), bool), 8, (5, 7)), V),
]  # fmt: skip
GOOD: dict[str, Any] = {
    "mask": rng.random((5, 7)) < 0.6, "bias": rng.standard_normal((5, 7)), "causal": True,
    "block_mask": BLOCKS, "return_skipped": True,
    "window": (2, 1), "exclude_self": True, "align": 1, "q_lengths": [5, 2], "kv_lengths": [7, 3],
    "top_k": 2, "normalizer": "entmax15",
    "scale": 0.1, "softcap": 0.5, "alibi_slopes": np.linspace(0.1, 1, 4),
    "sink": np.linspace(0.1, 1, 4),
    "dropout_p": 0.5, "key_dropout_p": 0.5, "gumbel_temperature": 0.5,
    "return_lse": True, "return_weights": True, "dlse": np.ones((2, 4, 5)),
    "rows": [0, 3], "average_heads": True, "bias_gradient": False,
}  # fmt: skip
# options that are tried elsewhere: memory to write into, the order of axes, a seed, and what takes
# more than one block of keys to matter
ELSEWHERE = ("out", "layout", "rng", "min_weight", "mode", "enable_gqa")
BAD: dict[str, Bad] = {
    "query": numeric(Q, (2, 4, 5, 7), (), (3, 4, 5, 6)),
    "key": numeric(K, (2, 2, 7, 7), (7,), (2, 3, 7, 6)),
    "value": numeric(VALUE, (2, 2, 8, 3), (7,), (2, 3, 7, 3)),
    "block_mask": BLOCKS_BAD, "min_weight": BELOW_ONE, "return_skipped": FLAG,
    "mask": MASK_BAD, "bias": BIAS_BAD, "causal": FLAG, "window": WINDOW_BAD,
    "exclude_self": FLAG, "align": ALIGN_BAD,
    "q_lengths": lengths(5), "kv_lengths": lengths(7), "top_k": [*SIZE, (8, V)],
    "normalizer": NORMALIZER_BAD,
    "scale": FINITE, "softcap": POSITIVE,
    "alibi_slopes": SLOPES_BAD, "sink": SINK_BAD, "dropout_p": RATE,
    "key_dropout_p": BELOW_ONE, "gumbel_temperature": POSITIVE, "rng": [(-1, V), *RNG[1:]],
    "layout": WORD,
    "out": [(np.ones((2, 4, 5, 4)), V), (np.ones((2, 4, 5, 3), np.float32), V), ([1.0], T),
            (3, T), (OUT[::-1, :, :, ::-1].view(np.ma.MaskedArray), T)],
    "return_lse": FLAG, "return_weights": FLAG,
    "dout": numeric(OUT, (2, 4, 5, 4)), "lse": numeric(LSE, (2, 4, 6)),
    "dlse": numeric(LSE, (2, 4, 6)),
    "rows": [([0.5], T), ("a", T), ([[0]], V), (np.ones(5, bool), T)], "average_heads": FLAG,
    "bias_gradient": FLAG,
}  # fmt: skip
DIAGONAL = {"causal": {"align": 0}, "window": {"align": 0},
            "exclude_self": {"align": 0}, "align": {"causal": True, "align": 0},
            "alibi_slopes": {"align": 0}, "rng": {"dropout_p": 0.5},
            "gumbel_temperature": {"rng": 1}}  # fmt: skip
AVERAGED = {"average_heads": {"return_weights": True}}


def all_of(found: Any) -> Any:
    """The results of a _vjp and of its pullback."""
    if isinstance(found, tuple) and callable(found[-1]):
        first = found[0][0] if isinstance(found[0], tuple) else found[0]
        return described([found[0], tuple(found[1](np.ones_like(first)))])
    return described(found)


def row(
    name: str, needed: dict[str, Any], good: dict[str, Any] | None = None,
    bad: dict[str, Bad] | None = None, more: dict[str, dict[str, Any]] | None = None,
) -> Row:  # fmt: skip
    function = getattr(heedful, name)
    return Row(name, function, needed, GOOD | (good or {}), BAD | (bad or {}), function,
               DIAGONAL | (more or {}))  # fmt: skip


ATTENTION = {"query": Q, "key": K, "value": VALUE}
ADDITIVE = {"query": Q, "key": KEYS, "value": KEYS, "weight": np.linspace(-1, 1, 6)}
VARLEN = {"query": PACKED, "key": PACKED, "value": PACKED, "cu_seqlens_q": STARTS,
          "cu_seqlens_k": STARTS}  # fmt: skip
VARLEN_GOOD = {"q_lengths": [3, 2], "kv_lengths": [3, 2]}
ADDITIVE_BAD: dict[str, Bad] = {
    "key": numeric(KEYS, (2, 4, 7, 7), (7,), (2, 3, 7, 6)),
    "value": numeric(KEYS, (2, 4, 8, 3), (7,)),
    "weight": numeric(np.ones(6), (7,)),
    "out": [(np.ones((2, 4, 5, 4)), V), ([1.0], T), (3, T)],
}
STARTS_BAD: Bad = [
    ([0, 4, 10], V), ([1, 4, 9], V), ([0, 5, 4], V), ([0.0, 4.0, 9.0], T), ("a", T),
    ([[0, 9]], V), (np.ma.masked_equal([0, 4, 9], 4), T), ([], V),
]  # fmt: skip
VARLEN_BAD: dict[str, Bad] = {
    "query": numeric(PACKED, (9, 4, 7), (9, 4)),
    "key": numeric(PACKED, (9, 4, 7), (9, 3, 6)),
    "value": numeric(PACKED, (8, 4, 6), (9, 3, 6)),
    "cu_seqlens_q": STARTS_BAD,
    "cu_seqlens_k": STARTS_BAD,
    "q_lengths": lengths(5),
    "kv_lengths": lengths(5),
    "top_k": [*SIZE, (10, V)],
    "align": [("nonsense", V), (1.5, T), ([1, 2, 3], V)],
    "block_mask": [one for one in BLOCKS_BAD if one[0] is not BLOCKS_BAD[3][0]],
    "out": [(np.ones((9, 4, 5)), V), ([1.0], T), (3, T)],
}  # fmt: skip
PAGED = {
    "query": Q,
    "key_pages": K,
    "value_pages": VALUE,
    "page_table": [[1], [0]],
    "kv_lengths": [7, 7],
}
SCALES = np.linspace(0.1, 1, 28).reshape(2, 2, 7)
BYTES = (K * 30).astype(np.int8)
SCALES_BAD = [*numeric(SCALES, (2, 2, 8)), (SCALES.astype(int), T)]
PAGED_BAD: dict[str, Bad] = {
    "query": numeric(Q, (2, 4, 5, 7), (), (3, 4, 5, 6), (2, 3, 5, 6)),
    "key_pages": [*numeric(K, (2, 2, 7, 7), (7,), (2, 3, 7, 6), (2, 2, 0, 6)), (K.astype(int), T),
                  (BYTES, V), (K.astype(">f8"), T)],
    "value_pages": numeric(VALUE, (2, 2, 8, 3), (7,), (2, 3, 7, 3), (3, 2, 7, 3)),
    "page_table": [([[0], [2]], V), ([[0], [-1]], V), ([0, 1], V), ([[0.0], [1.0]], T), ("a", T),
                   ([[0], [2**70]], V), (np.ma.masked_equal([[1], [0]], 1), T), ([[0]], V)],
    "kv_lengths": lengths(7),
    "cu_seqlens_q": [([0, 4, 10], V), ([1, 4, 9], V), ([0.0, 4.0, 9.0], T), ("a", T), ([0, 9], V)],
    "key_scales": SCALES_BAD, "value_scales": SCALES_BAD,
}  # fmt: skip
PAGED_GOOD = {"cu_seqlens_q": [0, 3, 9], "key_scales": SCALES, "value_scales": SCALES}
PAGED_MORE = {
    "cu_seqlens_q": {"query": PACKED, "cu_seqlens_q": [0, 4, 9]},
    "key_scales": {"key_pages": BYTES, "key_scales": np.ones((2, 2, 7))},
    "value_scales": {"value_pages": BYTES[..., :3], "value_scales": np.ones((2, 2, 7))},
}
POOL_BAD: dict[str, Bad] = {
    "x": numeric(X, (5,)), "query": numeric(X[0, 0], (7,), (1, 2, 6)),
    "key": numeric(X, (2, 4, 6)), "lengths": lengths(5),
    "mask": [(np.ones((2, 4), bool), V), (np.ones((2, 5), int), T), ("a", T),
             (np.ma.masked_equal(np.ones((2, 5), bool), False), T)],
}  # fmt: skip
POOL_GOOD = {"key": X[..., ::-1], "lengths": [5, 2], "mask": np.arange(5) < [[3], [5]]}
SDPA_GOOD = {"attn_mask": GOOD["mask"], "is_causal": True, "enable_gqa": True}
ROWS = [
    row("attention", ATTENTION, more=AVERAGED),
    row("attention_vjp", ATTENTION, more=AVERAGED),
    row("attention_backward", {"dout": OUT, **ATTENTION, "out": OUT, "lse": LSE},
        bad={"out": numeric(OUT, (2, 4, 5, 4)), "rng": [(-1, V), *RNG[1:]]},
        more={"dropout_p": {"rng": 1}, "key_dropout_p": {"rng": 1},
              "bias_gradient": {"bias": GOOD["bias"]}, "rng": {"dropout_p": 0.5, "rng": 0}}),
    row("attention_scores", {"query": Q, "key": K}, {"sink": None}),
    row("attention_weights", {"query": Q, "key": K}, {"lse": LSE + 1}),
    row("attention_varlen", VARLEN, VARLEN_GOOD, VARLEN_BAD),
    row("attention_varlen_vjp", VARLEN, VARLEN_GOOD, VARLEN_BAD),
    row("attention_penalty", {"query": Q, "key": K, "kind": "l2"},
        {"target": np.ones((5, 7)) / 7},
        {"kind": [("l1", V), ("l3", V), (2, T), (None, T)],
         "target": [(np.ones((5, 8)), V), (-np.ones((5, 7)), V), (np.ones((5, 7), int), T),
                    ("a", T), (np.ma.masked_equal(np.ones((5, 7)), 2), T)]},
        {"target": {"kind": "target", "target": np.eye(5, 7)}, "kind": {}}),
    row("attention_paged", PAGED, PAGED_GOOD, PAGED_BAD, PAGED_MORE),
    row("additive_attention", ADDITIVE, {}, ADDITIVE_BAD),
    row("additive_attention_vjp", ADDITIVE, {}, ADDITIVE_BAD),
    row("attention_pool", {"x": X, "query": X[0, 0]}, POOL_GOOD, POOL_BAD),
    row("attention_pool_vjp", {"x": X, "query": X[0, 0]}, POOL_GOOD, POOL_BAD),
    row("merge_attention", {"outs": [OUT, OUT], "lses": [LSE, LSE]}, {}, {
        "outs": [([], V), ([OUT, OUT[:1]], V), (3, T), ([OUT * 1j] * 2, T), ([OUT], V)],
        "lses": [([], V), ([LSE, LSE[:1]], V), (3, T), ([LSE * 1j] * 2, T), ([LSE], V)]}),
    row("multi_head_attention", {"query": X, "key": X, "value": X, "num_heads": 2}, {}, {
        "query": numeric(X, (2, 5, 7), ()),
        "key": numeric(X, (2, 5, 8), (7,)),
        "value": numeric(X, (2, 5, 7), (2, 4, 6)),
        "num_heads": [*SIZE, (4, V)], "num_kv_heads": [*SIZE, (4, V)]},
        {"num_kv_heads": {"num_heads": 2, "key": X[..., :3], "value": X[..., :3]}}),
    row("rotary_embedding", {"x": X},
        {"positions": 3, "base": 10.0, "rotary_dim": 4, "interleaved": True, "inverse": True,
         "frequencies": [1.0, 0.5, 0.1], "amplitude": 2.0},
        {"x": numeric(X, ()), "positions": [(1.5, T), ("a", T), ([1, 2], V), (2**70, V)],
         "base": POSITIVE, "amplitude": POSITIVE, "frequencies": numeric(np.ones(3), (2,), (1, 3)),
         "rotary_dim": [(3, V), (8, V), (0, V), (-2, V), (1.5, T), ("a", T)],
         "interleaved": FLAG, "inverse": FLAG}),
    row("scaled_dot_product_attention", {"query": Q, "key": KEYS, "value": KEYS}, SDPA_GOOD,
        {**ADDITIVE_BAD, "attn_mask": [one for one in MASK_BAD if one[0] is not MASK_BAD[2][0]],
         "is_causal": FLAG, "enable_gqa": FLAG}, {"enable_gqa": {}}),
    row("set_num_threads", {"n": 1}, {}, {"n": SIZE}),
    row("num_threads", {"n": 1}, {}, {"n": [*SIZE, (None, T)]}),
    row("show_config", {}, {}, {"mode": WORD}),
]  # fmt: skip
EVERYWHERE = {name for one in ROWS for name in in_signature(one.function)}
