"""What a layer looks like when it is printed, and in a notebook."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heedful.layers._layer import Layer


def title(layer: Layer) -> str:
    return f"{type(layer).__name__}({layer.extra_repr()})"


def text(layer: Layer) -> str:
    """One line for each layer, indented; layers that look alike and follow each other as one."""
    inside = list(layer.layers_inside())
    if not inside:
        return title(layer)
    lines = [f"{type(layer).__name__}({layer.extra_repr()}"]
    for name, inner in _together([(name, text(inner)) for name, inner in inside]):
        lines.append("  " + f"({name}): {inner}".replace("\n", "\n  "))
    return "\n".join([*lines, ")"])


def _together(items: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Equal neighbours of one list under one name: layers.0-5."""
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


def html(layer: Layer) -> str:
    """A table of all layers with their parameters. All text is escaped: names come from users."""
    rows = []
    shown: set[int] = set()

    def add(name: str, inner: Layer, depth: int) -> None:
        own = list(inner.own_parameters().items())
        count = sum(parameter.value.size for _, parameter in own if id(parameter) not in shown)
        shapes = ", ".join(
            f"{key} {parameter.value.shape}"
            + ("" if id(parameter) not in shown else " shared")
            + ("" if parameter.trainable else " frozen")
            for key, parameter in own
        )
        shown.update(id(parameter) for _, parameter in own)
        rows.append(
            f'<tr><td style="text-align:left;padding-left:{1.2 * depth + 0.5:.1f}em">'
            f"{escape(name)}</td>"
            f'<td style="text-align:left">{escape(title(inner))}</td>'
            f'<td style="text-align:left">{escape(shapes)}</td>'
            f'<td style="text-align:right">{f"{count:,}" if own else ""}</td></tr>'
        )
        for child, deeper in inner.layers_inside():
            add(child, deeper, depth + 1)

    add("", layer, 0)
    total = layer.parameter_count
    return (
        "<table><thead><tr><th>name</th><th>layer</th><th>parameters</th><th>numbers</th></tr>"
        f"</thead><tbody>{''.join(rows)}</tbody>"
        f'<tfoot><tr><th colspan="3" style="text-align:left">all</th>'
        f'<th style="text-align:right">{total:,}</th></tr></tfoot></table>'
    )
