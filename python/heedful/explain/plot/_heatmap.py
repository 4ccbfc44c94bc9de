"""heatmap: the weights of one head as a picture of queries and keys."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful.base._types import Array
from heedful.explain._attention_map import AttentionMap
from heedful.explain.plot._figure import (
    DIVERGING,
    INK,
    PAPER,
    SEQUENTIAL,
    add_colour_bar,
    given_axes,
    new_figure,
    size_in_points,
)
from heedful.explain.plot._one_head import OneHead, one_head
from heedful.explain.plot._token_texts import TokenTexts

_NUMBERED = 10  # up to this many queries and keys, the weights stand in their cells


def heatmap(
    attention_map: AttentionMap, layer: int | str = -1, head: int | None = None, *, ax: Any = None
) -> Any:
    """A picture of the weights of one head: a row for each query, a column for each key.

    Parameters
    ----------
    attention_map : AttentionMap
        A difference of maps is drawn in two colours, red where it is positive.
    layer : int or str, default -1
        Number or name of a layer: the last.
    head : int, optional
        Number of a head; None is the mean over the heads.
    ax : matplotlib.axes.Axes, optional
        Where to draw; None is a new figure. It is not shown.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.explain import AttentionMap, plot
    >>> weights = np.random.default_rng(0).dirichlet(np.ones(3), (2, 4, 3))
    >>> ax = plot.heatmap(AttentionMap.from_numpy(weights, ["the", "cat", "sat"]), head=2)
    >>> ax.get_title()
    'layer 1, head 2'
    """
    of = one_head(attention_map, layer, head)
    if ax is None:
        figure = new_figure(*figure_size(of))
        ax = figure.add_subplot()
    largest = float(np.abs(of.weights).max())
    negative = bool(of.weights.min() < 0)
    draw_cells(given_axes(ax), of, of.title, -largest if negative else 0.0, largest)
    add_colour_bar(ax, ax.images[-1], "difference of weights" if negative else "weight")
    return ax


def figure_size(of: OneHead, longest: float = 7.2, widest_cell: float = 0.5) -> tuple[float, float]:
    """In inches: the longer side is at most `longest`, beside labels and the bar of colours."""
    queries, keys = of.weights.shape
    cell = min(widest_cell, longest / max(queries, keys))
    return max(1.6, keys * cell) + 2.0, max(0.8, queries * cell) + 1.6


def draw_cells(ax: Any, of: OneHead, title: str, lowest: float, highest: float) -> None:
    """The weights in colours from the lowest to the highest, with tokens on both axes."""
    queries, keys = of.weights.shape
    ax.imshow(
        of.weights,
        cmap=DIVERGING if lowest < 0 else SEQUENTIAL,
        vmin=lowest,
        vmax=highest if highest > 0 else 1.0,
        aspect="equal" if max(queries, keys) <= 6 * min(queries, keys) else "auto",
        interpolation="nearest" if max(queries, keys) <= 200 else None,
    )
    width, height = size_in_points(ax)
    apart = min(width / keys, height / queries) if ax.get_aspect() == 1 else None
    ax.xaxis.tick_top()
    TokenTexts(of.layer.key_tokens).mark(
        ax.xaxis, apart or width / keys, rotation=90 if keys > 12 else 45,
        rotation_mode="anchor", ha="left", va="center" if keys > 12 else "baseline",
    )  # fmt: skip
    TokenTexts(of.layer.query_tokens).mark(ax.yaxis, apart or height / queries)
    ax.set_title(title, size=10, color=INK, parse_math=False, pad=10)
    ax.set_xlabel("attends to (key)", size=8.5, color=INK)
    ax.set_ylabel("query", size=8.5, color=INK)
    for spine in ax.spines.values():
        spine.set_color(PAPER)
    if max(queries, keys) <= _NUMBERED:
        _write_numbers(ax, of.weights, highest)


def _write_numbers(ax: Any, weights: Array, highest: float) -> None:
    for (row, column), weight in np.ndenumerate(weights):
        dark = abs(weight) > 0.6 * highest
        shown = f"{round(weight, 2) or 0.0:.2f}".replace("0.", ".", 1).replace("-", "−")
        ax.text(
            column, row, shown, size=6.5, ha="center", va="center",
            color="white" if dark else INK,
        )  # fmt: skip
