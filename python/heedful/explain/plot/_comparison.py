"""comparison: one head of two maps, and their difference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from heedful._checks import named
from heedful.explain._attention_map import AttentionMap
from heedful.explain.plot._figure import add_colour_bar, given_axes, new_figure
from heedful.explain.plot._heatmap import draw_cells, figure_size
from heedful.explain.plot._one_head import checked_map, one_head


def comparison(
    before: AttentionMap,
    after: AttentionMap,
    layer: int | str = -1,
    head: int | None = None,
    *,
    titles: Sequence[str] = ("before", "after"),
    axes: Any = None,
) -> Any:
    """Three pictures of one head: before, after, and the difference after − before.

    The first two share one scale of colours; in the third red is more and blue is less.

    Parameters
    ----------
    before, after : AttentionMap
        Of the same input, such as before and after training or guidance.
    layer : int or str, default -1
        Number or name of a layer: the last.
    head : int, optional
        Number of a head; None is the mean over the heads.
    titles : sequence of two str
    axes : sequence of three matplotlib.axes.Axes, optional
        Where to draw; None is a new figure. It is not shown.

    Returns
    -------
    numpy.ndarray of three matplotlib.axes.Axes

    Raises
    ------
    ValueError
        Maps of different shapes or tokens.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.explain import AttentionMap, plot
    >>> rng, tokens = np.random.default_rng(0), ["the", "cat", "sat"]
    >>> before, after = (
    ...     AttentionMap.from_numpy(rng.dirichlet(np.ones(3), (2, 4, 3)), tokens) for _ in range(2)
    ... )
    >>> [ax.get_title() for ax in plot.comparison(before, after, head=1)]
    ['before', 'after', 'after − before']
    """
    checked_map("before", before)
    checked_map("after", after)
    first, second = _two(titles)
    difference = one_head(after - before, layer, head)
    number = next(n for n, one in enumerate(before) if one is before[layer])
    of = [one_head(before, number, head), one_head(after, number, head)]
    if axes is None:
        width, height = figure_size(difference, 5.0, 0.42)
        figure = new_figure(3 * width - 0.8, height + 0.3)
        figure.suptitle(of[0].title, size=10, parse_math=False)
        axes = figure.subplots(1, 3)
    axes = np.asarray(axes, object).ravel()
    if len(axes) != 3:
        raise ValueError(f"axes must be three: got {len(axes)}")
    for ax in axes:
        given_axes(ax)
    highest = max(float(one.weights.max()) for one in of)
    for ax, one, title in zip(axes, of, (first, second), strict=False):
        draw_cells(ax, one, title, 0.0, highest)
    furthest = float(np.abs(difference.weights).max()) or 1.0
    draw_cells(axes[2], difference, f"{second} − {first}", -furthest, furthest)
    add_colour_bar(axes[1], axes[1].images[-1], "weight")
    add_colour_bar(axes[2], axes[2].images[-1], "difference")
    return axes


def _two(titles: Any) -> tuple[str, str]:
    if isinstance(titles, str) or len(titles) != 2:
        raise ValueError(f"titles must be two: got {named(titles)}")
    return str(titles[0]), str(titles[1])
