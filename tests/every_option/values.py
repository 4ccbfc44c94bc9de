"""Values of options by name: valid ones, and those that are refused with which error."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Bad = list[tuple[Any, type[Exception]]]
NAN, INF = math.nan, math.inf
T, V = TypeError, ValueError

SIZE: Bad = [(0, V), (-1, V), (1.5, T), ("a", T), (True, T)]
SIZE_OR_NONE: Bad = SIZE
FLAG: Bad = [("yes", T), (1, T), (None, T)]
FLAG_OR_NONE: Bad = [("yes", T), (1, T)]
RATE: Bad = [(1.5, V), (-0.1, V), (NAN, V), ("a", T), (None, T)]
POSITIVE: Bad = [(0, V), (-1.0, V), (INF, V), (NAN, V), ("a", T)]
NOT_NEGATIVE: Bad = [(-1.0, V), (INF, V), (NAN, V), ("a", T), (None, T)]
BELOW_ONE: Bad = [(-0.1, V), (1.0, V), (NAN, V), ("a", T), (None, T)]
FINITE: Bad = [(INF, V), (NAN, V), ("a", T), ([1.0], T)]
WORD: Bad = [("nonsense", V), (3, T)]
DTYPE: Bad = [(np.float16, T), ("nonsense", T), (np.int64, T)]
RNG: Bad = [(-1, T), ("a", T), (1.5, T)]
WIDE_ARRAY: Bad = [
    (np.ones((3, 5, 4)), V), (np.ones((3, 5, 6)) * 1j, T), ([["a"] * 6] * 5, T),
    ([[1.0], [1.0, 2.0]], V), (np.ma.masked_equal(np.ones((3, 5, 6)), 1), T), (np.ones(()), V),
]  # fmt: skip
ANY_ARRAY: Bad = [
    (np.ones((3, 5, 6)) * 1j, T), ([["a"] * 6] * 5, T), ([[1.0], [1.0, 2.0]], V),
    (np.ma.masked_equal(np.ones((3, 5, 6)), 1), T),
]  # fmt: skip
TOKENS: Bad = [
    ([[0, 99]], V), ([[-1, 1]], V), ([[0.5, 1.0]], T), ([["a"]], T),
    (np.ma.masked_equal([[1, 2]], 1), T),
]  # fmt: skip
MASK: Bad = [
    (np.ones((5, 4), bool), V), (np.ones((5, 5), np.int64), T), ([["a"] * 5] * 5, T),
    (np.ones((5, 5)) * 1j, T), (np.ma.masked_equal(np.ones((5, 5), bool), False), T),
    (np.ones((3, 5, 5), bool), V),
]  # fmt: skip
BIAS: Bad = [
    (np.ones((5, 4)), V), ([["a"] * 5] * 5, T), (np.ones((5, 5)) * 1j, T),
    (np.ma.masked_equal(np.ones((5, 5)), 1), T),
]  # fmt: skip
# (B, L), of items
ITEM_MASK: Bad = [
    (np.ones((3, 4), bool), V), (np.ones((3, 5)), T), ([["a"] * 5] * 3, T),
    (np.ma.masked_equal(np.ones((3, 5), bool), False), T), ([[True], [True, False]], V),
]  # fmt: skip
LENGTHS: Bad = [
    ([5, 3, 9], V), ([5, 3, -1], V), ([5, 3], V), ([0.5, 1.0, 2.0], T), ("a", T),
    (np.ma.masked_equal([5, 3, 1], 1), T), ([True, True, False], T),
]  # fmt: skip
WINDOW: Bad = [((1,), V), ((-1, 0), V), ((1.5, 0), T), ("a", T)]
ALIGN: Bad = [("nonsense", V), (1.5, T), ([1, 2], V)]
CAPACITY: Bad = SIZE
STATE: Bad = [({"nonsense": np.ones(3)}, V), (3, T), (None, T)]

FIVE = np.arange(5) < 3
# what each option is set to instead of its default, and what refuses it
GOOD: dict[str, Any] = {
    "bias": False, "use_bias": False, "activation": "silu", "approximate": "tanh",
    "dtype": np.float64, "rng": 1, "eps": 0.1, "epsilon": 0.1, "num_kv_heads": 1, "kdim": 4,
    "vdim": 4, "dropout": 0.4, "rate": 0.4, "causal": True, "rotary": True, "scale": 0.1,
    "softcap": 0.5, "sink": True, "alibi": True, "dff": 7, "norm": True, "norm_first": True,
    "padding_idx": 1, "tied": True, "positions": "sinusoidal", "window": (1, 1), "max_length": 9,
    "units": 7, "hidden": 7, "num_queries": 2, "num_layers": 2, "num_heads": 1, "d_model": 6,
    "segments": 3, "pooler": True, "first_position": 2, "memory_length": 2, "scaled": False,
    "head_dim": 5, "axis": 1, "base": 100.0, "center": False, "kernel_regularizer": "l2",
    "bias_regularizer": "l1", "num_encoder_layers": 2, "num_decoder_layers": 2,
    "mixer": "linear", "key_dropout": 0.4, "head_dropout": 0.4, "gumbel_temperature": 0.4,
    "hard": True, "normalizer": "sparsemax", "penalties": {"entropy": 0.3, "z": 0.1},
    "qk_norm": "l2", "logit_scale": True, "adaptive_span": 3,
    "span_ramp": 2.0, "span_penalty": 0.5,
    "gated": False, "post_norms": True, "norm_offset": 1.0, "offset": 1.0, "attention_bias": True,
    "embedding_scale": 2.0, "logit_softcap": 0.5,
    # of calls
    "mask": np.tri(5, dtype=bool), "align": 1, "exclude_self": True,
    "q_lengths": [5, 3, 1], "kv_lengths": [5, 3, 1],
    "lengths": [5, 3, 1], "memory_lengths": [5, 3, 1], "memory_mask": np.tri(5, dtype=bool),
    "source_lengths": [5, 3, 1], "target_lengths": [5, 3, 1], "return_weights": True,
    "hidden_states": True,
    "residual": np.ones((3, 5, 6), np.float32), "first": 2, "key": np.ones((3, 5, 6)) / 7,
    "value": np.ones((3, 5, 6)) / 7, "memory": np.ones((3, 4, 6)) / 7,
    # of generate
    "stop": 3, "temperature": 0.7, "top_k": 1, "top_p": 0.4, "num_beams": 3, "length_penalty": 2.0,
}  # fmt: skip
# what an option of a layer makes sense with
MORE: dict[str, dict[str, Any]] = {"hard": {"gumbel_temperature": 0.5}}
MORE |= {name: {"adaptive_span": 3} for name in ("span_ramp", "span_penalty")}
BAD: dict[str, Bad] = {
    **dict.fromkeys(
        ["d_model", "num_heads", "in_features", "out_features", "num_embeddings", "num_layers",
         "num_encoder_layers", "num_decoder_layers", "dff", "vocabulary", "source_vocabulary",
         "target_vocabulary", "max_length", "num_features", "code_size", "num_queries", "units",
         "num_kv_heads", "kdim", "vdim", "hidden", "memory_length", "num_beams", "segment",
         "capacity", "top_k", "adaptive_span", "head_dim", "input_size", "hidden_size",
         "in_channels", "out_channels", "kernel_size", "stride", "dilation", "channels"], SIZE
    ),
    **dict.fromkeys(
        ["bias", "use_bias", "sink", "norm_first", "tied", "pooler", "scaled", "center",
         "return_weights", "return_memory", "strict", "in_place", "bidirectional", "return_state",
         "hard", "exclude_self", "gated", "post_norms", "decoder"], FLAG
    ),
    **dict.fromkeys(["norm", "causal", "logit_scale"], FLAG_OR_NONE),
    **dict.fromkeys(["hidden_states", "pooled"], FLAG),
    **dict.fromkeys(["rate", "dropout"], RATE),
    **dict.fromkeys(["key_dropout", "head_dropout"], BELOW_ONE),
    **dict.fromkeys(
        ["eps", "epsilon", "softcap", "base", "temperature", "gumbel_temperature"], POSITIVE
    ),
    "penalties": [(3, T), ({"l1": 1.0}, V), ({"l2": -1.0}, V), ({"l2": NAN}, V), ({"l2": "a"}, T),
                  ({"l2": [1.0] * 9}, V), ({"target": 1.0}, V), ({2: 1.0}, T)],
    **dict.fromkeys(["scale", "offset", "norm_offset", "embedding_scale"], FINITE),
    "logit_softcap": POSITIVE,
    "attention_bias": [("yes", T), (1, T)],
    "normalizer": [("entmax14", V), (1.0, V), (2.5, V), (NAN, V), (None, T), (True, T)],
    "span_ramp": POSITIVE,
    "span_penalty": NOT_NEGATIVE,
    "length_penalty": FINITE,
    "rotary": [(0.0, V), (-1.0, V), (NAN, V), ("a", T)],
    "alibi": [("a", T), ([1.0], V), ([[1.0]], V), (None, T)],
    **dict.fromkeys(["activation", "approximate", "positions", "mixer", "qk_norm"], WORD),
    "dtype": DTYPE,
    "rng": RNG,
    "padding_idx": [(99, V), (-1, V), (1.5, T), ("a", T)],
    "window": WINDOW,
    "segments": [(-1, V), (1.5, T), ("a", T)],
    "first_position": [(-1, V), (1.5, T), ("a", T)],
    "axis": [(7, V), (1.5, T), ("a", T)],
    "kernel_regularizer": [("nonsense", V), (3, T)],
    "bias_regularizer": [("nonsense", V), (3, T)],
    **dict.fromkeys(["x", "source", "target", "query", "key", "value", "memory"], WIDE_ARRAY),
    "tokens": TOKENS,
    **dict.fromkeys(["mask", "memory_mask"], MASK),
    **dict.fromkeys(
        ["lengths", "kv_lengths", "q_lengths", "memory_lengths", "source_lengths",
         "target_lengths"], LENGTHS
    ),
    "align": ALIGN,
    "cache": [([], T), ("a", T)],
    "caches": [([], V), ("a", T), (3, T)],
    "residual": [(np.ones((3, 5, 5)), V), (np.ones((3, 5, 6)) * 1j, T)],
    "first": [(-1, V), (1.5, T), ([1, 2], V), ("a", T)],
    "layer": [(3, T), (None, T), (np.tanh, T)],
    "stop": [(1.5, T), ("a", T), (-1, V)],
    "top_p": [(0, V), (1.5, V), (NAN, V), ("a", T)],
}  # fmt: skip
