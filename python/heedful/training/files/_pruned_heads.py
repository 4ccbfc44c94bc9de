"""The heads that were pruned from a model, in the text of its file: shapes do not tell which."""

from __future__ import annotations

import json

from heedful._printable import printable
from heedful._whole_file import AnyPath
from heedful.base._module import Module
from heedful.training.files._safetensors import PRUNED
from heedful.training.files._tensors import read_text


def heads_of(model: Module) -> dict[str, list[int]]:
    """By the names of the layers, the numbers that the heads had before any was removed."""
    found = {name: getattr(layer, "pruned_heads", ()) for name, layer in model.named_layers()}
    return {name: list(heads) for name, heads in found.items() if heads}


def text_of_heads(model: Module) -> dict[str, str]:
    """For a file; nothing where nothing was pruned."""
    heads = heads_of(model)
    return {PRUNED: json.dumps(heads)} if heads else {}


def read_heads(path: AnyPath) -> dict[str, list[int]]:
    """Those in a file, which is not trusted."""
    text = read_text(path).get(PRUNED, "{}")
    try:
        found = json.loads(text)
        if not isinstance(found, dict):
            raise TypeError(f"it is {type(found).__name__}")
        return {name: [_head(head) for head in heads] for name, heads in found.items()}
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            f"path must be a file of weights: its text about heads is damaged, "
            f"{printable(str(error))}"
        ) from None


def _head(given: object) -> int:
    if type(given) is not int or given < 0:
        raise ValueError(f"{given!r} is no head")
    return given
