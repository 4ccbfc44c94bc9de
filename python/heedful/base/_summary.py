"""Representations of a layer: repr, the table of summary, and HTML for notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from heedful.base._parameter import Parameter
from heedful.base._types import Array

if TYPE_CHECKING:
    from heedful.base._node import Node


def title(layer: Node) -> str:
    return f"{type(layer).__name__}({layer.extra_repr()})"


def text(layer: Node) -> str:
    """One line for each layer, indented; consecutive layers with equal text as one."""
    inside = list(layer.layers_inside())
    if not inside:
        return title(layer)
    lines = [f"{type(layer).__name__}({layer.extra_repr()}"]
    for name, inner in _together([(name, text(inner)) for name, inner in inside]):
        lines.append("  " + f"({name}): {inner}".replace("\n", "\n  "))
    return "\n".join([*lines, ")"])


def _together(items: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Consecutive equal layers of one list under one name: layers.0-5."""
    runs: list[tuple[str, str, str]] = []  # first name, last name, what it is
    for name, shown in items:
        kind = name.rpartition(".")[0]
        if runs and runs[-1][2] == shown and kind and runs[-1][0].rpartition(".")[0] == kind:
            runs[-1] = (runs[-1][0], name, shown)
        else:
            runs.append((name, name, shown))
    return [
        (first if first == last else f"{first}-{last.rpartition('.')[2]}", shown)
        for first, last, shown in runs
    ]


class Row(NamedTuple):
    """One layer in the table of a model."""

    depth: int
    name: str
    title: str
    shapes: str
    elements: str  # their count, without parameters shown before


def rows(layer: Node) -> list[Row]:
    """All layers with their parameters, outermost first."""
    found: list[Row] = []
    shown: set[int] = set()

    def add(name: str, inner: Node, depth: int) -> None:
        own = list(inner.parameters_here())
        fresh = [parameter.value for _, parameter in own if id(parameter) not in shown]
        shapes = [
            f"{key} {parameter.value.shape}"
            + ("" if id(parameter) not in shown else " shared")
            + _state(parameter)
            for key, parameter in own
        ]
        shown.update(id(parameter) for _, parameter in own)
        elements = "unbuilt" if inner.awaited else _count(fresh) if own else ""
        found.append(Row(depth, name, title(inner), ", ".join(shapes), elements))
        for child, deeper in inner.layers_inside():
            add(child, deeper, depth + 1)

    add("", layer, 0)
    return found


def _state(parameter: Parameter) -> str:
    if parameter.value.dtype == np.int8:
        return " int8"
    return "" if parameter.trainable else " frozen"


def _count(values: Sequence[Array]) -> str:
    """Of elements, with their bytes where some are int8."""
    count = f"{sum(value.size for value in values):,}"
    if not any(value.dtype == np.int8 for value in values):
        return count
    return f"{count} in {sum(value.nbytes for value in values):,} bytes"


def total(layer: Node) -> str:
    if any(inner.awaited for _, inner in layer.named_layers()):
        return "unbuilt"
    return _count(list({id(own): own.value for _, own in layer.named_parameters()}.values()))


def table(layer: Node) -> str:
    """The table as text."""
    cells = [
        ("  " * row.depth + (f"{row.name}: " if row.name else "") + row.title, row.shapes,
         row.elements) for row in rows(layer)
    ]  # fmt: skip
    cells = [("layer", "parameters", "elements"), *cells, ("all", "", total(layer))]
    wide = [max(len(row[column]) for row in cells) for column in range(3)]
    lines = [f"{a:{wide[0]}}  {b:{wide[1]}}  {c:>{wide[2]}}" for a, b, c in cells]
    rule = "-" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def html(layer: Node) -> str:
    """The table for a notebook. All text is escaped: names come from users."""
    from html import escape  # only now: it is slow to import, and needed in notebooks alone

    body = "".join(
        f'<tr><td style="text-align:left;padding-left:{1.2 * row.depth + 0.5:.1f}em">'
        f"{escape(row.name)}</td>"
        f'<td style="text-align:left">{escape(row.title)}</td>'
        f'<td style="text-align:left">{escape(row.shapes)}</td>'
        f'<td style="text-align:right">{row.elements}</td></tr>'
        for row in rows(layer)
    )
    return (
        "<table><thead><tr><th>name</th><th>layer</th><th>parameters</th><th>elements</th></tr>"
        f"</thead><tbody>{body}</tbody>"
        f'<tfoot><tr><th colspan="3" style="text-align:left">all</th>'
        f'<th style="text-align:right">{total(layer)}</th></tr></tfoot></table>'
    )
