"""best_spans: answers of a question-answering model, from logits of first and last tokens."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heedful._checks import as_array, finite, is_integer, named, numbers, size
from heedful.base._types import Array
from heedful.functional._positions import check_lengths


class Spans(NamedTuple):
    """One span of each text.

    start, end : numpy.ndarray of int64, (B,)
        First and last token, −1 where there is no answer.
    score : numpy.ndarray, (B,)
        The best span's sum of logits, also where the null answer won; −inf where none is allowed.
    null_score : numpy.ndarray, (B,)
        Of the null answer, −inf without one.
    """

    start: NDArray[np.int64]
    end: NDArray[np.int64]
    score: Array
    null_score: Array


def best_spans(
    start: Any,
    end: Any,
    *,
    mask: Any = None,
    lengths: Any = None,
    max_length: int | None = None,
    null_position: int | None = None,
    null_threshold: float = 0.0,
) -> Spans:
    """The span of tokens of the highest score.

    ::

        score(i, j) = start[i] + end[j]                   i ≤ j < i + max_length
        no answer   where start[null] + end[null] > max score + null_threshold

    Of equal scores the first and shortest span is taken.

    Parameters
    ----------
    start, end : array_like, (B, L), or (L,) of one text
        Logits of each token to be the first and the last one, of a model for question
        answering. NaN is an error.
    mask : array_like of bool, (B, L), optional
        Which tokens an answer may hold, such as those of the passage, not of the question.
    lengths : array_like of int, (B,), optional
        Number of tokens of each text, the first ones.
    max_length : int, optional
        Of an answer, in tokens; None is L.
    null_position : int, optional
        The token whose logits are those of "no answer", such as 0, the first one; it is in no
        other answer. None: every text has one.
    null_threshold : float, default 0
        By how much the null answer must be better than all others.

    Returns
    -------
    Spans
        (start, end, score, null_score).

    Notes
    -----
    Devlin et al. 2018, https://arxiv.org/abs/1810.04805, sections 4.2 and 4.3.

    Examples
    --------
    >>> from heedful.layers import best_spans
    >>> found = best_spans([[0.0, 3.0, 1.0, 2.0]], [[0.0, 1.0, 1.0, 4.0]], max_length=2)
    >>> found.start, found.end, found.score
    (array([3]), array([3]), array([6.]))
    >>> best_spans([[9.0, 3.0]], [[9.0, 1.0]], null_position=0).start
    array([-1])
    """
    starts, ends = _logits("start", start), _logits("end", end)
    if starts.shape != ends.shape or starts.ndim not in (1, 2):
        raise ValueError(
            f"start and end must have one shape (B, L) or (L,): got {starts.shape} and {ends.shape}"
        )
    shape = starts.shape
    length = shape[-1]
    rows = starts.reshape(shape[0] if len(shape) > 1 else 1, length)
    others = ends.reshape(rows.shape)
    longest = length if max_length is None else size("max_length", max_length)
    threshold = finite("null_threshold", null_threshold)
    allowed = _allowed(shape, mask, lengths).reshape(rows.shape)
    null_score = np.full(len(rows), -np.inf)
    if null_position is not None:
        place = _place(null_position, length)
        null_score = rows[:, place] + others[:, place]
        allowed[:, place] = False
    best = np.full(len(rows), -np.inf)
    first, last = np.full(len(rows), -1), np.full(len(rows), -1)
    whole = np.ones_like(allowed)  # no token of the span is left out, by its first token
    for offset in range(min(longest, length)):
        whole = whole[:, : length - offset] & allowed[:, offset:]
        scores = np.where(whole, rows[:, : length - offset] + others[:, offset:], -np.inf)
        place = scores.argmax(-1)
        score = scores[np.arange(len(rows)), place]
        better = (score > best) | ((score == best) & (score > -np.inf) & (place < first))
        best = np.where(better, score, best)
        first = np.where(better, place, first)
        last = np.where(better, place + offset, last)
    none = null_score > best + threshold
    found = (np.where(none, -1, first), np.where(none, -1, last), best, null_score)
    return Spans(*(array.reshape(shape[:-1]) for array in found))


def _logits(name: str, given: Any) -> Array:
    array = numbers(name, given).astype(np.float64)
    if np.isnan(array).any():
        raise ValueError(f"{name} must hold no NaN")
    return array


def _allowed(shape: tuple[int, ...], mask: Any, lengths: Any) -> Array:
    allowed = np.ones(shape, np.bool_)
    if mask is not None:
        given = as_array("mask", mask)
        if given.dtype != np.bool_ or given.shape != shape:
            kind = TypeError if given.dtype != np.bool_ else ValueError
            raise kind(
                f"mask must be boolean with shape {shape}: "
                f"got {given.dtype} with shape {given.shape}"
            )
        allowed = given.copy()
    if lengths is not None:
        counts = check_lengths("lengths", lengths, shape[:-1], shape[-1])
        allowed &= np.arange(shape[-1]) < counts.reshape(*shape[:-1], 1)
    return allowed


def _place(given: Any, length: int) -> int:
    if not is_integer(given):
        raise TypeError(f"null_position must be an integer or None: got {named(given)}")
    if not 0 <= given < length:
        raise ValueError(f"null_position must lie in [0, {length}): got {named(given)}")
    return int(given)
