"""GPT-2: a decoder with learned positions, whose weights are stored transposed."""

from __future__ import annotations

import re
from collections.abc import Mapping

from heedful.base._types import Array, DType, Rng
from heedful.layers import CausalLM, Layer
from heedful.models._architecture import Architecture, Named
from heedful.models._config import Config
from heedful.models._generation import stop_of
from heedful.models._loading import drop_tied, without

_LAYER = re.compile(r"h\.(\d+)\.(.*)\.(weight|bias)")
_OUTSIDE = {
    "wte.weight": "embedding.weight", "wpe.weight": "positions.weight",
    "ln_f.weight": "norm.weight", "ln_f.bias": "norm.bias", "lm_head.weight": "projection.weight",
}  # fmt: skip
_IN_LAYER = {
    "ln_1": "norm1.", "ln_2": "norm2.", "attn.c_attn": "self_attn.in_proj_",
    "attn.c_proj": "self_attn.out_proj.", "mlp.c_fc": "feed_forward.linear1.",
    "mlp.c_proj": "feed_forward.linear2.",
}  # fmt: skip
_BUFFERS = re.compile(r"h\.\d+\.attn\.(masked_)?bias")


def causal_lm(config: Config, *, dtype: DType, rng: Rng) -> CausalLM:
    for key in ("scale_attn_by_inverse_layer_idx", "add_cross_attention"):
        if config.flag(key, False):
            raise ValueError(f"{key} of {config.file} must be false")
    width = config.integer("n_embd")
    rates = [config.rate(key, 0.1) for key in ("resid_pdrop", "embd_pdrop", "attn_pdrop")]
    model = CausalLM(
        config.integer("vocab_size"), width, config.integer("n_head"), config.integer("n_layer"),
        config.integer("n_inner", 4 * width), config.integer("n_positions", 1024),
        rates[0], norm="layer", eps=config.number("layer_norm_epsilon", 1e-5),
        activation=config.text("activation_function", "gelu_new"), gated=False, bias=True,
        rotary=False, scale=None if config.flag("scale_attn_weights", True) else 1.0,
        tied=config.flag("tie_word_embeddings", True), stop=stop_of(config), dtype=dtype, rng=rng,
    )  # fmt: skip
    model.dropout.rate = rates[1]
    for layer in model.layers:
        layer.self_attn.dropout, layer.feed_forward.dropout.rate = rates[2], 0.0
    return model


def names(state: Mapping[str, Array], model: Layer) -> Named:
    assert isinstance(model, CausalLM)
    rest = without(state, "transformer.")
    if model.tied:
        drop_tied(rest, "lm_head.weight", "wte.weight")
    found: Named = {}
    for name, array in rest.items():
        layer = _LAYER.fullmatch(name)
        if _BUFFERS.fullmatch(name):
            continue
        if layer is None or layer[2] not in _IN_LAYER:
            found[_OUTSIDE.get(name, name)] = array
            continue
        # Conv1D has x W where a linear layer has x Wᵀ
        is_product = layer[3] == "weight" and not layer[2].startswith("ln_")
        own = f"layers.{layer[1]}.{_IN_LAYER[layer[2]]}{layer[3]}"
        found[own] = array.T if is_product else array
    return found


ARCHITECTURE = Architecture("gpt2", {"GPT2LMHeadModel": causal_lm}, names)
