"""Folders of a small BERT, written by hand under the names of transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy as library

SIZES = {"vocab_size": 11, "hidden_size": 6, "num_hidden_layers": 2, "num_attention_heads": 2,
         "intermediate_size": 13, "max_position_embeddings": 9}  # fmt: skip
CONFIG = {"model_type": "bert", "architectures": ["BertForSequenceClassification"], **SIZES,
          "id2label": {"0": "a", "1": "b", "2": "c"}}  # fmt: skip
TOKENS = [[1, 2, 3], [4, 5, 6]]
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


def checkpoint(seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of such a model under transformers' names."""
    rng = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (11, 6),
        "embeddings.position_embeddings.weight": (9, 6),
        "embeddings.token_type_embeddings.weight": (2, 6),
        "embeddings.LayerNorm.weight": (6,), "embeddings.LayerNorm.bias": (6,),
    }  # fmt: skip
    for layer in range(2):
        dense = {"attention.self.query": (6, 6), "attention.self.key": (6, 6),
                 "attention.self.value": (6, 6), "attention.output.dense": (6, 6),
                 "intermediate.dense": (13, 6), "output.dense": (6, 13)}  # fmt: skip
        for name, shape in dense.items():
            shapes[f"encoder.layer.{layer}.{name}.weight"] = shape
            shapes[f"encoder.layer.{layer}.{name}.bias"] = shape[:1]
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes[f"encoder.layer.{layer}.{name}.weight"] = (6,)
            shapes[f"encoder.layer.{layer}.{name}.bias"] = (6,)
    shapes |= {"pooler.dense.weight": (6, 6), "pooler.dense.bias": (6,)}
    shapes = {f"bert.{name}": shape for name, shape in shapes.items()}
    shapes |= {"classifier.weight": (3, 6), "classifier.bias": (3,)}
    return {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def write(folder: Path, config: Any = None, tensors: Any = None) -> Path:
    text = json.dumps(CONFIG if config is None else config)
    (folder / "config.json").write_text(text, encoding="utf-8")
    library.save_file(checkpoint() if tensors is None else tensors, folder / "model.safetensors")
    return folder


def write_shards(folder: Path, weight_map: dict[str, Any] | None = None) -> Path:
    write(folder)
    (folder / "model.safetensors").unlink()
    tensors = checkpoint()
    names = list(tensors)
    parts = {FIRST: names[:20], SECOND: names[20:]}
    for shard, own in parts.items():
        library.save_file({name: tensors[name] for name in own}, folder / shard)
    found = {name: shard for shard, own in parts.items() for name in own}
    index = json.dumps({"weight_map": {**found, **(weight_map or {})}})
    (folder / "model.safetensors.index.json").write_text(index, encoding="utf-8")
    return folder
