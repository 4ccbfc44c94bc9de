"""Every public layer: how it is constructed, its arguments, and values of options of its own."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from every_option.values import FINITE, MASK, SIZE, WIDE_ARRAY
from heedful import BlockMask
from heedful import layers as L
from heedful.layers import Layer

RNG = np.random.default_rng(20240229)
X = RNG.standard_normal((3, 5, 6)).astype(np.float32)
MEMORY = RNG.standard_normal((3, 5, 6)).astype(np.float32)
TOKENS = np.array([[1, 2, 3, 4, 1], [2, 5, 6, 1, 1], [7, 1, 2, 3, 0]])
SMALL = {"d_model": 6, "num_heads": 3}
BLOCKS = BlockMask(np.array([[True, False], [True, True]]), 3, 5)


class Row(NamedTuple):
    kind: type[Layer]
    needed: dict[str, Any]
    inputs: dict[str, Any]
    good: dict[str, Any] = {}  # noqa: RUF012 - of this layer alone
    bad: dict[str, Any] = {}  # noqa: RUF012
    call_good: dict[str, Any] = {}  # noqa: RUF012
    call_bad: dict[str, Any] = {}  # noqa: RUF012
    # options that change nothing here, and why
    idle: dict[str, str] = {}  # noqa: RUF012


ALIGN = "it matters where causal, window or exclude_self is given"
SPAN = {"span_penalty": "fit adds it to the loss"}
LENGTH = "it matters to mixers of a fixed length"
# calls of MultiHeadAttention's alternatives, which refuse what they cannot honour
NO_SCORES: dict[str, Any] = {
    "call_good": {"mask": np.arange(5) < 3, "bias": None, "window": None, "align": None,
                  "exclude_self": None, "return_weights": None},
    "call_bad": {"bias": [(np.eye(5), ValueError), ([["a"]], ValueError)],
                 "window": [((1, 0), ValueError), ("a", ValueError)],
                 "align": [(0, ValueError), ("upper_left", ValueError)],
                 "exclude_self": [(True, ValueError), ("yes", TypeError), (None, TypeError)],
                 "return_weights": [(True, ValueError), ("yes", TypeError), (None, TypeError)],
                 "mask": [*MASK, (np.tri(5, dtype=bool), ValueError),
                          (np.ones((3, 5), bool), ValueError), (np.zeros((5, 5)), TypeError),
                          (np.ones((3, 3, 1, 5), bool), ValueError)]},
}  # fmt: skip
WITHIN: dict[str, Any] = {  # one sequence
    "call_good": {**NO_SCORES["call_good"], "key": None, "value": None},
    "call_bad": {**NO_SCORES["call_bad"], "key": [(MEMORY, ValueError), ([[1.0]], ValueError)],
                 "value": [(MEMORY, ValueError)], "cache": [([], TypeError), ("a", TypeError)]},
}  # fmt: skip
NOT_CAUSAL: dict[str, Any] = {
    "call_good": {**WITHIN["call_good"], "causal": None},
    "call_bad": {**WITHIN["call_bad"], "causal": [(True, ValueError), ("yes", TypeError)],
                 "cache": [([], ValueError), ("a", ValueError)]},
}  # fmt: skip
STATES: dict[str, Any] = {
    "state": [(np.ones((3, 4)), ValueError), (np.ones((3, 1, 5)), ValueError), ("a", TypeError),
              (np.ones((3, 1, 4)) * 1j, TypeError)],
}  # fmt: skip
BETWEEN = {"dropout": "it is between layers"}
IMAGES = RNG.standard_normal((2, 3, 6, 4))
CAUSAL: dict[str, Any] = {"head_dim": 4, "norm": "layer", "bias": True, "rotary": False,
                          "window": 2, "activation": "gelu"}  # fmt: skip
CAUSAL_BAD: dict[str, Any] = {"norm": [("nonsense", ValueError), (3, TypeError)], "window": "size"}
RELATIVE: dict[str, Any] = {"gated": True, "activation": "gelu", "max_distance": 3}
RELATIVE_BAD: dict[str, Any] = {"num_buckets": [*SIZE, (1, ValueError)],
                                "max_distance": [*SIZE, (1, ValueError)]}  # fmt: skip
COUNT = [(-1, ValueError), (1.5, TypeError), ("a", TypeError)]
ITEMS = np.arange(5) < [[3], [5], [1]]
ROWS = [
    *[Row(kind, {}, {"x": X}, call_bad={"x": "any"}) for kind in
      (L.ReLU, L.SiLU, L.Tanh, L.Sigmoid, L.GELU)],
    Row(L.Dropout, {}, {"x": X}, call_bad={"x": "any", "in_place": []}),
    Row(L.Softmax, {}, {"x": X}, bad={"axis": [(1.5, TypeError), ("a", TypeError)]},
        call_bad={"x": "any"}),
    Row(L.Activation, {"activation": "relu"}, {"x": X}, call_bad={"x": "any"}),
    Row(L.Flatten, {}, {"x": X}, call_bad={"x": "any"}),
    Row(L.GlobalAveragePooling, {}, {"x": X}, call_good={"mask": np.arange(5) < [[3], [5], [1]]},
        call_bad={"x": "any", "mask": "items"}),
    Row(L.Linear, {"in_features": 6, "out_features": 6}, {"x": X}),
    Row(L.Dense, {"units": 6}, {"x": X}, call_bad={"x": "any"},
        idle={"kernel_regularizer": "fit adds it to the loss",
              "bias_regularizer": "fit adds it to the loss"}),
    Row(L.FeedForward, {**SMALL, "dff": 7}, {"x": X}),
    Row(L.GatedFeedForward, {"d_model": 6, "dff": 7}, {"x": X},
        good={"activation": "gelu", "bias": True}),
    Row(L.LayerNorm, {"d_model": 6}, {"x": X}),
    Row(L.LayerNormalization, {}, {"x": X}, good={"axis": None},
        bad={"axis": [(1, ValueError), ("a", ValueError)]}, call_bad={"x": "any"}),
    Row(L.RMSNorm, {"d_model": 6}, {"x": X}),
    Row(L.Embedding, {"num_embeddings": 9, "d_model": 6}, {"tokens": TOKENS}),
    Row(L.SinusoidalPositions, {"d_model": 6}, {"x": X}, call_bad={
        "first": [(1.5, TypeError), ([1, 2], ValueError), ("a", TypeError)]}),
    Row(L.LearnedPositions, {"max_length": 9, "d_model": 6}, {"x": X}),
    Row(L.RotaryPositions, {}, {"x": X}, call_good={"positions": 3}, call_bad={
        "x": "any", "positions": [(1.5, TypeError), ("a", TypeError), (np.arange(4), ValueError)]}),
    Row(L.Residual, {"layer": L.Linear(6, 6, rng=0)}, {"x": X}),
    Row(L.MultiHeadAttention, SMALL, {"query": X},
        call_good={"bias": np.eye(5), "value": None, "block_mask": BLOCKS},
        call_bad={"bias": "bias", "value": [],
                  "block_mask": [("a", TypeError), (np.ones((5, 5), bool), TypeError),
                                 (BlockMask.causal(6), ValueError)]},
        idle={"call align": ALIGN, **SPAN}),
    Row(L.LinearAttention, SMALL, {"query": X}, call_good={**NO_SCORES["call_good"], "value": None},
        call_bad={**NO_SCORES["call_bad"], "value": []}),
    Row(L.SpatialGating, {"d_model": 6, "max_length": 5}, {"query": X}, good={"hidden": 7},
        **WITHIN),
    Row(L.TokenMixing, {"d_model": 6, "max_length": 5}, {"query": X}, good={"hidden": 7},
        **NOT_CAUSAL),
    Row(L.FourierMixing, {"d_model": 6}, {"query": X}, **NOT_CAUSAL),
    Row(L.RelativeAttention, SMALL, {"x": X, "memory": MEMORY}),
    Row(L.RelativePositionBias, {"num_heads": 3}, {"query_length": 5, "key_length": 23},
        good={"num_buckets": 8, "max_distance": 20, "bidirectional": False}, bad=RELATIVE_BAD,
        call_bad={**dict.fromkeys(["query_length", "key_length"], COUNT),
                  "first": [(-1, ValueError), (1.5, TypeError), ([[1]], ValueError),
                            ("a", TypeError)]}),
    Row(L.AdditiveAttention, {"d_model": 6}, {"query": X, "key": MEMORY},
        good={"bias": True, "alibi": 0.5},
        bad={"alibi": [("a", TypeError), ([1.0, 2.0], TypeError), (np.nan, ValueError)]},
        call_bad={"value": "any", "mask": [one for one in MASK if np.shape(one[0]) != (3, 5, 5)]},
        idle={"call align": ALIGN}),
    Row(L.AttentionPooling, {"d_model": 6}, {"x": X}, call_good={
        "mask": np.arange(5) < [[3], [5], [1]]}, call_bad={
            "mask": [(np.ones((3, 4), bool), ValueError), (np.ones((3, 5), int), TypeError),
                     ([["a"] * 5] * 3, TypeError), (np.ones((3, 5)) * 1j, TypeError)]}),
    Row(L.FeatureAttention, {"num_features": 6}, {"x": X[0]},
        good={"target": [0, 1, 2, 3, 0, 1], "score_penalty": 0.1},
        bad={"target": [([1, 2], ValueError), ([0] * 6, ValueError), ([-1] * 6, ValueError),
                        ("a", TypeError)],
             "score_penalty": [(-0.1, ValueError), (float("nan"), ValueError), ("a", TypeError)]},
        idle={"target": "the penalty of that name reads it",
              "score_penalty": "fit adds it to the loss"}),
    Row(L.EncoderLayer, {**SMALL, "dff": 7}, {"x": X}, call_good={"bias": np.eye(5)},
        call_bad={"bias": "bias"}, idle={"call align": ALIGN, "max_length": LENGTH, **SPAN}),
    Row(L.Encoder, {**SMALL, "num_layers": 1, "dff": 7}, {"x": X}, call_good={"bias": np.eye(5)},
        call_bad={"bias": "bias"}, idle={"call align": ALIGN, "max_length": LENGTH, **SPAN}),
    Row(L.DecoderLayer, {**SMALL, "dff": 7}, {"x": X, "memory": MEMORY},
        call_good={"causal": False, "mask": np.eye(5, dtype=bool)}, idle=SPAN),
    Row(L.Decoder, {**SMALL, "num_layers": 1, "dff": 7}, {"x": X, "memory": MEMORY},
        call_good={"causal": False, "mask": np.eye(5, dtype=bool)}, idle=SPAN),
    Row(L.EncoderDecoder, {**SMALL, "num_encoder_layers": 1, "num_decoder_layers": 1, "dff": 7},
        {"source": X, "target": MEMORY}, call_good={"causal": False}, idle=SPAN),
    Row(L.Transformer, {**SMALL, "source_vocabulary": 9, "target_vocabulary": 9, "num_layers": 1,
                        "dff": 7}, {"source": TOKENS, "target": TOKENS},
        good={"positions": "rotary"}, call_good={"causal": False},
        call_bad={"source": "tokens", "target": "tokens"}, idle=SPAN),
    Row(L.LanguageModel, {**SMALL, "vocabulary": 9, "num_layers": 1}, {"tokens": TOKENS},
        good={"tied": False, "window": 2}, bad={"window": "size"}, idle=SPAN),
    Row(L.CausalLayer, {**SMALL, "dff": 7}, {"x": X}, good=CAUSAL, bad={**CAUSAL_BAD}),
    Row(L.CausalLM, {**SMALL, "vocabulary": 9, "num_layers": 1, "dff": 7}, {"tokens": TOKENS},
        good=CAUSAL, bad={**CAUSAL_BAD, "window": [([1, 2], ValueError), (0, ValueError)]},
        call_good={"mask": np.arange(5) < [[3], [5], [1]]}, call_bad={"mask": "items"},
        idle={"stop": "generate ends there"}),
    Row(L.Seq2SeqLayer, {**SMALL, "dff": 7, "decoder": True}, {"x": X, "memory": MEMORY},
        good=RELATIVE, call_good={"bias": np.eye(5), "mask": np.eye(5, dtype=bool)},
        call_bad={"bias": "bias", "memory": [*WIDE_ARRAY, (None, ValueError)]}),
    Row(L.Seq2SeqStack, {**SMALL, "vocabulary": 9, "num_layers": 1, "dff": 7, "num_buckets": 4,
                         "decoder": True}, {"tokens": TOKENS, "memory": MEMORY},
        good={**RELATIVE, "embedding": L.Embedding(9, 6, rng=5)},
        bad={**RELATIVE_BAD, "embedding": [(3, TypeError), (L.Embedding(8, 6), ValueError)]},
        call_good={"mask": ITEMS, "memory_mask": ITEMS},
        call_bad={"mask": "items", "memory_mask": "items", "memory": [*WIDE_ARRAY,
                                                                      (None, ValueError)]}),
    Row(L.Seq2SeqLM, {**SMALL, "vocabulary": 9, "num_layers": 1, "dff": 7, "num_buckets": 4},
        {"tokens": TOKENS, "target": TOKENS},
        good={**RELATIVE, "tied": False, "logit_scale": 0.3, "start": 1},
        bad={**RELATIVE_BAD, "logit_scale": FINITE,
             "start": [(9, ValueError), (-1, ValueError), (1.5, TypeError), ([1], ValueError)]},
        call_good={"mask": ITEMS, "target_mask": ITEMS},
        call_bad={"target": "tokens", "mask": "items", "target_mask": "items"},
        idle={"stop": "generate ends there", "start": "generate begins with it"}),
    Row(L.BertEncoder, {**SMALL, "vocabulary": 9, "num_layers": 1, "dff": 7, "max_length": 9},
        {"tokens": TOKENS},
        call_good={"mask": np.arange(5) < [[3], [5], [1]], "segments": [0, 0, 1, 1, 1],
                   "pooled": None},  # which needs a pooler
        call_bad={"mask": "items",
                  "segments": [([0, 1], ValueError), ([0, 9, 0, 0, 0], ValueError),
                               ([0.5] * 5, TypeError)]}, idle=SPAN),
    Row(L.SegmentRecurrentLayer, {**SMALL, "dff": 7, "rate": 0.0}, {"x": X, "memory": MEMORY},
        good={"norm_first": False}),
    Row(L.SegmentRecurrentLM, {**SMALL, "vocabulary": 9, "num_layers": 1},
        {"tokens": TOKENS, "memory": [MEMORY]}, good={"norm_first": False, "tied": False},
        call_good={"memory_lengths": None, "return_memory": True},
        call_bad={"memory": [([], ValueError), ([X[:, :, :5]], ValueError)]},
        idle={"memory_length": "it is that of what is returned"}),
    Row(L.GRU, {"input_size": 6, "hidden_size": 4}, {"x": X}, good={"bidirectional": True},
        call_good={"state": np.ones((3, 1, 4)) / 7, "return_state": True}, call_bad=STATES,
        idle=BETWEEN),
    Row(L.LSTM, {"input_size": 6, "hidden_size": 4}, {"x": X}, good={"bidirectional": True},
        call_good={"state": np.ones((3, 1, 4)) / 7, "cell": np.ones((3, 1, 4)) / 7,
                   "return_state": True}, call_bad={**STATES, "cell": STATES["state"]},
        idle=BETWEEN),
    Row(L.Conv1d, {"in_channels": 6, "out_channels": 4, "kernel_size": 2}, {"x": X},
        good={"stride": 2, "padding": "same", "dilation": 2, "groups": 2},
        bad={"padding": [("nonsense", ValueError), (-1, ValueError), (1.5, TypeError),
                         (None, TypeError)],
             "groups": [(4, ValueError), *SIZE]}),
    Row(L.PatchEmbed, {"image_size": (6, 4), "patch_size": 2, "channels": 3, "d_model": 5},
        {"x": IMAGES},
        bad={"image_size": [(5, ValueError), ((6,), ValueError), (6.0, TypeError)],
             "patch_size": [(4, ValueError), ((1, 2, 3), ValueError), ("a", TypeError)]},
        call_bad={"x": [(IMAGES[0, 0], ValueError), (IMAGES[..., :3], ValueError),
                        (IMAGES * 1j, TypeError), ([["a"]], TypeError)]}),
    Row(L.Autoencoder, {"num_features": 6, "code_size": 3, "d_model": 8, "num_heads": 2,
                        "num_layers": 1}, {"x": X}, idle=SPAN),
]  # fmt: skip
