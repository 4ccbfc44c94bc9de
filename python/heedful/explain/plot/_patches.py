"""patches: attention to the patches of an image, laid over the image."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from heedful._checks import numbers, size
from heedful.base._types import Array
from heedful.explain.plot._figure import INK, PAPER, given_axes, new_figure

_ORANGE = (0.91, 0.35, 0.05)  # seen on grey, dark and light
_STRONGEST = 0.8  # opacity over the patch with the largest weight


def patches(
    weights: ArrayLike,
    image: ArrayLike,
    grid: tuple[int, int] | None = None,
    *,
    ax: Any = None,
) -> Any:
    """The image, and over each patch a colour whose opacity is the patch's weight.

    Parameters
    ----------
    weights : array_like, (rows, columns) or (rows · columns,)
        Attention to the patches, such as ``attention_map[-1].weights[head, 0, 1:]``, that of
        [CLS] without its weight of itself; none negative.
    image : array_like, (height, width), (height, width, 3) or (height, width, 4)
        Grey of any range, or colours as matplotlib takes them: floats up to 1, or uint8.
    grid : (int, int), optional
        Rows and columns of patches; None: weights that have two axes, or the grid whose patches
        are most nearly square.
    ax : matplotlib.axes.Axes, optional
        Where to draw; None is a new figure. It is not shown.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.explain import plot
    >>> ax = plot.patches(np.array([0.1, 0.2, 0.3, 0.4]), np.zeros((28, 28)))
    >>> ax.images[1].get_array()[..., 3].round(2)  # the opacity of 2 × 2 patches
    masked_array(
      data=[[0.2, 0.4],
            [0.6, 0.8]],
      mask=False,
      fill_value=1e+20)
    """
    picture = _picture(image)
    shares = _by_patch(weights, grid, picture.shape[:2])
    if ax is None:
        height, width = picture.shape[:2]
        figure = new_figure(4.0, min(8.0, max(1.5, 0.5 + 4.0 * height / width)))
        ax = figure.add_subplot()
    given_axes(ax)
    ax.imshow(picture, cmap="gray")
    extent = ax.images[-1].get_extent()
    colours = np.empty((*shares.shape, 4))
    colours[..., :3] = _ORANGE
    largest = shares.max()
    colours[..., 3] = _STRONGEST * shares / (largest if largest > 0 else 1)
    ax.imshow(colours, extent=extent, interpolation="nearest")
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_color(PAPER)
    ax.set_xlabel(f"largest weight of a patch {largest:.3g}", size=8.5, color=INK)
    return ax


def _picture(image: ArrayLike) -> Array:
    array = numbers("image", image)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    colour = array.ndim == 3 and array.shape[2] in (3, 4)
    if not (array.ndim == 2 or colour) or array.size == 0:
        raise ValueError(
            f"image must be (height, width), or with 3 or 4 colours: got shape {array.shape}"
        )
    return array if array.dtype == np.uint8 else array.astype(np.float64)


def _by_patch(weights: ArrayLike, grid: Any, image: tuple[int, ...]) -> Array:
    found = numbers("weights", weights).astype(np.float64)
    if found.ndim not in (1, 2) or found.size == 0:
        raise ValueError(f"weights must be (patches,) or (rows, columns): got shape {found.shape}")
    if not (found >= 0).all():
        raise ValueError(f"weights must not be negative: got {float(found.min()):.3g}")
    if grid is None:
        grid = found.shape if found.ndim == 2 else _squarest(found.size, image[0] / image[1])
    rows, columns = (size("grid", number) for number in grid)
    if rows * columns != found.size:
        raise ValueError(
            f"grid must have as many patches as there are weights, {found.size}: "
            f"got {rows} × {columns}"
        )
    return found.reshape(rows, columns)


def _squarest(count: int, height_by_width: float) -> tuple[int, int]:
    """Rows and columns whose patches are most nearly square on an image of these sides."""

    def squareness(rows: int) -> float:
        return abs(math.log(height_by_width * (count // rows) / rows))

    rows = min((rows for rows in range(1, count + 1) if count % rows == 0), key=squareness)
    return rows, count // rows
