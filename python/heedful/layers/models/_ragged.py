"""Sequences of different lengths as one padded array."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful._checks import integer_array
from heedful.base._types import Array


def padded(rows: list[Array], fill: int = 0) -> tuple[Array, Array]:
    """Rows of tokens as an array (B, L), padded at their ends, and their lengths."""
    lengths = np.array([len(row) for row in rows], np.int64)
    tokens = np.full((len(rows), lengths.max(initial=0)), fill, np.int64)
    for place, row in zip(tokens, rows, strict=True):
        place[: len(row)] = row
    return tokens, lengths


def padded_if_ragged(name: str, given: Any, fill: int = 0) -> tuple[Any, Array | None]:
    """The argument and None; or for sequences of different lengths what `padded` returns."""
    if not isinstance(given, (list, tuple)):
        return given, None
    if not all(isinstance(row, (list, tuple, np.ndarray)) for row in given):
        return given, None
    if len({len(row) if np.ndim(row[:1]) == 1 else -1 for row in given}) < 2:
        return given, None
    rows = [integer_array(f"{name}[{index}]", row) for index, row in enumerate(given)]
    if any(row.ndim != 1 for row in rows):
        return given, None  # an error where it is used
    return padded([row.astype(np.int64) for row in rows], fill)
