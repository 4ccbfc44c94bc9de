"""The modules of a sentence-transformers model after its encoder, read from its files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from heedful._checks import named
from heedful.integrations._sentence_pooling import Array, Mode, pooled, pooling_mode
from heedful.integrations._sentence_tokenizer import read_json
from heedful.layers import Layer, Linear
from heedful.training import load_weights

_ACTIVATIONS = {
    "Identity": None, "Tanh": "tanh", "ReLU": "relu", "GELU": "gelu", "SiLU": "silu",
    "Sigmoid": "sigmoid",
}  # fmt: skip


class SentenceModules(NamedTuple):
    """The encoder's folder, and the pooling and later modules."""

    encoder: Path
    mode: Mode
    later: list[Callable[[Array], Array]]  # (B, E) → (B, E'), in order after the pooling
    include_prompt: bool = True

    def __call__(self, y: Array, lengths: Array, prompt: int = 0) -> Array:
        """y (B, L, E) of texts of `lengths` (B,) → vectors (B, E').

        The first `prompt` tokens are the prompt's.
        """
        vectors = pooled(self.mode, y, lengths, 0 if self.include_prompt else prompt)
        for function in self.later:
            vectors = function(vectors)
        return vectors


@np.errstate(all="ignore")  # small elements may underflow
def normalised(vectors: Array) -> Array:
    """Each divided by its norm."""
    found: Array = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return found


def read_modules(folder: Path, normalize: bool | None) -> SentenceModules:
    """The modules that modules.json lists.

    Without that file: the pooling of 1_Pooling, and a norm; without that, too, the mean and no
    norm, as sentence-transformers reads a model that is not a sentence model.
    `normalize` overrides whether vectors are divided by their norm.
    """
    listed = read_json(folder / "modules.json")
    if listed is None:
        return _unlisted(folder, normalize)
    kinds = [_module(folder, entry) for entry in listed]
    names = [kind for kind, _ in kinds]
    if names[:2] != ["Transformer", "Pooling"]:
        raise ValueError(f"modules.json must begin with Transformer and Pooling: got {names}")
    (_, encoder), (_, pooling), *others = kinds
    later: list[Callable[[Array], Array]] = []
    for kind, place in others:
        if kind == "Dense":
            later.append(_dense(place))
        elif kind == "Normalize":
            _check_whole(read_json(place / "config.json") or {}, kind)
            if normalize is not False:
                later.append(normalised)
        elif kind != "Dropout":  # the identity in inference
            raise ValueError(f"modules.json must list Dense and Normalize alone: got {kind!r}")
    if normalize and normalised not in later[-1:]:
        later.append(normalised)
    config = read_json(pooling / "config.json")
    mode = "mean" if config is None else pooling_mode(config)
    return SentenceModules(encoder, mode, later, _includes_prompt(config))


def _unlisted(folder: Path, normalize: bool | None) -> SentenceModules:
    config = read_json(folder / "1_Pooling" / "config.json")
    if normalize is None:
        normalize = config is not None
    mode = "mean" if config is None else pooling_mode(config)
    later = [normalised] if normalize else []
    return SentenceModules(folder, mode, list(later), _includes_prompt(config))


def _includes_prompt(config: dict[str, Any] | None) -> bool:
    return config is None or bool(config.get("include_prompt", True))


def _module(folder: Path, entry: Any) -> tuple[str, Path]:
    """The type of a module and its folder, which is the model's or inside it."""
    try:
        kind, place = str(entry["type"]).rpartition(".")[2], PurePosixPath(entry["path"])
    except (KeyError, TypeError):
        raise ValueError(
            f"modules.json must list modules with type and path: got {named(entry)}"
        ) from None
    if place.is_absolute() or ".." in place.parts or "\\" in str(place) or ":" in str(place):
        raise ValueError(f"modules must lie in the folder of the model: got {str(place)!r}")
    return kind, folder / place


class _Dense(Layer):
    """A layer with the parameter names of the file."""

    def __init__(self, linear: Linear) -> None:
        self.linear = linear


def _dense(place: Path) -> Linear:
    config = read_json(place / "config.json") or {}
    _check_whole(config, "Dense")
    if config.get("use_residual"):
        raise ValueError("a Dense must have no residual connection: got use_residual true")
    name = str(config.get("activation_function", "Tanh")).rpartition(".")[2]
    if name not in _ACTIVATIONS:
        raise ValueError(
            f"the activation of a Dense must be one of {', '.join(_ACTIVATIONS)}: got {named(name)}"
        )
    layer = Linear(
        config["in_features"], config["out_features"], bool(config.get("bias", True)),
        activation=_ACTIVATIONS[name],
    )  # fmt: skip
    load_weights(_Dense(layer), place)
    return layer


def _check_whole(config: dict[str, Any], kind: str) -> None:
    """Require that a module's input and output, if stated, are the vector of the text."""
    for name in ("module_input_name", "module_output_name"):
        given = config.get(name) or "sentence_embedding"
        if given != "sentence_embedding":
            raise ValueError(f"{name} of a {kind} must be 'sentence_embedding': got {named(given)}")
