"""Correction: one thing that a person said about where attention should be."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from heedful._checks import is_integer, named, not_negative, numbers
from heedful._printable import printable
from heedful.base._types import Array
from heedful.explain._marks import Positions

LOOK, AVOID, PAINTED, PREFERRED = KINDS = ("look here", "not there", "painted", "preferred")

Pattern = tuple[str, int]  # what is compiled, and the flags


class Rivals(NamedTuple):
    """Marks, with the meaning of those of a correction."""

    words: tuple[str, ...]
    patterns: tuple[Pattern, ...]
    positions: tuple[int, ...]


class Correction(NamedTuple):
    """One correction.

    Attributes
    ----------
    id : str
        Its own: merging keeps one of those that are the same.
    kind : {"look here", "not there", "painted", "preferred"}
    words : tuple of str
        Hold in every text that has them.
    patterns : tuple of (str, int)
        Regular expressions and their flags; likewise.
    positions : tuple of int
        Hold for inputs with `length` positions and, if there are tokens, these.
    length : int
    tokens : tuple of str, or None
    example : str, int or None
        The input that it is for; None for all.
    strength : float
    target : numpy.ndarray, (length,), or None
        What was painted.
    note : str
    over : Rivals or None
        What the preferred answer is preferred to, by words, patterns and positions.
    """

    id: str
    kind: str
    words: tuple[str, ...]
    patterns: tuple[Pattern, ...]
    positions: tuple[int, ...]
    length: int
    tokens: tuple[str, ...] | None
    example: str | int | None
    strength: float
    target: Array | None
    note: str
    over: Rivals | None = None

    @property
    def place(self) -> tuple[Any, ...]:
        """An order that does not depend on when it was said."""
        return self.kind, self.words, self.patterns, self.positions, self.id

    def marked(self, positions: Positions, example: Any) -> Array | None:
        """(L,) between 0 and 1: what it marks of an input; None if it is not about it."""
        if self.example is not None and self.example != example:
            return None
        found = self._found(positions, self.words, self.patterns, self.positions)
        if self.target is not None and self._is_about(positions):
            found = self.target / self.target.max()
        if self.over is not None and not (self.rivals(positions) > 0).any():
            return None
        return found if found.any() else None

    def rivals(self, positions: Positions) -> Array:
        """(L,) of 0 and 1: what the answer is preferred to; 1 at no position of the answer."""
        if self.over is None:
            return np.zeros(positions.count)
        answer = self._found(positions, self.words, self.patterns, self.positions)
        return np.where(answer > 0, 0.0, self._found(positions, *self.over))

    def _found(
        self, positions: Positions, words: Iterable[str], patterns: Iterable[Pattern],
        places: Iterable[int],
    ) -> Array:  # fmt: skip
        found = np.zeros(positions.count)
        text = positions.text
        if text is not None:
            for word in words:
                found[list(text.word(word))] = 1
            for pattern, flags in patterns:
                found[list(text.pattern(re.compile(pattern, flags)))] = 1
        if self._is_about(positions):
            found[list(places)] = 1
        return found

    def _is_about(self, positions: Positions) -> bool:
        """Whether positions of the input that it was said about are positions of this one."""
        text = positions.text
        own = self.tokens is None or (text is not None and text.tokens == self.tokens)
        return own and positions.count == self.length

    def shown(self) -> dict[str, Any]:
        """A row of a table."""
        marks = _shown(self.words, self.patterns, self.positions)
        if self.over is not None:
            marks += f" over {_shown(*self.over)}"
        about = "every input" if self.example is None else self.example
        return {
            "id": self.id, "kind": self.kind,
            "marks": marks or f"a map of {self.length} positions",
            "example": about, "strength": self.strength, "note": self.note,
        }  # fmt: skip


def listed(corrections: Sequence[Correction]) -> str:
    """A line for each."""
    count = len(corrections)
    lines = [f"{count} correction{'s' * (count != 1)}"]
    for row in (one.shown() for one in corrections):
        line = f"{row['kind']}  {row['marks']}  {row['example']}  strength {row['strength']:g}"
        lines.append(printable(f"{line}  {row['note']}".rstrip()))
    return "\n".join(lines)


def made(kind: str, marks: Any, tokens: Any, example: Any, strength: Any, note: Any) -> Correction:
    """A correction by marks, all of which must be in the input."""
    positions = Positions("tokens", tokens)
    return _correction(kind, positions, example, strength, note, *_marks("marks", positions, marks))


def preferred(
    answer: Any, over: Any, tokens: Any, example: Any, strength: Any, note: Any
) -> Correction:
    """A correction by the marks of an answer and of its rivals, all of which must be there."""
    positions = Positions("tokens", tokens)
    found = _correction(
        PREFERRED, positions, example, strength, note, *_marks("answer", positions, answer)
    )._replace(over=Rivals(*_marks("over", positions, over)))
    if not found.rivals(positions).any():
        raise ValueError("over must mark a position that the answer does not: got none")
    return found


def name_of(argument: str, example: Any) -> str | int | None:
    """The name or number of an input; None where it has none."""
    if example is None or isinstance(example, str):
        return example
    if not is_integer(example):
        raise TypeError(f"{argument} must be a string or an integer: got {named(example)}")
    return int(example)


def _marks(
    name: str, positions: Positions, marks: Any
) -> tuple[tuple[str, ...], tuple[Pattern, ...], tuple[int, ...]]:
    """Words, patterns and positions."""
    words, patterns, places = [], [], set()
    for mark in marks if isinstance(marks, (list, tuple, set, frozenset)) else [marks]:
        if isinstance(mark, Mapping):
            raise TypeError(
                f"{name} must be words, patterns, positions or spans, with one strength for all: "
                f"got {named(mark)}"
            )
        found = np.flatnonzero(positions.strengths(name, mark)).tolist()
        if isinstance(mark, str):
            words.append(mark)
        elif isinstance(mark, re.Pattern):
            patterns.append((mark.pattern, int(mark.flags)))
        else:
            places.update(found)
    if not (words or patterns or places):
        raise ValueError(f"{name} must mark a position: got none")
    return tuple(words), tuple(patterns), tuple(sorted(places))


def painted(target: Any, tokens: Any, example: Any, strength: Any, note: Any) -> Correction:
    """A correction by a map of the input's positions."""
    positions = Positions("tokens", tokens)
    found = numbers("target", target).astype(np.float64).ravel()
    if len(found) != positions.count:
        raise ValueError(
            f"target must have one number for each of {positions.count} positions: got {len(found)}"
        )
    if not np.isfinite(found).all() or (found < 0).any() or not found.any():
        raise ValueError("target must be finite, not negative, and not 0 everywhere")
    return _correction(PAINTED, positions, example, strength, note, target=found)


def _shown(words: Iterable[str], patterns: Iterable[Pattern], positions: Iterable[int]) -> str:
    return ", ".join(map(str, [*words, *(pattern for pattern, _ in patterns), *positions]))


def _correction(
    kind: str, positions: Positions, example: Any, strength: Any, note: Any,
    words: tuple[str, ...] = (), patterns: tuple[Pattern, ...] = (), places: tuple[int, ...] = (),
    target: Array | None = None,
) -> Correction:  # fmt: skip
    if not isinstance(note, str):
        raise TypeError(f"note must be a string: got {named(note)}")
    tokens = None if positions.text is None else positions.text.tokens
    return Correction(
        secrets.token_hex(8), kind, words, patterns, places, positions.count, tokens,
        name_of("example", example), not_negative("strength", strength), target, note,
    )  # fmt: skip
