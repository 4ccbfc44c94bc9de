"""Files of feedback: JSON in the text of one file, painted maps as its tensors."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NamedTuple

import numpy as np

from heedful._printable import printable
from heedful._whole_file import AnyPath
from heedful.base._types import Array
from heedful.explain._correction import KINDS, PAINTED, PREFERRED, Correction, Pattern, Rivals
from heedful.training.files._tensors import read_tensors, write_tensors

_KEY = "attention_feedback"
_VERSION = 1


class Saved(NamedTuple):
    model: str
    vocabulary: str
    where: list[str]
    heads: dict[str, list[int]] | None
    corrections: list[Correction]


def write_feedback(saved: Saved, path: AnyPath) -> None:
    """Atomically."""
    rows = [
        {name: value for name, value in correction._asdict().items() if name != "target"}
        for correction in saved.corrections
    ]
    tensors = {one.id: one.target for one in saved.corrections if one.target is not None}
    text = json.dumps({"version": _VERSION, **saved._asdict(), "corrections": rows})
    write_tensors(tensors, path, {"format": "np", _KEY: text})


def read_feedback(path: AnyPath) -> Saved:
    """What is in a file, which is not trusted."""
    tensors, text = read_tensors(path)
    if _KEY not in text:
        raise ValueError("path must be a file that AttentionFeedback.save wrote: got another one")
    try:
        given = json.loads(text[_KEY])
        if given["version"] != _VERSION:
            raise ValueError(f"version {given['version']}")
        return Saved(
            _of(str, given["model"]), _of(str, given["vocabulary"]),
            [_of(str, name) for name in given["where"]], _heads(given["heads"]),
            [_correction(row, tensors) for row in given["corrections"]],
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, re.error) as error:
        raise ValueError(
            "path must be a file that AttentionFeedback.save wrote: its text is damaged, "
            f"{printable(str(error))}"
        ) from None


def _correction(row: dict[str, Any], tensors: dict[str, Array]) -> Correction:
    kind, length = _of(str, row["kind"]), _of(int, row["length"])
    strength = float(_of(float, row["strength"]))
    if kind not in KINDS or length < 1 or not (math.isfinite(strength) and strength >= 0):
        raise ValueError(f"a correction of {kind!r}, {length} positions, strength {strength}")
    marks = _marks(row["words"], row["patterns"], row["positions"], length)
    over = None
    if kind == PREFERRED:
        words, rivals, places = row["over"]
        over = Rivals(*_marks(words, rivals, places, length))
    tokens = row["tokens"]
    if tokens is not None:
        tokens = tuple(_of(str, token) for token in tokens)
        if len(tokens) != length:
            raise ValueError(f"{len(tokens)} tokens of {length} positions")
    example = row["example"]
    if example is not None and type(example) not in (str, int):
        raise TypeError(f"an example {example!r}")
    target = None
    if kind == PAINTED:
        target = tensors[row["id"]]
        fits = target.shape == (length,) and target.dtype == np.float64
        if not fits or not (np.isfinite(target).all() and (target >= 0).all() and target.any()):
            raise ValueError(f"a painted map of shape {target.shape} and type {target.dtype}")
    return Correction(
        _of(str, row["id"]), kind, *marks, length, tokens, example, strength, target,
        _of(str, row["note"]), over,
    )  # fmt: skip


def _marks(
    words: Any, patterns: Any, positions: Any, length: int
) -> tuple[tuple[str, ...], tuple[Pattern, ...], tuple[int, ...]]:
    compiled = tuple((_of(str, one), _of(int, flags)) for one, flags in patterns)
    for pattern, flags in compiled:
        re.compile(pattern, flags)
    places = tuple(_of(int, place) for place in positions)
    if any(not 0 <= place < length for place in places):
        raise ValueError(f"positions outside {length}")
    return tuple(_of(str, word) for word in words), compiled, places


def _heads(given: Any) -> dict[str, list[int]] | None:
    if given is None:
        return None
    return {_of(str, name): [_of(int, head) for head in heads] for name, heads in given.items()}


def _of(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{value!r} in the place of {kind.__name__}")
    return value
