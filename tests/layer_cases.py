"""Every layer once or more, with inputs: a table for gradients, inference, threads, frameworks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from heedful import layers


class LayerCase(NamedTuple):
    name: str
    make: Callable[..., layers.Layer]  # of dtype=…, rng=…
    inputs: Callable[[np.random.Generator], tuple[Any, ...]]
    options: Mapping[str, Any] = MappingProxyType({})
    drops: bool = False


def rows(*shape: int) -> Callable[[np.random.Generator], tuple[Any, ...]]:
    return lambda rng: (rng.standard_normal(shape),)


def several(*shapes: tuple[int, ...]) -> Callable[[np.random.Generator], tuple[Any, ...]]:
    return lambda rng: tuple(rng.standard_normal(shape) for shape in shapes)


def tokens(*shapes: tuple[int, ...]) -> Callable[[np.random.Generator], tuple[Any, ...]]:
    return lambda rng: tuple(rng.integers(0, 11, shape) for shape in shapes)


def lengths(*numbers: int) -> Callable[[np.random.Generator], tuple[Any, ...]]:
    return lambda rng: tuple(np.int64(number) for number in numbers)


def without_rng(kind: Callable[..., layers.Layer], *args: Any, **named: Any) -> Any:
    return lambda dtype, rng: kind(*args, dtype=dtype, **named)


def seeded(kind: Callable[..., layers.Layer], *args: Any, **named: Any) -> Any:
    return lambda dtype, rng: kind(*args, dtype=dtype, rng=rng, **named)


def spanned(kind: Callable[..., layers.Layer], *args: Any, **named: Any) -> Any:
    """With spans within their limits."""

    def make(dtype: Any, rng: Any) -> layers.Layer:
        model = kind(*args, dtype=dtype, rng=rng, **named)
        for _, layer in model.named_layers():
            if isinstance(layer, layers.MultiHeadAttention):
                layer.span[...] = np.linspace(0.4, 0.7, layer.num_heads)
        return model

    return make


def stack(dtype: Any, rng: Any) -> layers.Layer:
    return layers.Sequential(
        layers.Embedding(11, 6, dtype=dtype, rng=rng),
        layers.Residual(layers.Linear(6, 6, dtype=dtype, rng=rng)),
        layers.Dropout(0.3, dtype=dtype),
        layers.Flatten(dtype=dtype),
    )


L, M = layers, (3, 5, 6)


def functional(dtype: Any, rng: Any) -> layers.Layer:
    x = layers.Input((None, 6))
    h = layers.LayerNorm(6, dtype=dtype)(x)
    h = h * layers.Linear(6, 6, dtype=dtype, rng=rng)(h)
    return layers.Model(x, layers.steps.concatenate([h, h[:, ::-1]], axis=-1) * 2.0)


CASES = [
    LayerCase("functional", functional, rows(2, 5, 6)),
    LayerCase("linear", seeded(L.Linear, 6, 7), rows(*M)),
    LayerCase("linear_no_bias", seeded(L.Linear, 6, 7, bias=False), rows(6)),
    *[
        LayerCase(f"linear_{name}", seeded(L.Linear, 6, 7, activation=name), rows(*M))
        for name in ("relu", "gelu", "gelu_tanh", "silu", "tanh", "sigmoid")
    ],
    *[
        LayerCase(name, without_rng(L.Activation, name), rows(*M))
        for name in ("relu", "gelu", "gelu_tanh", "silu", "tanh", "sigmoid")
    ],
    *[
        LayerCase(kind.__name__, without_rng(kind), rows(*M))
        for kind in (L.ReLU, L.GELU, L.SiLU, L.Tanh, L.Sigmoid)
    ],
    LayerCase("softmax", without_rng(L.Softmax), rows(*M)),
    LayerCase("softmax_axis", without_rng(L.Softmax, 1), rows(*M)),
    LayerCase("embedding", seeded(L.Embedding, 11, 6), tokens((3, 5))),
    LayerCase("sinusoidal", without_rng(L.SinusoidalPositions, 6), rows(*M), {"first": 3}),
    LayerCase("learned", seeded(L.LearnedPositions, 9, 6), rows(*M), {"first": [0, 4, 2]}),
    LayerCase("rotary", without_rng(L.RotaryPositions), rows(3, 2, 5, 6), {"positions": 7}),
    LayerCase("layer_norm", without_rng(L.LayerNorm, 6), rows(*M)),
    LayerCase("rms_norm", without_rng(L.RMSNorm, 6), rows(*M)),
    LayerCase("dropout", without_rng(L.Dropout, 0.4), rows(*M), drops=True),
    LayerCase("feed_forward", seeded(L.FeedForward, 6, 13, 0.2, activation="gelu"), rows(*M),
              drops=True),
    *[
        LayerCase(f"gated_{name}", seeded(L.GatedFeedForward, 6, 13, 0.2, activation=name,
                  bias=True), rows(*M), drops=True)
        for name in ("silu", "gelu", "gelu_tanh")
    ],
    LayerCase("rms_norm_offset", without_rng(L.RMSNorm, 6, 0.1, offset=1.0), rows(*M)),
    LayerCase("average", without_rng(L.GlobalAveragePooling), rows(*M)),
    LayerCase("average_masked", without_rng(L.GlobalAveragePooling), rows(*M),
              {"mask": np.arange(5) < np.array([[5], [2], [0]])}),
    LayerCase("stack", stack, tokens((3, 5)), drops=True),
    LayerCase("multi_head", seeded(L.MultiHeadAttention, 6, 2), rows(*M)),
    LayerCase("multi_head_cross", seeded(L.MultiHeadAttention, 6, 3), several(M, (3, 7, 6))),
    LayerCase("multi_head_three", seeded(L.MultiHeadAttention, 6, 3, kdim=5, vdim=7, dropout=0.2),
              several(M, (3, 7, 5), (3, 7, 7)), drops=True),
    LayerCase("multi_head_grouped", seeded(L.MultiHeadAttention, 12, 6, num_kv_heads=2, bias=False,
              rotary=True, causal=True), rows(3, 5, 12), {"window": (2, 0)}),
    LayerCase("multi_head_wide", seeded(L.MultiHeadAttention, 6, 4, num_kv_heads=2, head_dim=5),
              rows(*M)),
    LayerCase("multi_head_mask", seeded(L.MultiHeadAttention, 6, 2), rows(*M),
              {"mask": np.tri(5, dtype=bool), "kv_lengths": [5, 3, 1]}),
    LayerCase("multi_head_others", seeded(L.MultiHeadAttention, 6, 2, causal=True), rows(*M),
              {"exclude_self": True}),
    LayerCase("multi_head_added", seeded(L.MultiHeadAttention, 6, 2), rows(*M),
              {"mask": np.linspace(-1, 1, 25).reshape(5, 5)}),
    LayerCase("multi_head_scores", seeded(L.MultiHeadAttention, 6, 3, scale=0.7, softcap=1.5,
              sink=True, alibi=True, causal=True), rows(*M), {"kv_lengths": [5, 3, 1]}),
    LayerCase("multi_head_slopes", seeded(L.MultiHeadAttention, 8, 4, num_kv_heads=2, sink=True,
              alibi=[0.5, -0.1, 0.0, 2.0], rotary=True, dropout=0.2),
              several((3, 5, 8), (3, 7, 8)), {"align": "lower_right"}, drops=True),
    LayerCase("multi_head_noise", seeded(L.MultiHeadAttention, 6, 3, gumbel_temperature=0.7,
              dropout=0.2, key_dropout=0.3, head_dropout=0.4, sink=True), rows(*M), drops=True),
    LayerCase("multi_head_penalties", seeded(L.MultiHeadAttention, 6, 3, dropout=0.2, causal=True,
              penalties={"entropy": 0.3, "z": 0.1, "scores_l1": [0.1, 0.0, 0.2]}), rows(*M),
              drops=True),
    LayerCase("multi_head_rms", seeded(L.MultiHeadAttention, 12, 3, num_kv_heads=1, qk_norm="rms",
              rotary=True, causal=True, logit_scale=True), rows(3, 5, 12)),
    LayerCase("multi_head_l2", seeded(L.MultiHeadAttention, 6, 3, qk_norm="l2", softcap=4.0,
              sink=True), several(M, (3, 7, 6))),
    LayerCase("multi_head_factors", seeded(L.MultiHeadAttention, 6, 3, logit_scale=True,
              alibi=True), rows(*M)),
    LayerCase("multi_head_span", spanned(L.MultiHeadAttention, 12, 4, num_kv_heads=2, causal=True,
              adaptive_span=9, span_ramp=2.7, sink=True), rows(3, 7, 12),
              {"kv_lengths": [7, 3, 1]}),
    LayerCase("additive_noise", seeded(L.AdditiveAttention, 6, gumbel_temperature=0.7,
              key_dropout=0.3), rows(*M), drops=True),
    LayerCase("linear_attention", seeded(L.LinearAttention, 6, 2), rows(*M),
              {"mask": np.arange(5) != 2}),
    LayerCase("linear_attention_causal", seeded(L.LinearAttention, 12, 6, num_kv_heads=2,
              causal=True, bias=False), rows(3, 5, 12), {"kv_lengths": [5, 3, 1]}),
    LayerCase("linear_attention_cross", seeded(L.LinearAttention, 6, 3), several(M, (3, 7, 6)),
              {"kv_lengths": [7, 3, 1], "q_lengths": [5, 4, 2]}),
    LayerCase("linear_attention_three", seeded(L.LinearAttention, 6, 3, kdim=5, vdim=7,
              dropout=0.2), several(M, (3, 7, 5), (3, 7, 7)), drops=True),
    LayerCase("spatial_gating", seeded(L.SpatialGating, 6, 7, hidden=9, dropout=0.2), rows(*M),
              {"kv_lengths": [5, 3, 1]}, drops=True),
    LayerCase("spatial_gating_causal", seeded(L.SpatialGating, 6, 5, causal=True, bias=False),
              rows(*M), {"mask": np.arange(5) != 2, "q_lengths": [5, 4, 0]}),
    LayerCase("token_mixing", seeded(L.TokenMixing, 6, 7, hidden=9, dropout=0.2), rows(*M),
              {"kv_lengths": [5, 3, 1], "q_lengths": [5, 4, 0]}, drops=True),
    LayerCase("token_mixing_plain", seeded(L.TokenMixing, 6, 5, bias=False, activation="silu"),
              rows(*M)),
    LayerCase("fourier_mixing", without_rng(L.FourierMixing, 6), rows(*M)),
    LayerCase("fourier_mixing_lengths", without_rng(L.FourierMixing, 7), rows(3, 5, 7),
              {"kv_lengths": [5, 3, 1], "q_lengths": [4, 5, 0]}),
    LayerCase("attention_pooling", seeded(L.AttentionPooling, 6), rows(*M), {"lengths": [5, 2, 1]}),
    LayerCase("attention_pooling_deep", seeded(L.AttentionPooling, 6, 7, 3), rows(*M)),
    LayerCase("additive", seeded(L.AdditiveAttention, 6, bias=True), rows(*M), {"causal": True}),
    LayerCase("additive_cross", seeded(L.AdditiveAttention, 6, 9, kdim=5), several(M, (3, 7, 5)),
              {"kv_lengths": [7, 3, 1], "mask": np.arange(35).reshape(5, 7) % 3 < 2}),
    LayerCase("additive_three", seeded(L.AdditiveAttention, 6, 33, kdim=5, dropout=0.2),
              several(M, (3, 7, 5), (3, 7, 4)), {"mask": np.linspace(-1, 1, 105).reshape(3, 5, 7)},
              drops=True),
    LayerCase("additive_scores", seeded(L.AdditiveAttention, 6, 5, sink=True, alibi=0.3),
              several(M, (3, 7, 6)), {"align": "lower_right", "causal": True}),
    LayerCase("attention_pooling_scale", seeded(L.AttentionPooling, 6, 7, 2, scale=0.4), rows(*M)),
    LayerCase("feature_attention", seeded(L.FeatureAttention, 6), rows(5, 6)),
    LayerCase("feature_attention_penalties", seeded(L.FeatureAttention, 6, penalties={
              "entropy": 0.3, "z": 0.1, "scores_l1": 0.2, "scores_l2": 0.3, "l2": 0.5}),
              rows(3, 5, 6)),
    LayerCase("encoder_layer", seeded(L.EncoderLayer, 6, 2, 13, 0.1), rows(*M),
              {"kv_lengths": [5, 3, 1]}, drops=True),
    LayerCase("encoder_layer_norm_first", seeded(L.EncoderLayer, 6, 2, 13, 0.0, norm_first=True,
              activation="gelu"), rows(*M), {"causal": True}),
    LayerCase("encoder_scores", seeded(L.Encoder, 2, 6, 3, 13, 0.0, scale=1, softcap=2.0, sink=True,
              alibi=True, bias=False, norm=True), rows(*M)),
    LayerCase("encoder_span", spanned(L.Encoder, 2, 6, 3, 13, 0.0, adaptive_span=5, span_ramp=1.7,
              qk_norm="l2"), rows(*M)),
    LayerCase("encoder_rms", seeded(L.Encoder, 2, 6, 3, 13, 0.0, qk_norm="rms"), rows(*M)),
    LayerCase("language_model_l2", seeded(L.LanguageModel, 11, 6, 3, 2, qk_norm="l2",
              num_kv_heads=1, positions="rotary", rate=0.0), tokens((3, 5))),
    LayerCase("causal_layer", seeded(L.CausalLayer, 12, 3, 13, num_kv_heads=1, qk_norm="rms",
              attention_bias="qkv", window=3, rate=0.1), rows(3, 5, 12), drops=True),
    LayerCase("causal_lm", seeded(L.CausalLM, 11, 12, 6, 2, 13, num_kv_heads=2, tied=True,
              rotary=L.RotaryAngles(rule="yarn", factor=2.0, original_length=4), window=[2, None],
              post_norms=True, norm_offset=1.0, embedding_scale=3.0, softcap=2.0,
              logit_softcap=1.5), tokens((3, 5))),
    LayerCase("causal_lm_plain", seeded(L.CausalLM, 11, 6, 2, 2, 13, 9, norm="layer", gated=False,
              bias=True, rotary=False, activation="gelu"), tokens((3, 5)),
              {"mask": np.arange(5) >= np.array([[0], [3], [4]])}),
    LayerCase("relative_bias", seeded(L.RelativePositionBias, 3, 8, 9), lengths(5, 23)),
    LayerCase("relative_bias_before", seeded(L.RelativePositionBias, 3, 7, 12, bidirectional=False),
              lengths(5, 23), {"first": 11}),
    LayerCase("relative_bias_items", seeded(L.RelativePositionBias, 3, 8, 9), lengths(4, 23),
              {"first": [0, 19, 4]}),
    LayerCase("seq2seq_layer", seeded(L.Seq2SeqLayer, 6, 2, 13, head_dim=5, rate=0.1), rows(*M),
              {"bias": np.linspace(-1, 1, 25).reshape(5, 5)}, drops=True),
    LayerCase("seq2seq_decoder_layer", seeded(L.Seq2SeqLayer, 6, 2, 13, gated=True, decoder=True),
              several(M, (3, 7, 6)), {"memory_lengths": [7, 4, 1]}),
    LayerCase("seq2seq_stack", seeded(L.Seq2SeqStack, 11, 6, 2, 3, 13, head_dim=5, num_buckets=8,
              max_distance=5, gated=True, activation="gelu"), tokens((3, 9)),
              {"mask": np.arange(9) >= np.array([[0], [3], [7]])}),
    LayerCase("seq2seq_stack_drops", seeded(L.Seq2SeqStack, 11, 6, 2, 2, 13, rate=0.1),
              tokens((3, 5)), drops=True),
    LayerCase("seq2seq_lm", seeded(L.Seq2SeqLM, 11, 6, 2, 2, 13, num_decoder_layers=3,
              logit_scale=0.4, num_buckets=6, max_distance=5), tokens((3, 7), (3, 5)),
              {"lengths": [7, 4, 1], "target_lengths": [2, 5, 4]}),
    LayerCase("seq2seq_lm_own", seeded(L.Seq2SeqLM, 11, 6, 3, 1, 13, tied=False, gated=True,
              activation="gelu_tanh", head_dim=4), tokens((3, 7), (3, 5)),
              {"mask": np.arange(7) >= np.array([[0], [3], [4]])}),
    LayerCase("encoder", seeded(L.Encoder, 2, 6, 2, 13, 0.1, norm_first=True), rows(*M),
              drops=True),
    *[
        LayerCase(f"encoder_{mixer}", seeded(L.Encoder, 2, 6, 2, 13, 0.1, mixer=mixer,
                  norm_first=True, max_length=7), rows(*M), {"kv_lengths": [5, 3, 1]}, drops=True)
        for mixer in ("linear", "gating", "mlp", "fourier")
    ],
    LayerCase("decoder_linear", seeded(L.Decoder, 2, 12, 4, 13, 0.0, mixer="linear",
              num_kv_heads=2), several((3, 5, 12), (3, 7, 12)),
              {"lengths": [5, 4, 1], "memory_lengths": [7, 3, 1]}),
    LayerCase("decoder_layer", seeded(L.DecoderLayer, 6, 2, 13, 0.1), several(M, (3, 7, 6)),
              {"lengths": [5, 4, 1], "memory_lengths": [7, 3, 1]}, drops=True),
    LayerCase("decoder", seeded(L.Decoder, 2, 6, 2, 13, 0.0, norm_first=True),
              several(M, (3, 7, 6))),
    LayerCase("decoder_grouped", seeded(L.Decoder, 2, 12, 3, 13, 0.0, num_kv_heads=1, rotary=True,
              scale=0.3, sink=True, norm=True, bias=False), several((3, 5, 12), (3, 7, 12)),
              {"lengths": [5, 4, 1], "memory_lengths": [7, 3, 1]}),
    LayerCase("encoder_decoder_alibi", seeded(L.EncoderDecoder, 6, 3, 1, 1, 13, 0.0, alibi=True,
              softcap=1.0, sink=True, num_kv_heads=1), several((3, 7, 6), M)),
    LayerCase("encoder_decoder", seeded(L.EncoderDecoder, 6, 2, 1, 2, 13, 0.1),
              several((3, 7, 6), M), drops=True),
    LayerCase("transformer", seeded(L.Transformer, 11, 11, 6, 2, 1, 13, 0.1, padding_idx=0,
              tied=True), tokens((3, 7), (3, 5)), drops=True),
    LayerCase("transformer_rotary", seeded(L.Transformer, 11, 11, 6, 3, 1, 13, 0.0, num_kv_heads=1,
              positions="rotary", sink=True, bias=False), tokens((3, 7), (3, 5))),
    LayerCase("language_model_alibi", seeded(L.LanguageModel, 11, 6, 3, 2, positions="alibi",
              scale=1.0, softcap=3.0, sink=True, rate=0.0), tokens((3, 5))),
    LayerCase("language_model", seeded(L.LanguageModel, 11, 6, 2, 2), tokens((3, 5)), drops=True),
    *[
        LayerCase(f"language_model_{mixer}", seeded(L.LanguageModel, 11, 6, 2, 2, max_length=9,
                  mixer=mixer), tokens((3, 5)), drops=True)
        for mixer in ("linear", "gating")
    ],
    LayerCase("language_model_rotary", seeded(L.LanguageModel, 11, 6, 1, 1, positions="rotary",
              tied=False, window=3, rate=0.0), tokens((3, 5))),
    LayerCase("language_model_sinusoidal", seeded(L.LanguageModel, 11, 6, 2, 1, rate=0.0,
              positions="sinusoidal"), tokens((3, 5))),
    LayerCase("relative_attention", seeded(L.RelativeAttention, 6, 2), several(M, (3, 4, 6)),
              {"memory_lengths": [4, 2, 0]}),
    LayerCase("segment_recurrent", seeded(L.SegmentRecurrentLM, 11, 6, 2, 2, memory_length=4),
              tokens((3, 5)), drops=True),
    LayerCase("segment_recurrent_norm_last", seeded(L.SegmentRecurrentLM, 11, 6, 2, 1, rate=0.0,
              norm_first=False), tokens((3, 5))),
    LayerCase("bert", seeded(L.BertEncoder, 11, 6, 2, 2, 13, 9), tokens((3, 5)),
              {"lengths": [5, 3, 1], "segments": [0, 0, 1, 1, 1]}, drops=True),
    LayerCase("bert_fourier", seeded(L.BertEncoder, 11, 6, 2, 2, 13, 9, mixer="fourier"),
              tokens((3, 5)), {"lengths": [5, 3, 1]}, drops=True),
    LayerCase("transformer_linear", seeded(L.Transformer, 11, 11, 6, 2, 1, 13, 0.0,
              mixer="linear"), tokens((3, 7), (3, 5)), {"source_lengths": [7, 3, 1]}),
    LayerCase("autoencoder", seeded(L.Autoencoder, 6, 4, 8, 2, 1, num_queries=2, max_length=9),
              rows(*M), {"lengths": [5, 3, 1]}),
    LayerCase("gru", seeded(L.GRU, 6, 4), rows(*M), {"lengths": [5, 3, 1]}),
    LayerCase("gru_state", seeded(L.GRU, 6, 5, 2, bias=False, bidirectional=True),
              several((7, 5, 6), (7, 4, 5))),
    LayerCase("gru_deep", seeded(L.GRU, 6, 5, 3, dropout=0.3, bidirectional=True), rows(7, 5, 6),
              {"lengths": [2, 5, 0, 3, 3, 5, 1]}, drops=True),
    LayerCase("lstm", seeded(L.LSTM, 6, 4), rows(*M), {"lengths": [5, 3, 1]}),
    LayerCase("lstm_state", seeded(L.LSTM, 6, 5, 2, bias=False, bidirectional=True),
              several((7, 5, 6), (7, 4, 5), (7, 4, 5))),
    LayerCase("lstm_deep", seeded(L.LSTM, 6, 5, 3, dropout=0.3, bidirectional=True), rows(7, 5, 6),
              {"lengths": [2, 5, 0, 3, 3, 5, 1]}, drops=True),
    LayerCase("conv1d", seeded(L.Conv1d, 6, 7, 3, padding=1), rows(*M)),
    LayerCase("conv1d_groups", seeded(L.Conv1d, 6, 4, 2, 2, "causal", 2, 2, False), rows(3, 9, 6)),
    LayerCase("patch_embed", seeded(L.PatchEmbed, (6, 4), (3, 2), 2, 5), rows(3, 2, 6, 4)),
    LayerCase("dense", seeded(L.Dense, 4, "relu"), rows(*M)),
    LayerCase("layer_normalization", without_rng(L.LayerNormalization), rows(*M)),
    LayerCase("dense_softmax", seeded(L.Dense, 4, "softmax"), rows(*M)),
]  # fmt: skip
