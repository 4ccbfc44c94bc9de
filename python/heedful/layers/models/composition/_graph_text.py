"""The calls of a functional model as text: one line for each."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful._checks import named
from heedful.layers.models.composition._graph import Graph, Place

_SIGNS = {
    "add": "+", "subtract": "−", "multiply": "·", "divide": "/", "matmul": "@", "greater": ">",
    "greater_equal": "≥", "less": "<", "less_equal": "≤", "equal": "=", "not_equal": "≠",
}  # fmt: skip


def graph_text(graph: Graph, names: list[str]) -> str:
    """The inputs, each call with its arguments, and the outputs."""
    results = [*names, *_results(graph, set(names))]
    lines = [(name, str(spec or "")) for name, spec in zip(names, graph.inputs, strict=True)]
    for call, result in zip(graph.calls, results[len(names) :], strict=True):
        inputs = [_shown(given, results) for given in call.inputs]
        options = [
            f"{name}={_shown(given, results)}"
            for name, given in call.options.items()
            if given is not None and given is not False
        ]
        sign = _SIGNS.get(call.step or "")
        if sign is not None and len(inputs) == 2:
            text = f" {sign} ".join(inputs)
        elif call.step == "index":
            text = f"{inputs[0]}[{_key(call.inputs[1], results)}]"
        else:
            text = f"{call.step or call.name}({', '.join([*inputs, *options])})"
        lines.append((result, text))
    lines.append(("outputs", ", ".join(results[number] for number in graph.outputs)))
    wide = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:{wide}}  {text}".rstrip() for name, text in lines)


def _results(graph: Graph, taken: set[str]) -> list[str]:
    """A name of the result of each call: h1, h2, …"""
    names: list[str] = []
    number = 0
    for _ in graph.calls:
        number += 1
        while f"h{number}" in taken:
            number += 1
        names.append(f"h{number}")
    return names


def _shown(given: Any, results: list[str]) -> str:
    if isinstance(given, Place):
        return results[given.number]
    if isinstance(given, (tuple, list)):
        inner = ", ".join(_shown(one, results) for one in given)
        if isinstance(given, list):
            return f"[{inner}]"
        return f"({inner},)" if len(given) == 1 else f"({inner})"
    if isinstance(given, np.ndarray) and given.size > 4:
        return f"array{given.shape}"
    return named(given)


def _key(key: Any, results: list[str]) -> str:
    parts = key if isinstance(key, tuple) else (key,)
    return ", ".join(_range(part, results) if isinstance(part, slice) else _one(part, results)
                     for part in parts)  # fmt: skip


def _one(part: Any, results: list[str]) -> str:
    return "…" if part is Ellipsis else _shown(part, results)


def _range(part: slice, results: list[str]) -> str:
    ends = ["" if end is None else _shown(end, results) for end in (part.start, part.stop)]
    step = "" if part.step is None else f":{_shown(part.step, results)}"
    return f"{ends[0]}:{ends[1]}{step}"
