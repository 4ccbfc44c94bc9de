"""Which installed fonts can draw a text, and escapes for what none of them can."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any


def families_for(texts: Iterable[str]) -> tuple[list[str], set[str]]:
    """Families of fonts in the order of preference, and the characters that none of them has."""
    from matplotlib import rcParams

    own = list(rcParams["font.family"])
    missing = {char for text in texts for char in text} - _characters(tuple(own))
    missing = {char for char in missing if not char.isspace()}
    found: list[str] = []
    for family, path in _installed() if missing else ():
        covered = missing & _characters_of(path)
        if covered:
            found.append(family)
            missing -= covered
        if not missing:
            break
    return own + found, missing


def escaped(text: str, missing: set[str]) -> str:
    return "".join(ascii(char)[1:-1] if char in missing else char for char in text)


@lru_cache(maxsize=8)
def _characters(families: tuple[str, ...]) -> set[str]:
    from matplotlib.font_manager import FontProperties, fontManager

    found: set[str] = set()
    for family in families:
        found |= _characters_of(str(fontManager.findfont(FontProperties(family=[family]))))
    return found


@lru_cache(maxsize=512)
def _characters_of(path: str) -> frozenset[str]:
    from matplotlib.font_manager import get_font

    with suppress(OSError, RuntimeError):  # a font that matplotlib cannot read
        characters: Any = get_font(path).get_charmap()
        return frozenset(map(chr, characters))
    return frozenset()


def _installed() -> list[tuple[str, str]]:
    """Upright fonts and their files: normal weights and small files first, they are read in turn.

    Without those that draw boxes, which tell the script instead of the character.
    """
    from matplotlib.font_manager import fontManager, weight_dict

    found = []
    for font in fontManager.ttflist:
        if font.style != "normal" or "last resort" in font.name.lower():
            continue
        named = weight_dict.get(str(font.weight))
        weight = abs(int(font.weight if named is None else named) - weight_dict["normal"])
        with suppress(OSError):  # a font that was removed since matplotlib listed it
            found.append((weight, Path(font.fname).stat().st_size, font.name, font.fname))
    return [(name, path) for _, _, name, path in sorted(found)]
