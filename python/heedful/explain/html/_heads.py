"""The head view: lines between the queries and the keys of a layer."""

from __future__ import annotations

from heedful._checks import is_integer, named
from heedful.explain._attention_map import AttentionMap
from heedful.explain.html._document import document
from heedful.explain.html._page import Page
from heedful.explain.html._quantised import check_map, described, weight_blobs


def heads(map: AttentionMap, *, layer: int = 0, title: str = "Attention by head") -> Page:
    """Lines from queries to the keys that they attend to, for a layer and any of its heads.

    Queries stand on the left, keys on the right; a line is as opaque as the weight is large. Of a
    token that is pointed at, focused or clicked the strongest keys are listed with their weights.
    Both columns scroll, and only what is in sight is drawn: texts of thousands of tokens stay
    fluent. Layers may differ in shape and tokens, as those of an encoder and a decoder do.

    Parameters
    ----------
    map : AttentionMap
    layer : int, default 0
        Number in `map` of the layer that is shown first; the page has a choice of all.
    title : str

    Returns
    -------
    Page
        Weights in 8 bits, see Notes.

    Raises
    ------
    TypeError, ValueError
        For what is no map, a map without weights or with more than 2^28, weights that are negative
        or not finite, a layer that it lacks.

    Notes
    -----
    As the head view of BertViz, Vig 2019, https://arxiv.org/abs/1906.05714. A weight w in a row
    with maximum m is kept with an error of at most √(w m) / 255 + m / 510².

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.explain import AttentionMap, html
    >>> weights = np.full((2, 4, 3, 3), 1 / 3)
    >>> page = html.heads(AttentionMap.from_numpy(weights, ["a", "small", "text"]))
    >>> page.save("heads.html")  # doctest: +SKIP
    """
    found = check_map(map)
    if not (is_integer(layer) and -len(found) <= layer < len(found)):
        raise ValueError(
            f"layer must be an integer below {len(found)}, the layers in map: got {named(layer)}"
        )
    data = {"view": "heads", "layer": int(layer) % len(found), **described(found)}
    return Page(
        document(title, data, weight_blobs(found), ["lists.js", "heads.js", "heads_page.js"])
    )
