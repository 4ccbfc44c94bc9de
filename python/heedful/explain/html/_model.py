"""The model view: a picture of every head of every layer."""

from __future__ import annotations

import base64

from heedful.explain._attention_map import AttentionMap
from heedful.explain._thumbnails import thumbnails
from heedful.explain.html._document import document
from heedful.explain.html._page import Page
from heedful.explain.html._quantised import check_map, described, weight_blobs

_SIDE = 64  # pixels of a picture


def model(map: AttentionMap, *, title: str = "Attention of the model") -> Page:
    """Pictures of all heads, a row for each layer; a click opens a head's lines.

    In a picture queries go down and keys to the right, and a row's strongest key has the full
    colour. Long texts are drawn by the maximum of each field, so that a diagonal stays one. An
    opened head is that of :func:`heads`; Escape leads back.

    Parameters
    ----------
    map : AttentionMap
    title : str

    Returns
    -------
    Page

    Raises
    ------
    TypeError, ValueError
        As :func:`heads`.

    Notes
    -----
    As the model view of BertViz, Vig 2019, https://arxiv.org/abs/1906.05714.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.explain import AttentionMap, html
    >>> weights = np.full((2, 4, 3, 3), 1 / 3)
    >>> page = html.model(AttentionMap.from_numpy(weights, ["a", "small", "text"]))
    >>> page.save("model.html")  # doctest: +SKIP
    """
    found = check_map(map)
    data = {"view": "model", "thumbnails": [], **described(found)}
    for layer in found.layers:
        pictures = thumbnails(layer, _SIDE)
        data["thumbnails"].append(
            {
                "rows": pictures.shape[1],
                "columns": pictures.shape[2],
                "pixels": [base64.b64encode(picture.tobytes()).decode() for picture in pictures],
            }
        )
    return Page(document(title, data, weight_blobs(found), ["lists.js", "heads.js", "model.js"]))
