"""Text from files and file names, safe to print: no control sequence reaches a terminal."""

from __future__ import annotations

_JOINERS = "\u200c\u200d"  # Persian, Hindi and many emoji are written with them


def printable(text: str) -> str:
    r"""The text with its unprintable characters escaped as \x1b, \u202e and the like.

    Those are control characters (C0, C1 and line ends), bidirectional controls, lone surrogates
    and unassigned code points.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in _JOINERS else ascii(char)[1:-1] for char in text
    )
