"""Marks: which tokens a person means, by words, patterns, positions, spans, lexicons or arrays."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from heedful._checks import as_array, finite, is_integer, named
from heedful.base._types import Array
from heedful.explain._token_text import TokenText


class Positions:
    """The positions of a sequence, which may have tokens.

    count : of the positions
    text : their tokens; None where there are none, as of patches
    """

    count: int

    def __init__(self, name: str, tokens: Any) -> None:
        self.text: TokenText | None = None
        if is_integer(tokens):
            if tokens < 1:
                raise ValueError(f"{name} must be at least one position: got {tokens}")
            self.count = int(tokens)
            return
        if isinstance(tokens, (str, bytes)) or not isinstance(tokens, Iterable):
            raise TypeError(
                f"{name} must be a sequence of strings, or the number of positions: "
                f"got {named(tokens)}"
            )
        listed = list(tokens)
        for token in listed:
            if not isinstance(token, str):
                raise TypeError(f"{name} must hold strings: got {named(token)}")
        if not listed:
            raise ValueError(f"{name} must hold a token: got none")
        self.count, self.text = len(listed), TokenText(listed)

    def strengths(self, name: str, marks: Any) -> Array:
        """(L,): 1 at what is marked, a lexicon's or an array's own numbers, 0 elsewhere.

        Of several that mark a position, the number farthest from 0.
        """
        found = np.zeros(self.count)
        if marks is None:
            return found
        for one in marks if isinstance(marks, (list, tuple, set, frozenset)) else [marks]:
            for place, strength in self._one(name, one).items():
                if abs(strength) > abs(found[place]):
                    found[place] = strength
        return found

    def _one(self, name: str, mark: Any) -> dict[int, float]:
        if isinstance(mark, Mapping):
            return self._lexicon(name, mark)
        if isinstance(mark, (str, re.Pattern)):
            places = self._words(name, mark)
            if not places:
                raise ValueError(f"{name} must be in the text: got {named(_shown(mark))}")
            return dict.fromkeys(places, 1.0)
        if isinstance(mark, (slice, range)):
            return dict.fromkeys(self._span(name, mark), 1.0)
        if is_integer(mark):
            return {self._position(name, mark): 1.0}
        if isinstance(mark, np.ndarray):
            return self._array(name, mark)
        raise TypeError(
            f"{name} must be words, patterns, positions, slices, arrays of one number for each "
            f"position, or mappings from these to strengths: got {named(mark)}"
        )

    def _words(self, name: str, mark: str | re.Pattern[str]) -> set[int]:
        if self.text is None:
            raise ValueError(
                f"{name} must be positions where there are no tokens: got {named(_shown(mark))}"
            )
        return self.text.word(mark) if isinstance(mark, str) else self.text.pattern(mark)

    def _lexicon(self, name: str, lexicon: Mapping[Any, Any]) -> dict[int, float]:
        """A text has few of a lexicon's words: those that it lacks are no error."""
        found: dict[int, float] = {}
        for mark, strength in lexicon.items():
            value = finite(f"{name}[{named(_shown(mark))}]", strength)
            if isinstance(mark, (str, re.Pattern)):
                places: Iterable[int] = self._words(name, mark)
            else:
                places = self._one(name, mark)
            for place in places:
                if abs(value) > abs(found.get(place, 0.0)):
                    found[place] = value
        return found

    def _span(self, name: str, span: slice | range) -> range:
        if isinstance(span, slice):
            begin = 0 if span.start is None else span.start
            end = self.count if span.stop is None else span.stop
            if span.step not in (None, 1) or not (is_integer(begin) and is_integer(end)):
                raise TypeError(f"{name} must have spans of integers, in steps of 1: got {span}")
            begin, end = (place + self.count * (place < 0) for place in (begin, end))
            span = range(begin, end)
        if not span or min(span) < 0 or max(span) >= self.count:
            raise IndexError(
                f"{name} must have spans within the {self.count} positions: got "
                f"{span.start} to {span.stop}"
            )
        return span

    def _position(self, name: str, position: Any) -> int:
        if not -self.count <= position < self.count:
            raise IndexError(
                f"{name} must lie between {-self.count} and {self.count - 1}: got {position}"
            )
        return int(position) % self.count

    def _array(self, name: str, given: Array) -> dict[int, float]:
        array = as_array(name, given)
        if array.dtype.kind in "iu":  # positions, as np.flatnonzero returns them
            return dict.fromkeys((self._position(name, place) for place in array.ravel()), 1.0)
        if array.dtype.kind not in "bf" or array.size != self.count:
            raise ValueError(
                f"{name} must have one number or bool for each of {self.count} positions, or "
                f"integers: got {named(array)}"
            )
        if not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite: got NaN or infinity")
        return {place: float(value) for place, value in enumerate(array.ravel()) if value}


def _shown(mark: Any) -> Any:
    return mark.pattern if isinstance(mark, re.Pattern) else mark
