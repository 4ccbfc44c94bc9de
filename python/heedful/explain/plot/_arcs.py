"""arcs: lines from the tokens that attend to the tokens that they attend to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from heedful._checks import not_negative
from heedful.explain._attention_map import AttentionMap
from heedful.explain._given_map import weights_of
from heedful.explain.plot._figure import ACCENT, INK, given_axes, new_figure, size_in_points
from heedful.explain.plot._one_head import OneHead, one_head
from heedful.explain.plot._token_texts import TokenTexts, columns_of, font_size

_WIDEST = 3.0  # points of the line with the largest weight

Drawn = list[tuple[int, int, float]]  # query, key, weight
Curves = list[tuple[float, list[tuple[float, float]]]]  # strength, ends and control points


def arcs(
    attention_map: AttentionMap,
    layer: int | str = -1,
    head: int | None = None,
    *,
    min_weight: float | None = None,
    ax: Any = None,
) -> Any:
    """Lines from each query to the keys it attends to, the wider and darker the larger the weight.

    Within one sequence the tokens stand in one column: arcs on the right lead up, to earlier
    tokens, arcs on the left lead down, to later ones, and a dot is a token's weight of itself.
    Between two sequences the queries stand on the left and the keys on the right.

    Parameters
    ----------
    attention_map : AttentionMap
    layer : int or str, default -1
        Number or name of a layer: the last.
    head : int, optional
        Number of a head; None is the mean over the heads.
    min_weight : float, optional
        Smaller weights are not drawn; None is 1.5 / Lk: half as much again as an equal share.
    ax : matplotlib.axes.Axes, optional
        Where to draw; None is a new figure. It is not shown.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.explain import AttentionMap, plot
    >>> weights = np.eye(3, k=-1)[None, None]  # each token attends to the one before it
    >>> ax = plot.arcs(AttentionMap.from_numpy(weights, ["the", "cat", "sat"]), head=0)
    >>> len(ax.collections[0].get_paths())
    2
    """
    of = one_head(attention_map, layer, head)
    weights_of(AttentionMap([of.layer]))  # no difference of maps
    queries, keys = of.weights.shape
    if min_weight is None:
        min_weight = 1.5 / keys if keys > 1 else 0.0
    min_weight = not_negative("min_weight", min_weight)
    within = of.layer.is_within
    rows = max([*of.layer.rows, *of.layer.key_positions]) + 1 if within else max(queries, keys)
    if ax is None:
        ax = new_figure(5.0, min(14.0, max(2.2, 0.9 + rows * min(0.3, 13 / rows)))).add_subplot()
    given_axes(ax)
    ax.set_ylim(rows - 0.4, -0.6)
    ax.set_xlim(0, size_in_points(ax)[0])
    ax.axis("off")
    ax.set_title(of.title, size=10, color=INK, parse_math=False)
    drawn = [
        (query, key, float(of.weights[query, key]))
        for query, key in np.argwhere(of.weights >= max(min_weight, np.finfo(float).tiny))
    ]
    (_draw_within if within else _draw_between)(ax, of, drawn, rows)
    return ax


class _Text(NamedTuple):
    """Where the tokens of a column stand, in points."""

    size: float
    row_height: float
    labels: TokenTexts
    every: int

    @classmethod
    def of(cls, ax: Any, tokens: Sequence[str], rows: int) -> _Text:
        row_height = size_in_points(ax)[1] / rows
        size = font_size(row_height)
        return cls(size, row_height, TokenTexts(tokens), max(1, math.ceil(size / row_height)))

    def width(self, place: int) -> float:
        return 0.57 * self.size * columns_of(self.labels.texts[place]) + 4

    @property
    def widest(self) -> float:
        return 0.57 * self.size * self.labels.columns + 4

    def write(self, ax: Any, place: int, x: float, y: float, ha: str) -> None:
        if place % self.every == 0:
            text = self.labels.texts[place]
            ax.text(x, y, text, ha=ha, va="center", fontsize=self.size, **self.labels.style)


def _draw_within(ax: Any, of: OneHead, drawn: Drawn, rows: int) -> None:
    token_at = dict(zip(of.layer.key_positions, of.layer.key_tokens, strict=True))
    token_at |= dict(zip(of.layer.rows, of.layer.query_tokens, strict=True))
    text = _Text.of(ax, list(token_at.values()), rows)
    place_of = {row: place for place, row in enumerate(token_at)}
    lines = [
        (of.layer.rows[query], of.layer.key_positions[key], weight) for query, key, weight in drawn
    ]
    sides = {1 if end < begin else -1 for begin, end, _ in lines if begin != end}
    width = size_in_points(ax)[0]
    free = max(4.0, (width - text.widest) / max(1, len(sides)) - 8)
    longest = max((abs(begin - end) for begin, end, _ in lines), default=0) or 1
    furthest = min(free, 0.9 * longest * text.row_height)  # about circles, where they fit
    middle = width / 2 - (furthest / 2 * sum(sides) if sides else 0)
    for row, place in place_of.items():
        text.write(ax, place, middle, row, "center")
    largest = max((weight for *_, weight in lines), default=1.0)
    curves: Curves = []
    for begin, end, weight in lines:
        side = 1 if end < begin else -1
        x, other = (middle + side * text.width(place_of[row]) / 2 for row in (begin, end))
        if begin == end:
            x = middle + text.width(place_of[begin]) / 2 + 2
            ax.plot(x, begin, ".", color=ACCENT, markersize=3 + 6 * weight / largest,
                    alpha=_opacity(weight / largest), markeredgewidth=0)  # fmt: skip
            continue
        far = furthest * (abs(begin - end) / longest) ** 0.7
        # the control points stand 4/3 as far out as the curve reaches
        out = middle + side * (text.widest / 2 + far * 4 / 3)
        points = [(x, float(begin)), (out, float(begin)), (out, float(end)), (other, float(end))]
        curves.append((weight / largest, points))
    _draw_curves(ax, curves)


def _draw_between(ax: Any, of: OneHead, drawn: Drawn, rows: int) -> None:
    queries = _Text.of(ax, of.layer.query_tokens, rows)
    keys = _Text.of(ax, of.layer.key_tokens, rows)
    begin, end = queries.widest + 2, size_in_points(ax)[0] - keys.widest - 2
    # both columns take the whole height
    down_queries, down_keys = (
        (np.arange(count) + 0.5) * rows / count - 0.5 for count in of.weights.shape
    )
    for place, down in enumerate(down_queries):
        queries.write(ax, place, begin - 4, down, "right")
    for place, down in enumerate(down_keys):
        keys.write(ax, place, end + 4, down, "left")
    largest = max((weight for *_, weight in drawn), default=1.0)
    middle = (begin + end) / 2
    curves: Curves = []
    for query, key, weight in drawn:
        y, other = down_queries[query], down_keys[key]
        points = [(begin, y), (middle, y), (middle, other), (end, other)]
        curves.append((weight / largest, points))
    _draw_curves(ax, curves)


def _draw_curves(ax: Any, curves: Curves) -> None:
    """As one collection: single patches take seconds where there are thousands."""
    from matplotlib.collections import PathCollection
    from matplotlib.colors import to_rgb
    from matplotlib.path import Path

    codes = [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4]
    lines = PathCollection(
        [Path(points, codes) for _, points in curves],
        facecolors="none",
        edgecolors=[(*to_rgb(ACCENT), _opacity(strength)) for strength, _ in curves],
        linewidths=[0.4 + _WIDEST * strength for strength, _ in curves],
        capstyle="round",
    )
    lines.set_in_layout(False)
    ax.add_collection(lines, autolim=False)


def _opacity(strength: float) -> float:
    return 0.12 + 0.8 * strength
