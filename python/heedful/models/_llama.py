"""Llama, Mistral, Qwen 2 and Qwen 3: decoders with RMS norms and gated feed-forward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from heedful.base._types import Array, DType, Rng
from heedful.layers import CausalLM, Layer
from heedful.models._architecture import Architecture, Named
from heedful.models._config import Config
from heedful.models._generation import stop_of
from heedful.models._loading import drop_tied, without
from heedful.models._rotary import angles_of

_LAYER_TYPES = ("full_attention", "sliding_attention")
# own name in a layer → the checkpoint's; several are stacked
IN_LAYER: dict[str, tuple[str, ...]] = {
    "self_attn.in_proj_weight": tuple(f"self_attn.{one}_proj.weight" for one in "qkv"),
    "self_attn.in_proj_bias": tuple(f"self_attn.{one}_proj.bias" for one in "qkv"),
    "self_attn.out_proj.weight": ("self_attn.o_proj.weight",),
    "self_attn.out_proj.bias": ("self_attn.o_proj.bias",),
    "self_attn.q_norm.weight": ("self_attn.q_norm.weight",),
    "self_attn.k_norm.weight": ("self_attn.k_norm.weight",),
    "feed_forward.linear1.weight": ("mlp.gate_proj.weight", "mlp.up_proj.weight"),
    "feed_forward.linear1.bias": ("mlp.gate_proj.bias", "mlp.up_proj.bias"),
    "feed_forward.linear2.weight": ("mlp.down_proj.weight",),
    "feed_forward.linear2.bias": ("mlp.down_proj.bias",),
    "norm1.weight": ("input_layernorm.weight",),
    "norm2.weight": ("post_attention_layernorm.weight",),
}
_OUTSIDE = {
    "embedding.weight": "embed_tokens.weight",
    "norm.weight": "norm.weight",
    "projection.weight": "lm_head.weight",
}


def causal_lm(config: Config, *, dtype: DType, rng: Rng) -> CausalLM:
    kind = config.text("model_type")
    own_biases: dict[str, bool | str] = {"qwen2": "qkv", "mistral": False}
    model = CausalLM(
        **sizes_of(config), rotary=angles_of(config), eps=config.number("rms_norm_eps", 1e-6),
        activation=config.text("hidden_act", "silu"),
        bias=config.flag("mlp_bias", False) if kind == "llama" else False,
        attention_bias=own_biases.get(kind, config.flag("attention_bias", False)),
        qk_norm="rms" if kind == "qwen3" else None, window=_windows(config, kind),
        tied=config.flag("tie_word_embeddings", False), stop=stop_of(config), dtype=dtype, rng=rng,
    )  # fmt: skip
    drop_weights(model, config)
    return model


def sizes_of(config: Config) -> dict[str, Any]:
    heads = config.integer("num_attention_heads")
    return {
        "vocabulary": config.integer("vocab_size"), "d_model": config.integer("hidden_size"),
        "num_layers": config.integer("num_hidden_layers"), "num_heads": heads,
        "dff": config.integer("intermediate_size"),
        "num_kv_heads": config.integer("num_key_value_heads", heads),
        "head_dim": config.integer("head_dim", None),
    }  # fmt: skip


def drop_weights(model: CausalLM, config: Config) -> None:
    """The only dropout of these models, in training: of attention weights."""
    rate = config.rate("attention_dropout", 0.0)
    for layer in model.layers:
        layer.self_attn.dropout = rate


def window_of(config: Config) -> int | None:
    """Of the layers that have one: null is none, an absent key is not."""
    found: int | None = config.integer("sliding_window", config.unless_null("sliding_window", 4096))
    return found


def windows_of(config: Config, kinds: Sequence[str]) -> list[int | None]:
    """The window of each layer by "layer_types", or these kinds where the config has none."""
    given = config.get("layer_types", kinds)
    count = config.integer("num_hidden_layers")
    if not isinstance(given, (list, tuple)) or len(given) != count:
        raise ValueError(f"layer_types of {config.file} must be a list of {count} names")
    for one in given:
        if one not in _LAYER_TYPES:
            raise ValueError(
                f"layer_types of {config.file} must be {' or '.join(_LAYER_TYPES)}: got {one!r}"
            )
    window = window_of(config)
    return [window if one == "sliding_attention" else None for one in given]


def _windows(config: Config, kind: str) -> Any:
    if kind == "llama":
        return None
    if kind == "mistral":
        return window_of(config)
    if not config.flag("use_sliding_window", False):
        return None
    full = config.integer("max_window_layers", 28, minimum=0)
    kinds = [_LAYER_TYPES[i >= full] for i in range(config.integer("num_hidden_layers"))]
    return windows_of(config, kinds)


def names(state: Mapping[str, Array], model: Layer) -> Named:
    return renamed(state, model, IN_LAYER)


def renamed(
    state: Mapping[str, Array], model: Layer, in_layer: Mapping[str, tuple[str, ...]]
) -> Named:
    """The arrays of a checkpoint under the names of a :class:`CausalLM`."""
    assert isinstance(model, CausalLM)
    rest = {
        name: array
        for name, array in without(state, "model.").items()
        if not name.endswith("rotary_emb.inv_freq")  # a buffer of older files
    }
    found: Named = {}
    if model.tied:
        drop_tied(rest, "lm_head.weight", "embed_tokens.weight")
    for own, theirs in _OUTSIDE.items():
        if theirs in rest:
            found[own] = rest.pop(theirs)
    for index in range(len(model.layers)):
        for own, several in in_layer.items():
            parts = [f"layers.{index}.{name}" for name in several]
            if all(part in rest for part in parts):
                arrays = tuple(rest.pop(part) for part in parts)
                found[f"layers.{index}.{own}"] = arrays if len(arrays) > 1 else arrays[0]
    return {**found, **rest}


ARCHITECTURES = tuple(
    Architecture(kind, {f"{name}ForCausalLM": causal_lm}, names)
    for kind, name in (
        ("llama", "Llama"), ("mistral", "Mistral"), ("qwen2", "Qwen2"), ("qwen3", "Qwen3")
    )
)  # fmt: skip
