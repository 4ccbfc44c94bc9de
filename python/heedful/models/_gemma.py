"""Gemma and Gemma 2: decoders with norms of 1 + weight, scaled embeddings and soft caps."""

from __future__ import annotations

from collections.abc import Mapping

from heedful.base._types import Array, DType, Rng
from heedful.layers import CausalLM, Layer
from heedful.models._architecture import Architecture, Named
from heedful.models._config import Config
from heedful.models._generation import stop_of
from heedful.models._llama import IN_LAYER, drop_weights, renamed, sizes_of, windows_of
from heedful.models._rotary import angles_of

_SANDWICHED = {
    **IN_LAYER,
    "norm2.weight": ("pre_feedforward_layernorm.weight",),
    "post_norm1.weight": ("post_attention_layernorm.weight",),
    "post_norm2.weight": ("post_feedforward_layernorm.weight",),
}


def causal_lm(config: Config, *, dtype: DType, rng: Rng) -> CausalLM:
    if config.flag("use_bidirectional_attention", False):
        raise ValueError(f"use_bidirectional_attention of {config.file} must be false")
    sizes, second = sizes_of(config), config.text("model_type") == "gemma2"
    depth = sizes["head_dim"] = config.integer("head_dim", 256)
    # "gelu" in files of the first Gemma means the form with tanh, as transformers reads it
    activation = config.text("hidden_activation", config.text("hidden_act", "gelu_pytorch_tanh"))
    kinds = [("sliding_attention", "full_attention")[i % 2] for i in range(sizes["num_layers"])]
    scalar = config.number("query_pre_attn_scalar", 256.0) if second else depth
    model = CausalLM(
        **sizes, rotary=angles_of(config), eps=config.number("rms_norm_eps", 1e-6), norm_offset=1,
        activation="gelu_tanh" if activation == "gelu" and not second else activation,
        attention_bias=config.flag("attention_bias", False), scale=scalar**-0.5,
        embedding_scale=sizes["d_model"] ** 0.5, post_norms=second,
        softcap=_cap(config, "attn_logit_softcapping", 50.0) if second else None,
        logit_softcap=_cap(config, "final_logit_softcapping", 30.0) if second else None,
        window=windows_of(config, kinds) if second else None,
        tied=config.flag("tie_word_embeddings", True), stop=stop_of(config), dtype=dtype, rng=rng,
    )  # fmt: skip
    drop_weights(model, config)
    return model


def _cap(config: Config, key: str, default: float) -> float | None:
    """Null is none, an absent key is not."""
    found: float | None = config.number(key, config.unless_null(key, default))
    return found


def _names(state: Mapping[str, Array], model: Layer) -> Named:
    assert isinstance(model, CausalLM)
    sandwiched = model.layers[0].post_norm1 is not None
    return renamed(state, model, _SANDWICHED if sandwiched else IN_LAYER)


ARCHITECTURES = (
    Architecture("gemma", {"GemmaForCausalLM": causal_lm}, _names),
    Architecture("gemma2", {"Gemma2ForCausalLM": causal_lm}, _names),
)
