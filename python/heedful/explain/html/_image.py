"""Attention over the patches of an image."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from heedful._checks import named, size
from heedful.base._types import Array
from heedful.explain._attention_map import AttentionMap
from heedful.explain._layer_weights import LayerWeights
from heedful.explain._png import png
from heedful.explain.html._document import document
from heedful.explain.html._page import Page
from heedful.explain.html._quantised import check_map, described, weight_blobs


def image(
    map: AttentionMap, image: ArrayLike, patch_size: int | tuple[int, int], *,
    title: str = "Attention over the image",
) -> Page:  # fmt: skip
    """An image under the weights of its patches.

    A click on a patch shows where it looks, if patches are queries; other queries, such as a class
    token or those of a decoder, are buttons above the image. Without a choice the colour is the
    mean over the queries; where no patch is a query, the first query is chosen at first.

    Parameters
    ----------
    map : AttentionMap
        Its keys are the patches, row by row, the last ones where there are more keys than patches:
        those before them are tokens such as that of the class.
    image : array_like, (height, width) or (height, width, 1, 3 or 4)
        One channel is scaled from its range to black and white, as matplotlib's imshow does;
        colours are uint8, or between 0 and 1.
    patch_size : int or (int, int)
        Height and width of a patch; they must divide those of the image.
    title : str

    Returns
    -------
    Page

    Raises
    ------
    TypeError, ValueError
        For an image of another shape or that is not finite, a size that does not divide it, a map
        with fewer keys than patches, and as :func:`heads`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.explain import AttentionMap, html
    >>> weights = np.full((1, 2, 4, 4), 1 / 4)
    >>> page = html.image(AttentionMap.from_numpy(weights), np.eye(8), patch_size=4)
    >>> page.save("image.html")  # doctest: +SKIP
    """
    found, pixels = check_map(map), _pixels(image)
    patch = _patch(patch_size, pixels)
    rows, columns = pixels.shape[0] // patch[0], pixels.shape[1] // patch[1]
    for layer in found.layers:
        _check_keys(layer, rows * columns)
    data = {
        "view": "image",
        "rows": rows,
        "columns": columns,
        "width": pixels.shape[1],
        "height": pixels.shape[0],
        "image": "data:image/png;base64," + base64.b64encode(png(pixels)).decode(),
        **described(found),
    }
    return Page(document(title, data, weight_blobs(found), ["lists.js", "image.js"]), height=720)


def _pixels(given: ArrayLike) -> Array:
    """uint8 (height, width, 1, 3 or 4)."""
    array = np.asarray(given)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[-1] not in (1, 3, 4) or not array.size:
        raise ValueError(
            "image must be (height, width) or (height, width, 1, 3 or 4): got shape "
            f"{np.shape(given)}"
        )
    grey = array.shape[-1] == 1
    if array.dtype == np.uint8 and not grey:
        return array
    if array.dtype.kind not in "biuf":
        raise TypeError(f"image must be of numbers: got {named(array)}")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError("image must be finite: got NaN or infinity")
    low, high = (array.min(), array.max()) if grey else (0.0, 1.0)
    if array.min() < low or array.max() > high:
        raise ValueError(
            "image must have colours between 0 and 1, or of type uint8: got "
            f"{array.min():.4g} to {array.max():.4g}"
        )
    scaled: Array = np.rint((array - low) / max(high - low, 1e-300) * 255).astype(np.uint8)
    return scaled


def _patch(given: Any, pixels: Array) -> tuple[int, int]:
    pair = given if isinstance(given, (tuple, list)) else (given, given)
    if len(pair) != 2:
        raise ValueError(f"patch_size must be an integer or two: got {named(given)}")
    height, width = (size("patch_size", side) for side in pair)
    if pixels.shape[0] % height or pixels.shape[1] % width:
        raise ValueError(
            f"patch_size must divide the image of {pixels.shape[0]} × {pixels.shape[1]}: got "
            f"{height} × {width}"
        )
    return height, width


def _check_keys(layer: LayerWeights, patches: int) -> None:
    keys = layer.weights.shape[-1]
    if keys < patches:
        raise ValueError(
            f"map must have a key for each of the {patches} patches: layer {layer.name!r} has "
            f"{keys}"
        )
