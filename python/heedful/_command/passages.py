"""Passages of texts: paragraphs, with the titles above them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

_WORDS = 120  # of a passage, to the next end of a line
# "# Title", "<h1>Title</h1>"; a title underlined with punctuation, with or without an overline
_TITLE = re.compile(r"#{1,6} .*|<h[1-6].*</h[1-6]>", re.IGNORECASE)
_RULE = re.compile(r"([=\-~^\"'#*+.:_`])\1\1+")


class Passage(NamedTuple):
    path: Path
    line: int
    text: str
    title: str = ""  # the title above it
    text_line: int = 0  # where the text begins, if that is not `line`

    @property
    def first(self) -> int:
        return self.text_line or self.line

    @property
    def whole(self) -> str:
        return f"{self.title}\n\n{self.text}" if self.title else self.text


def paragraphs(path: Path, text: str) -> Iterator[Passage]:
    """Text between empty lines; a long one is split at the end of the line after _WORDS words."""
    lines: list[str] = []
    first, words = 1, 0
    for number, line in enumerate([*text.splitlines(), ""], 1):
        if lines and (not line.strip() or words >= _WORDS):
            yield Passage(path, first, "\n".join(lines))
            lines, words = [], 0
        if line.strip():
            if not lines:
                first = number
            lines.append(line)
            words += len(line.split())


def with_titles(passages: Iterable[Passage]) -> Iterator[Passage]:
    """Titles joined to the passage that follows; at the end of a file they stay alone."""
    above: list[Passage] = []
    for passage in passages:
        if _is_title(passage.text):
            above.append(passage)
            continue
        if above:
            title = "\n\n".join(heading.text for heading in above)
            passage = passage._replace(line=above[0].line, title=title, text_line=passage.line)
            above = []
        yield passage
    yield from above


def _is_title(text: str) -> bool:
    lines = [line.strip() for line in text.splitlines()]
    if all(_TITLE.fullmatch(line) for line in lines):
        return True
    if len(lines) == 3 and _RULE.fullmatch(lines[0]):
        del lines[0]
    return len(lines) == 2 and not _RULE.fullmatch(lines[0]) and bool(_RULE.fullmatch(lines[1]))
