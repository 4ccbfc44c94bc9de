"""T5, T5 1.1, FLAN-T5 and mT5: encoder-decoders with relative positions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from heedful.base._bfloat16_parameter import Bfloat16Parameter
from heedful.base._quantizable import unset_bfloat16
from heedful.base._types import Array, DType, Rng
from heedful.layers import Layer, Linear, Seq2SeqLM, Seq2SeqStack
from heedful.layers.blocks._initial import without_initial_values
from heedful.models._architecture import Architecture, Named
from heedful.models._config import Config
from heedful.models._generation import stop_of
from heedful.models._loading import same_values

_SELF = "layer.0.SelfAttention"
_IN_BLOCK: dict[str, tuple[str, ...]] = {
    "self_attn.in_proj_weight": tuple(f"{_SELF}.{one}.weight" for one in "qkv"),
    "self_attn.out_proj.weight": (f"{_SELF}.o.weight",),
    "norm1.weight": ("layer.0.layer_norm.weight",),
}
_ACROSS: dict[str, tuple[str, ...]] = {
    "multihead_attn.in_proj_weight": tuple(
        f"layer.1.EncDecAttention.{one}.weight" for one in "qkv"
    ),
    "multihead_attn.out_proj.weight": ("layer.1.EncDecAttention.o.weight",),
    "norm2.weight": ("layer.1.layer_norm.weight",),
}
# an attention to memory has none: files of early versions hold one that is not used
_UNUSED = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"


def conditional_generation(config: Config, *, dtype: DType, rng: Rng) -> Seq2SeqLM:
    sizes = _sizes(config)
    # a config of T5 1.1 says that the projection is not tied, which means that its input is not
    # scaled either; of transformers 5 it says the latter by itself. mT5 is a T5 1.1
    scaled = config.text("model_type") == "t5" and config.flag(
        "scale_decoder_outputs", config.flag("tie_word_embeddings", True)
    )
    return Seq2SeqLM(
        **sizes, num_decoder_layers=config.integer("num_decoder_layers", None), tied=scaled,
        logit_scale=sizes["d_model"] ** -0.5 if scaled else 1.0,
        start=config.integer("decoder_start_token_id", config.integer("pad_token_id", 0, 0), 0),
        stop=stop_of(config, 1), dtype=dtype, rng=rng,
    )  # fmt: skip


def encoder(config: Config, *, dtype: DType, rng: Rng) -> Seq2SeqStack:
    return Seq2SeqStack(**_sizes(config), dtype=dtype, rng=rng)


def _sizes(config: Config) -> dict[str, Any]:
    usual = "relu" if config.text("model_type") == "t5" else "gated-gelu"
    gate, _, activation = config.text("feed_forward_proj", usual).rpartition("-")
    if gate not in ("", "gated"):
        raise ValueError(
            f"feed_forward_proj of {config.file} must be an activation, or 'gated-' and one: "
            f"got {config['feed_forward_proj']!r}"
        )
    return {
        "vocabulary": config.integer("vocab_size"), "d_model": config.integer("d_model"),
        "num_heads": config.integer("num_heads"), "num_layers": config.integer("num_layers"),
        "dff": config.integer("d_ff"), "head_dim": config.integer("d_kv"),
        "rate": config.rate("dropout_rate", 0.1),
        "eps": config.number("layer_norm_epsilon", 1e-6), "gated": bool(gate),
        # "gelu" of a gate means the form with tanh
        "activation": "gelu_new" if gate and activation == "gelu" else activation,
        "num_buckets": config.integer("relative_attention_num_buckets", 32),
        "max_distance": config.integer("relative_attention_max_distance", 128),
    }  # fmt: skip


def names(state: Mapping[str, Array], model: Layer) -> Named:
    rest = {name: array for name, array in state.items() if name != _UNUSED}
    if isinstance(model, Seq2SeqStack):
        rest = {
            name: array
            for name, array in rest.items()
            if not name.startswith(("decoder.", "lm_head."))
        }
        return {**_without_copies(rest), **_of_stack(rest, "encoder.", "", model), **rest}
    assert isinstance(model, Seq2SeqLM)
    found = _without_copies(rest, "encoder.")
    head = rest.pop("lm_head.weight", None)
    if head is not None:
        found["projection.weight"] = head
        embedding = found.get("encoder.embedding.weight")
        # a tuple would be arrays that are joined; the embedding is one
        if model.tied and isinstance(embedding, np.ndarray) and not same_values(embedding, head):
            _untie(model)  # whatever the config says, as in transformers; still with its scale
    elif not model.tied:  # a file of T5 1.1 without it has the embedding's in its place
        model.projection.weight = model.encoder.embedding.weight
        model.tied = True
    for part, stack in (("encoder.", model.encoder), ("decoder.", model.decoder)):
        found |= _of_stack(rest, part, part, stack)
    return found | rest


def _untie(model: Seq2SeqLM) -> None:
    """Gives the projection a weight of its own, in the form of the embedding's."""
    with without_initial_values():
        model.projection = Linear(
            model.projection.in_features, model.vocabulary, False, dtype=model.dtype
        )
    if isinstance(model.encoder.embedding.own_parameters()["weight"], Bfloat16Parameter):
        unset_bfloat16(model.projection)
    model.tied = False


def _without_copies(rest: dict[str, Array], part: str = "") -> Named:
    """The embedding, which some files have three times; transformers reads the first of these."""
    names = ("shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
    given = [array for name in names if (array := rest.pop(name, None)) is not None]
    return {f"{part}embedding.weight": given[0]} if given else {}


def _of_stack(rest: dict[str, Array], theirs: str, own: str, stack: Seq2SeqStack) -> Named:
    """The arrays of one stack, which are taken out of `rest`."""
    last = 2 if stack.decoder else 1
    gated = hasattr(stack.layers[0].feed_forward, "dff")
    feed = f"layer.{last}.DenseReluDense"
    in_block = {
        **_IN_BLOCK,
        **(_ACROSS if stack.decoder else {}),
        "feed_forward.linear1.weight": tuple(
            f"{feed}.{name}.weight" for name in (("wi_0", "wi_1") if gated else ("wi",))
        ),
        "feed_forward.linear2.weight": (f"{feed}.wo.weight",),
        "norm3.weight": (f"layer.{last}.layer_norm.weight",),
    }
    places = {
        "position_bias.weight": (f"block.0.{_SELF}.relative_attention_bias.weight",),
        "norm.weight": ("final_layer_norm.weight",),
    } | {
        f"layers.{index}.{mine}": tuple(f"block.{index}.{name}" for name in several)
        for index in range(len(stack.layers))
        for mine, several in in_block.items()
    }  # fmt: skip
    found: Named = {}
    for mine, several in places.items():
        parts = [theirs + name for name in several]
        if all(part in rest for part in parts):
            arrays = tuple(rest.pop(part) for part in parts)
            found[own + mine] = arrays if len(arrays) > 1 else arrays[0]
    return found


ARCHITECTURES = tuple(
    Architecture(
        kind,
        {f"{name}ForConditionalGeneration": conditional_generation, f"{name}EncoderModel": encoder},
        names,
    )
    for kind, name in (("t5", "T5"), ("mt5", "MT5"))
)
