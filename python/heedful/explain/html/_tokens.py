"""A text whose tokens are coloured by scores, or by where one of them looks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from heedful._checks import named
from heedful.explain._attention_map import AttentionMap
from heedful.explain.html._document import document
from heedful.explain.html._page import Page
from heedful.explain.html._quantised import check_map, described, weight_blobs


def tokens(
    text: AttentionMap | Sequence[str], scores: ArrayLike | None = None, *, title: str = "Tokens"
) -> Page:
    """A text coloured by a score of each token and, of a map, by where each token looks.

    Pointing at a token, focusing or clicking it colours the keys by its weights; a click keeps
    them. Without a token the colour is the score: the attention that a token receives, the mean
    of its weights over the queries, unless `scores` are given.

    Parameters
    ----------
    text : AttentionMap or sequence of str
        Of a map the page has a choice of layers and heads; where queries and keys are different
        tokens it has both texts.
    scores : array_like, (L,), optional
        One for each token, such as a relevance; positive and negative ones have different colours.
        With a map whose layers have different keys, for the layers whose keys are as many.
    title : str

    Returns
    -------
    Page

    Raises
    ------
    TypeError, ValueError
        For tokens that are no strings, tokens without scores or a map, scores of another number
        or not finite; maps as :func:`heads`.

    Examples
    --------
    >>> from heedful.explain import html
    >>> page = html.tokens(["what", "a", "dull", "film"], scores=[0.1, 0.0, -0.8, 0.2])
    >>> page.save("tokens.html")  # doctest: +SKIP
    """
    blobs: dict[str, str] = {}
    if isinstance(text, AttentionMap):
        found = check_map(text)
        data, blobs = described(found), weight_blobs(found)
        lengths = {len(layer.key_tokens) for layer in found.layers}
    else:
        words = _words(text)
        data, lengths = {"texts": [words], "layers": []}, {len(words)}
        if scores is None:
            raise ValueError("scores must be given for tokens without a map: got None")
    data |= {"view": "tokens", "scores": None if scores is None else _scores(scores, lengths)}
    return Page(document(title, data, blobs, ["lists.js", "tokens.js"]), height=420)


def _words(text: Any) -> list[str]:
    if isinstance(text, (str, bytes)) or not isinstance(text, Sequence):
        raise TypeError(f"text must be an AttentionMap or a sequence of tokens: got {named(text)}")
    for word in text:
        if not isinstance(word, str):
            raise TypeError(f"text must have tokens of type str: got {named(word)}")
    if not text:
        raise ValueError("text must have a token: got none")
    return list(text)


def _scores(given: ArrayLike, lengths: set[int]) -> list[float]:
    scores = np.asarray(given, np.float64)
    if scores.ndim != 1 or len(scores) not in lengths:
        expected = " or ".join(map(str, sorted(lengths)))
        raise ValueError(
            f"scores must be one for each token, {expected}: got an array of shape {scores.shape}"
        )
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite: got NaN or infinity")
    return [float(f"{score:.6g}") for score in scores]
