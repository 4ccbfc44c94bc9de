"""entropy: how evenly each head of each layer spreads its attention."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful._printable import printable
from heedful.explain._attention_map import AttentionMap
from heedful.explain._given_map import weights_of
from heedful.explain._head_behaviour import entropies
from heedful.explain.plot._figure import (
    INK,
    PAPER,
    SEQUENTIAL,
    add_colour_bar,
    given_axes,
    new_figure,
)
from heedful.explain.plot._layer_names import short_names
from heedful.explain.plot._one_head import checked_map


def entropy(attention_map: AttentionMap, *, ax: Any = None) -> Any:
    """A table of entropies in colours: a row for each layer, a column for each head.

    The entropy is the mean of −Σ_j w log w over the queries, in nats, as in
    :func:`head_behaviour`: 0 where one key has all of the attention. The darkest colour is that of
    equal weights, log Lk.

    Parameters
    ----------
    attention_map : AttentionMap
    ax : matplotlib.axes.Axes, optional
        Where to draw; None is a new figure. It is not shown.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.explain import AttentionMap, plot
    >>> weights = np.full((2, 3, 5, 5), 0.2)
    >>> ax = plot.entropy(AttentionMap.from_numpy(weights))
    >>> ax.images[0].get_array().shape, ax.texts[0].get_text()
    ((2, 3), '1.61')
    """
    layers = weights_of(checked_map("attention_map", attention_map)).layers
    numbers = sorted({head for layer in layers for head in layer.heads})
    has_mean = any(not layer.heads for layer in layers)
    columns: list[int | None] = [*numbers, *[None] * has_mean]
    table = np.full((len(layers), len(columns)), np.nan)
    for row, layer in enumerate(layers):
        places = [columns.index(head) for head in layer.heads or (None,)]
        table[row, places] = entropies(layer)
    if ax is None:
        ax = new_figure(2.2 + 0.42 * len(columns), 0.9 + 0.3 * len(layers)).add_subplot()
    given_axes(ax)
    highest = float(np.log(max(layer.weights.shape[2] for layer in layers))) or 1.0
    ax.imshow(table, cmap=SEQUENTIAL, vmin=0, vmax=highest, aspect="auto")
    ax.set_facecolor(PAPER)
    for (row, column), value in np.ndenumerate(table):
        if np.isfinite(value):
            dark = value > 0.6 * highest
            ax.text(column, row, f"{value:.2f}", size=7, ha="center", va="center",
                    color="white" if dark else INK)  # fmt: skip
    ax.set_xticks(range(len(columns)), ["mean" if n is None else str(n) for n in columns])
    names = [printable(name) for name in short_names([layer.name for layer in layers])]
    ax.set_yticks(range(len(layers)), names, parse_math=False)
    ax.xaxis.tick_top()
    ax.xaxis.set_label_position("top")
    ax.tick_params(length=0, labelsize=8, colors=INK)
    ax.set_xlabel("head", size=8.5, color=INK)
    ax.set_ylabel("layer", size=8.5, color=INK)
    ax.spines[:].set_visible(False)
    add_colour_bar(ax, ax.images[-1], "entropy (nats)")
    return ax
