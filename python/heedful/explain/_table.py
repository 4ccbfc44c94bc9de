"""pandas tables: attention weights, and rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from heedful.base._types import Array
from heedful.explain._layer_weights import LayerWeights

_NO_HEAD = -1
_COLUMNS = ("layer", "head", "query", "key", "query_token", "key_token", "weight")
_TEXTS = ("layer", "query_token", "key_token")


def table(layers: Sequence[LayerWeights]) -> Any:
    """A pandas.DataFrame with a row for each weight; names and tokens are categories."""
    pandas = _pandas()
    codes: dict[str, dict[str, int]] = {name: {} for name in _TEXTS}

    def coded(name: str, texts: Sequence[str]) -> Array:
        """Numbers of texts: millions of strings would take longer than all else."""
        own = codes[name]
        return np.array([own.setdefault(text, len(own)) for text in texts], np.int32)

    parts: dict[str, list[Array]] = {name: [] for name in _COLUMNS}
    for layer in layers:
        shape = layer.weights.shape
        axes = {
            "layer": (0, coded("layer", [layer.name])),
            "head": (0, np.array(layer.heads or [_NO_HEAD], np.int64)),
            "query": (1, np.array(layer.rows, np.int64)),
            "key": (2, np.array(layer.key_positions, np.int64)),
            "query_token": (1, coded("query_token", layer.query_tokens)),
            "key_token": (2, coded("key_token", layer.key_tokens)),
        }
        for name, (axis, entries) in axes.items():
            along = entries.reshape([-1 if axis == at else 1 for at in range(3)])
            parts[name].append(np.broadcast_to(along, shape).ravel())
        parts["weight"].append(layer.weights.ravel())
    columns: dict[str, Any] = {
        name: np.concatenate(found) if found else np.empty(0, np.int64)
        for name, found in parts.items()
    }
    for name in _TEXTS:
        columns[name] = pandas.Categorical.from_codes(columns[name], list(codes[name]))
    columns["head"] = pandas.arrays.IntegerArray(columns["head"], columns["head"] == _NO_HEAD)
    return pandas.DataFrame(columns)


def frame(rows: Sequence[dict[str, Any]], index: Sequence[str] | None = None) -> Any:
    """A pandas.DataFrame of rows, each by the names of columns."""
    return _pandas().DataFrame(rows, index)


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise ImportError("to_pandas needs the package pandas: pip install pandas") from None
    return pandas
