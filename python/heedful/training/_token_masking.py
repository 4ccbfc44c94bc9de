"""mask_tokens: inputs and targets of masked language modelling."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful._checks import (
    generator,
    int64_array,
    integer_array,
    is_integer,
    named,
    probability,
    size,
)
from heedful.base._types import Array, Rng
from heedful.functional._positions import check_lengths


def mask_tokens(
    tokens: Any,
    mask_token: int,
    vocabulary: int,
    *,
    rate: float = 0.15,
    special: Any = (),
    lengths: Any = None,
    words: Any = None,
    masked: float = 0.8,
    replaced: float = 0.1,
    ignore_index: int = -100,
    rng: Rng = None,
) -> tuple[Array, Array]:
    """Hides some tokens, which a masked language model is trained to predict.

    ::

        chosen     each token, or each word, with probability `rate`
        input      of chosen tokens: mask_token with probability `masked`, a random token with
                   probability `replaced`, otherwise the token itself; of all others the token
        target     the token where it was chosen, ignore_index elsewhere

    Parameters
    ----------
    tokens : array_like of int, (B, L) or of any shape
        They are not changed.
    mask_token : int
        What takes the place of hidden tokens.
    vocabulary : int
        Number of tokens; random ones are drawn from all but `special` and mask_token.
    rate : float, default 0.15
    special : sequence of int, optional
        Tokens that are never chosen, such as those for the beginning, the end and padding.
    lengths : array_like of int, (B,), optional
        Number of tokens of each text, the first ones; those after them are not chosen.
    words : array_like of int, of tokens' shape, optional
        Which word each token is of, counted in each text, −1 for none: words are chosen as a whole.
        None: every token is a word.
    masked, replaced : float, default 0.8 and 0.1
        Fractions of the chosen tokens, of a sum of at most 1.
    ignore_index : int, default -100
        For :class:`SparseCategoricalCrossEntropy`, whose loss is then over chosen tokens alone.
    rng : None, int or numpy.random.Generator
        Pass a generator to draw others for each batch.

    Returns
    -------
    input, target : numpy.ndarray of int64, of tokens' shape

    Notes
    -----
    Devlin et al. 2018, https://arxiv.org/abs/1810.04805, section 3.1 and, of whole words, the
    models published in 2019. Drawing anew in each epoch: Liu et al. 2019,
    https://arxiv.org/abs/1907.11692.

    Examples
    --------
    >>> from heedful.training import mask_tokens
    >>> x, y = mask_tokens([[1, 7, 8, 9, 2]], 3, 20, rate=0.5, special=[1, 2], rng=3)
    >>> x, y
    (array([[1, 3, 8, 9, 2]]), array([[-100,    7, -100, -100, -100]]))
    """
    rng, vocabulary = generator(rng), size("vocabulary", vocabulary)
    found = int64_array("tokens", tokens)
    if found.ndim == 0:
        raise ValueError("tokens must have one axis at least: got a single number")
    hidden = _one_token("mask_token", mask_token, vocabulary)
    never = _in_vocabulary("special", int64_array("special", special).reshape(-1), vocabulary)
    _in_vocabulary("tokens", found, vocabulary)
    rate, masked = probability("rate", rate), probability("masked", masked)
    replaced = probability("replaced", replaced)
    if masked + replaced > 1 + 1e-9:
        raise ValueError(f"masked + replaced must be at most 1: got {masked} + {replaced}")
    if not is_integer(ignore_index) or 0 <= ignore_index < vocabulary:
        kind = ValueError if is_integer(ignore_index) else TypeError
        raise kind(f"ignore_index must be an integer that is no token: got {named(ignore_index)}")
    allowed = ~np.isin(found, never)
    if lengths is not None:
        counts = check_lengths("lengths", lengths, found.shape[:-1], found.shape[-1])
        allowed &= np.arange(found.shape[-1]) < counts.reshape(*found.shape[:-1], 1)
    chosen = allowed & (_drawn(rng, found, words) < rate)
    kind_of = rng.random(found.shape)
    others = np.setdiff1d(np.arange(vocabulary), [*never, hidden])
    if not others.size and replaced:
        raise ValueError("vocabulary must have a token that is not special where some are replaced")
    inputs = found.copy()
    inputs[chosen & (kind_of < masked)] = hidden
    swapped = chosen & (kind_of >= masked) & (kind_of < masked + replaced)
    inputs[swapped] = rng.choice(others, int(swapped.sum())) if others.size else hidden
    return inputs, np.where(chosen, found, int(ignore_index))


def _drawn(rng: np.random.Generator, tokens: Array, words: Any) -> Array:
    """A number from 0 to 1 for each token, the same for all tokens of a word."""
    drawn = rng.random(tokens.shape)
    if words is None:
        return drawn
    of = integer_array("words", words).astype(np.int64)
    if of.shape != tokens.shape:
        raise ValueError(f"words must have shape {tokens.shape}: got {of.shape}")
    if of.size and int(of.min()) < -1:
        raise ValueError(f"words must be −1 or counted from 0: got {int(of.min())}")
    if not of.size:
        return drawn
    rows, kept = drawn.reshape(-1, *tokens.shape[-1:]), of.reshape(-1, *tokens.shape[-1:])
    for row, own in zip(rows, kept, strict=True):
        _, first, place = np.unique(own, return_index=True, return_inverse=True)
        row[:] = np.where(own < 0, np.inf, row[first[place.reshape(-1)]])
    return drawn


def _one_token(name: str, given: Any, vocabulary: int) -> int:
    if not is_integer(given):
        raise TypeError(f"{name} must be an integer: got {named(given)}")
    return int(_in_vocabulary(name, int64_array(name, given), vocabulary))


def _in_vocabulary(name: str, tokens: Array, vocabulary: int) -> Array:
    wrong = (tokens < 0) | (tokens >= vocabulary)
    if wrong.any():
        raise ValueError(f"{name} must lie in [0, {vocabulary}): got {int(tokens[wrong].flat[0])}")
    return tokens
