"""ViT: the vision Transformer, and its head."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from heedful._printable import printable
from heedful.base._types import Array, DType, Rng
from heedful.layers import Layer
from heedful.layers.models._bert_names import renamed
from heedful.models._architecture import Architecture, Named
from heedful.models._config import Config
from heedful.models._labels import num_labels
from heedful.models._loading import without
from heedful.models._vision_models import ImageClassification, VisionEncoder

_SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
          "image_size", "patch_size")  # fmt: skip
_SIMPLE = {
    "embeddings.patch_embeddings.projection.": "patches.",
    "layernorm.": "encoder.norm.",
    "pooler.dense.": "pooler.",
}
# of a file, and of a model of transformers 5 in memory
_IN_LAYER = {
    "attention.output.dense.": "self_attn.out_proj.", "attention.o_proj.": "self_attn.out_proj.",
    "layernorm_before.": "norm1.", "layernorm_after.": "norm2.",
    "intermediate.dense.": "linear1.", "mlp.fc1.": "linear1.",
    "output.dense.": "linear2.", "mlp.fc2.": "linear2.",
}  # fmt: skip
_LAYER = re.compile(r"(?:encoder\.layer|layers)\.(\d+)\.(.*)")
_PROJECTION = re.compile(r"attention\.(?:attention\.(query|key|value)|([qkv])_proj)\.(weight|bias)")
# of a model that restores hidden patches
_IGNORED = re.compile(r"embeddings\.mask_token|decoder\.|classifier\.")


def encoder(config: Config, *, dtype: DType, rng: Rng, pooler: bool = True) -> VisionEncoder:
    for key in _SIZES:
        _size(config, key)
    if not config.flag("qkv_bias", True):
        raise ValueError(f"qkv_bias of {config.file} must be true: got false")
    width = config.integer("hidden_size")
    found = VisionEncoder(
        _size(config, "image_size"), _size(config, "patch_size"),
        config.integer("num_channels", 3), width, config.integer("num_attention_heads"),
        config.integer("num_hidden_layers"), config.integer("intermediate_size"),
        config.rate("hidden_dropout_prob", 0.0), activation=config.text("hidden_act", "gelu"),
        eps=config.number("layer_norm_eps", 1e-12),
        pooler_size=config.integer("pooler_output_size", width) if pooler else None,
        pooler_activation=config.text("pooler_act", "tanh"), dtype=dtype, rng=rng,
    )  # fmt: skip
    rate = config.rate("attention_probs_dropout_prob", 0.0)
    for layer in found.encoder.layers:
        layer.self_attn.dropout = rate
    return found


def labels(config: Config, *, dtype: DType, rng: Rng) -> ImageClassification:
    vision = encoder(config, dtype=dtype, rng=rng, pooler=False)
    return ImageClassification(vision, num_labels(config), rng=rng)


def _size(config: Config, key: str) -> Any:
    """An integer, or a list of two."""
    return tuple(given) if isinstance(given := config.get(key), list) else config.integer(key)


def names(state: Mapping[str, Array], model: Layer) -> Named:
    whole = without(without(state, "module."), "vit.")
    head = isinstance(model, ImageClassification)
    vision = model.vision if isinstance(model, ImageClassification) else model
    assert isinstance(vision, VisionEncoder)
    if "pooler.dense.weight" not in whole:
        vision.pooler = None
    found: Named = {}
    parts: dict[str, dict[str, Array]] = {}  # name of the whole → part → array
    for name, array in whole.items():
        if head and name.startswith("classifier."):
            found[name] = array
        elif _IGNORED.match(name) or (name.startswith("pooler.") and vision.pooler is None):
            continue
        else:
            _place(name, array, "vision." if head else "", found, parts)
    for name, by_part in parts.items():
        missing = [part for part in "qkv" if part not in by_part]
        if missing:
            raise ValueError(f"the files lack the {' and '.join(missing)} of {printable(name)}")
        found[name] = tuple(by_part[part] for part in "qkv")
    return found


def _place(
    name: str, array: Array, prefix: str, found: Named, parts: dict[str, dict[str, Array]]
) -> None:
    """Puts an array under its own name, or with the parts of a joint projection."""
    layer = _LAYER.fullmatch(name)
    if name == "embeddings.cls_token":
        found[f"{prefix}class_token"] = array.reshape(-1)
    elif name == "embeddings.position_embeddings":
        found[f"{prefix}positions.weight"] = array.reshape(array.shape[-2:])
    elif layer is None:
        found[prefix + renamed(name, _SIMPLE)] = array
    elif (projection := _PROJECTION.fullmatch(layer[2])) is not None:
        part = projection[2] or projection[1][0]
        kind = projection[3]
        whole = f"{prefix}encoder.layers.{layer[1]}.self_attn.in_proj_{kind}"
        parts.setdefault(whole, {})[part] = array
    else:
        found[f"{prefix}encoder.layers.{layer[1]}.{renamed(layer[2], _IN_LAYER)}"] = array


ARCHITECTURE = Architecture(
    "vit", {"ViTModel": encoder, "ViTForImageClassification": labels}, names
)
