"""head_grid: all heads of all layers in one picture."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful._printable import printable
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
)
from heedful.explain.plot._layer_names import short_names
from heedful.explain.plot._one_head import checked_map

_LARGEST = 48  # cells of one head, either way


def head_grid(attention_map: AttentionMap, *, ax: Any = None) -> Any:
    """A picture of all heads: a row for each layer, a column for each head.

    All heads share one scale of colours, that of the square roots of the weights, so that patterns
    show beside heads that attend to one token. Of more than 48 queries or keys, a cell is the
    largest of several weights.

    Parameters
    ----------
    attention_map : AttentionMap
        Layers of the same shape; a difference of maps is drawn in two colours, not by roots.
    ax : matplotlib.axes.Axes, optional
        Where to draw; None is a new figure. It is not shown.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.explain import AttentionMap, plot
    >>> weights = np.random.default_rng(0).dirichlet(np.ones(5), (2, 4, 5))
    >>> ax = plot.head_grid(AttentionMap.from_numpy(weights))
    >>> [text.get_text() for text in ax.get_xticklabels()]
    ['0', '1', '2', '3']
    """
    weights = checked_map("attention_map", attention_map).to_numpy()
    layers, heads = weights.shape[:2]
    mosaic, (height, width), gap = _mosaic(weights)
    aspect = "equal"
    if ax is None:
        aspect = "auto"  # the figure has about the right sides
        cell = min(1.0, 12 / heads, 12 / layers)
        figure = new_figure(heads * cell + 1.6, layers * cell * height / width + 0.9)
        ax = figure.add_subplot()
    given_axes(ax)
    negative = bool(weights.min() < 0)
    image = ax.imshow(mosaic, interpolation="nearest", aspect=aspect, **_colours(mosaic, negative))
    ax.set_xticks(
        np.arange(heads) * (width + gap) + (width - 1) / 2, _numbers(attention_map, heads)
    )
    ax.set_yticks(
        np.arange(layers) * (height + gap) + (height - 1) / 2,
        [printable(name) for name in short_names(attention_map.names)],
        parse_math=False,
    )
    ax.xaxis.tick_top()
    ax.tick_params(length=0, labelsize=8, colors=INK)
    ax.set_xlabel("head", size=8.5, color=INK)
    ax.xaxis.set_label_position("top")
    ax.set_ylabel("layer", size=8.5, color=INK)
    ax.spines[:].set_visible(False)
    add_colour_bar(ax, image, "difference of weights" if negative else "weight")
    return ax


def _numbers(attention_map: AttentionMap, heads: int) -> list[str]:
    """The heads' numbers, where all layers have the same."""
    of_layers = {layer.heads for layer in attention_map}
    (shown,) = of_layers if len(of_layers) == 1 else (range(heads),)
    return [str(head) for head in shown] or ["mean"]


def _colours(mosaic: Array, negative: bool) -> dict[str, Any]:
    from matplotlib import colormaps
    from matplotlib.colors import PowerNorm

    largest = float(np.nanmax(np.abs(mosaic))) or 1.0
    if negative:
        return {
            "cmap": colormaps[DIVERGING].with_extremes(bad=PAPER),
            "vmin": -largest,
            "vmax": largest,
        }
    return {
        "cmap": colormaps[SEQUENTIAL].with_extremes(bad=PAPER),
        "norm": PowerNorm(0.5, 0.0, largest),
    }


def _mosaic(weights: Array) -> tuple[Array, tuple[int, int], int]:
    """The heads beside each other with gaps of NaN, the size of one, and that of a gap."""
    small = _largest_of_blocks(weights.astype(np.float64))
    layers, heads, height, width = small.shape
    gap = max(1, round(0.06 * max(height, width)))
    mosaic = np.full((layers * (height + gap) - gap, heads * (width + gap) - gap), np.nan)
    for layer in range(layers):
        for head in range(heads):
            top, left = layer * (height + gap), head * (width + gap)
            mosaic[top : top + height, left : left + width] = small[layer, head]
    return mosaic, (height, width), gap


def _largest_of_blocks(weights: Array) -> Array:
    """(…, Lq, Lk) with at most 48 rows and columns: of each block the weight furthest from 0."""
    for axis in (-2, -1):
        length = weights.shape[axis]
        block = -(-length // _LARGEST)
        if block > 1:
            starts = np.arange(0, length, block)
            high = np.maximum.reduceat(weights, starts, axis)
            low = np.minimum.reduceat(weights, starts, axis)
            weights = np.where(high >= -low, high, low)
    return weights
