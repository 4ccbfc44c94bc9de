"""Tokens as texts of a picture: shortened, escaped, in fonts that have their characters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any
from unicodedata import combining, east_asian_width

from heedful._printable import printable
from heedful.explain.plot._figure import INK
from heedful.explain.plot._glyphs import escaped, families_for

_LONGEST = 16  # columns, of which East Asian characters take two
_SMALLEST, _LARGEST = 5.0, 9.0  # points


class TokenTexts:
    """What is written of tokens, and the properties of matplotlib's texts."""

    def __init__(self, tokens: Sequence[str]) -> None:
        plain = [_visible(token) for token in tokens]
        family, missing = families_for(plain)
        self.texts = [_shortened(escaped(text, missing)) for text in plain]
        # no TeX: a token may hold $ and _
        self.style = {"fontfamily": family, "color": INK, "parse_math": False, "usetex": False}
        self.columns = max(map(columns_of, self.texts), default=0)

    def mark(self, axis: Any, points: float, **style: Any) -> None:
        """Label an axis whose entries are `points` apart; where they are too close, only some."""
        every = max(1, math.ceil(_SMALLEST / max(points, 0.01)))
        places = range(0, len(self.texts), every)
        axis.set_ticks(list(places), [self.texts[place] for place in places])
        axis.set_tick_params(length=0)
        for tick in axis.get_major_ticks():
            for text in (tick.label1, tick.label2):
                text.update({**self.style, "fontsize": font_size(points * every), **style})


def font_size(points: float) -> float:
    """Of lines that are `points` apart."""
    return min(_LARGEST, max(_SMALLEST, 0.8 * points))


def columns_of(text: str) -> int:
    """The width in columns of a terminal."""
    return sum(
        0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text
    )


def _visible(token: str) -> str:
    """Spaces at the ends, and a token of nothing, can be seen."""
    text = printable(token)
    inner = text.strip(" ")
    if not inner:
        return "␣" * len(text) or "∅"
    begin = text.index(inner)
    return "␣" * begin + inner + "␣" * (len(text) - begin - len(inner))


def _shortened(text: str) -> str:
    if columns_of(text) <= _LONGEST:
        return text
    kept = ""
    for char in text:
        if columns_of(kept + char) > _LONGEST - 1:
            break
        kept += char
    return kept + "…"
