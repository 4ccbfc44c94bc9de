"""Text of files and of their names as it may be shown: nothing in it commands a terminal."""

from __future__ import annotations

_JOINERS = "\u200c\u200d"  # Persian, Hindi and many emoji are written with them


def printable(text: str) -> str:
    r"""The text with \x1b, \u202e and the like in place of what no font shows.

    That is control characters (C0, C1 and line ends), marks that turn the direction of writing,
    halves of surrogate pairs, and what Unicode has not given a meaning.
    """
    if text.isprintable():
        return text
    return "".join(
        sign if sign.isprintable() or sign in _JOINERS else ascii(sign)[1:-1] for sign in text
    )
