"""What a sentence-transformers model does behind its encoder, as its files say it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from heedful._checks import named
from heedful.layers import Layer, Linear
from heedful.training import load_weights

Array: TypeAlias = np.ndarray[Any, Any]

_MODES = ("cls", "mean", "max", "mean_sqrt_len")
# the names of a pooling's config.json
_KEYS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
}
_ACTIVATIONS = {
    "Identity": None, "Tanh": "tanh", "ReLU": "relu", "GELU": "gelu", "SiLU": "silu",
    "Sigmoid": "sigmoid",
}  # fmt: skip


class SentenceModules(NamedTuple):
    """The encoder's folder, and what makes one vector of its vectors."""

    encoder: Path
    mode: str
    behind: list[Callable[[Array], Array]]  # (B, E) → (B, E')

    def __call__(self, y: Array, lengths: Array) -> Array:
        """y (B, L, E) of texts that are `lengths` (B,) long → vectors (B, E')."""
        vectors = pooled(self.mode, y, lengths)
        for function in self.behind:
            vectors = function(vectors)
        return vectors


@np.errstate(all="ignore")
def pooled(mode: str, y: Array, lengths: Array) -> Array:
    """y (B, L, E) → (B, E), over the first `lengths` (B,) rows of each item."""
    if mode == "cls":
        first: Array = y[:, 0]
        return first
    counted = np.arange(y.shape[1]) < lengths[:, None]
    if mode == "max":
        greatest: Array = np.where(counted[..., None], y, -np.inf).max(1)
        return greatest.astype(y.dtype)
    divisor = np.maximum(lengths, 1)[:, None]
    if mode == "mean_sqrt_len":
        divisor = np.sqrt(divisor)
    mean: Array = np.einsum("ble,bl->be", y, counted.astype(y.dtype)) / divisor
    return mean


@np.errstate(all="ignore")  # small numbers may underflow
def normalised(vectors: Array) -> Array:
    """Each divided by its norm."""
    found: Array = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return found


def read_modules(folder: Path, normalize: bool | None) -> SentenceModules:
    """What modules.json lists; without one mean pooling and a norm, if 1_Pooling says no other.

    `normalize` overrides whether vectors are divided by their norm.
    """
    listed = _json(folder / "modules.json")
    if listed is None:
        mode = _mode(folder / "1_Pooling" / "config.json") or "mean"
        return SentenceModules(folder, mode, [] if normalize is False else [normalised])
    kinds = [(str(entry["type"]).rpartition(".")[2], folder / entry["path"]) for entry in listed]
    names = [kind for kind, _ in kinds]
    if names[:2] != ["Transformer", "Pooling"]:
        raise ValueError(f"modules.json must begin with Transformer and Pooling: got {names}")
    (_, encoder), (_, pooling), *rest = kinds
    behind: list[Callable[[Array], Array]] = []
    for kind, place in rest:
        if kind == "Dense":
            behind.append(_dense(place))
        elif kind == "Normalize":
            if normalize is not False:
                behind.append(normalised)
        elif kind != "Dropout":  # which does nothing in inference
            raise ValueError(f"modules.json must list Dense and Normalize alone: got {kind!r}")
    if normalize and normalised not in behind[-1:]:
        behind.append(normalised)
    return SentenceModules(encoder, _mode(pooling / "config.json") or "mean", behind)


def _mode(path: Path) -> str | None:
    """The one way of pooling that a config.json asks for; None where there is no file."""
    config = _json(path)
    if config is None:
        return None
    asked = [key for key, value in config.items() if key.startswith("pooling_mode_") and value]
    modes = [_KEYS.get(key, key.removeprefix("pooling_mode_")) for key in asked]
    if "pooling_mode" in config:  # as later versions write it
        given = config["pooling_mode"]
        modes = [given] if isinstance(given, str) else list(given)
    if len(modes) != 1 or modes[0] not in _MODES:
        raise ValueError(
            f"the pooling of a model must be one of {', '.join(_MODES)}: got {', '.join(modes)}"
        )
    if config.get("include_prompt") is False:
        raise ValueError("the pooling of a model must include its prompt: got include_prompt false")
    return str(modes[0])


class _Dense(Layer):
    """With the names that the file has."""

    def __init__(self, linear: Linear) -> None:
        self.linear = linear


def _dense(place: Path) -> Linear:
    config = _json(place / "config.json") or {}
    name = str(config.get("activation_function", "Tanh")).rpartition(".")[2]
    if name not in _ACTIVATIONS:
        raise ValueError(
            f"the activation of a Dense must be one of {', '.join(_ACTIVATIONS)}: got {named(name)}"
        )
    layer = Linear(
        config["in_features"], config["out_features"], bool(config.get("bias", True)),
        activation=_ACTIVATIONS[name],
    )  # fmt: skip
    load_weights(_Dense(layer), place / "model.safetensors")
    return layer


def _json(path: Path) -> Any:
    """What a file says; None where there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
