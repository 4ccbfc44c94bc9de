"""Spans of a text, cut at the best place: after sentences, lines, clauses, words, characters."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

# Chinese and Japanese have no space after punctuation, Thai has spaces instead of punctuation
_ENDS = [
    re.compile(r"[.!?…]+[\"'”’»)\]]*\s+|[。！？｡।؟]+[\"'”’」』）]*\s*"),
    re.compile(r"\n"),
    re.compile(r"[,;:]\s+|[，、；：]\s*"),
    re.compile(r"\s+"),
]


def spans(text: str, units: Sequence[int], max_units: int) -> Iterator[tuple[int, int]]:
    """Begin and end of pieces of a text, none of which has more than `max_units` units.

    `units` holds the character at which each unit begins, in order: tokens, or characters.
    """
    ends = [[match.end() for match in pattern.finditer(text)] for pattern in _ENDS]
    begin = first = 0
    while len(units) - first > max_units:
        furthest = units[first + max_units]
        end = next(filter(None, (_last(places, begin, furthest) for places in ends)), None)
        if end is None:
            end = _between_characters(text, begin, furthest)
        yield begin, end
        begin, first = end, bisect_left(units, end)
    yield begin, len(text)


def _last(places: list[int], begin: int, furthest: int) -> int | None:
    index = bisect_right(places, furthest)
    return places[index - 1] if index and places[index - 1] > begin else None


def _between_characters(text: str, begin: int, furthest: int) -> int:
    """`furthest`, or the start of the grapheme that it would split."""
    end = furthest
    while end > begin + 1 and (
        unicodedata.category(text[end]).startswith("M") or "\u200d" in text[end - 1 : end + 1]
    ):
        end -= 1
    return end if end > begin + 1 else max(furthest, begin + 1)
