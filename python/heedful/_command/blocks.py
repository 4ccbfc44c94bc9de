"""Blocks of a text file: its headings, its prose, its tables, its code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

# "# Title", "<h1>Title</h1>"; a title underlined with punctuation, with or without an overline
_HASHES = re.compile(r"(#{1,6}) .*")
_TAG = re.compile(r"<h([1-6]).*</h[1-6]>", re.IGNORECASE)
_RULE = re.compile(r"([=\-~^\"'#*+.:_`])\1\1+")
_FENCE = re.compile(r"(```+|~~~+)")
_ROW = re.compile(r"\||\+[-=]+\+|<t[rhd]\b", re.IGNORECASE)  # of Markdown, of a grid, of HTML
_COLUMNS = re.compile(r"=+( +=+)+")  # above and below the columns of a simple table of reST
_MAX_HEADING = 300  # characters; a longer line is a text


class Block(NamedTuple):
    """Lines that belong together.

    `kind` is "heading", "prose", "table" or "code", `level` that of a heading, 1 the highest.
    """

    kind: str
    line: int
    text: str
    level: int = 0


def blocks(text: str, comments: bool = False) -> Iterator[Block]:
    """The blocks of a text in their order; with `comments`, "# Title" is no heading."""
    underlines: dict[tuple[bool, str], int] = {}
    for first, lines in _groups(text):
        if _FENCE.match(lines[0].lstrip()) or lines[0].lstrip().startswith(">>>"):
            yield Block("code", first, "\n".join(lines))
        elif _ROW.match(lines[0].lstrip()) or _COLUMNS.fullmatch(lines[0].strip()):
            yield Block("table", first, "\n".join(lines))
        elif level := _underlined(lines, underlines):
            yield Block("heading", first, "\n".join(lines), level)
        elif first == 1 and lines[0] == "---" == lines[-1]:  # settings above a Markdown page
            yield Block("code", first, "\n".join(lines))
        else:
            while lines and (level := _level(lines[0].strip(), comments)):
                yield Block("heading", first, lines[0], level)
                first, lines = first + 1, lines[1:]
            if lines:
                yield Block("prose", first, "\n".join(lines))


def _groups(text: str) -> Iterator[tuple[int, list[str]]]:
    """Lines between empty ones, between other lines and rows of a table, or between fences."""
    lines: list[str] = []
    first, fence, rows = 1, "", False
    for number, line in enumerate([*text.splitlines(), ""], 1):
        start, mark = line.lstrip(), _FENCE.match(line.lstrip())
        if fence:
            lines.append(line)
            if start.startswith(fence) and not start.strip(fence[0]):
                yield first, lines
                lines, fence = [], ""
            continue
        is_row = bool(_ROW.match(start))
        if lines and (not start or mark or is_row != rows):
            yield first, lines
            lines = []
        if start:
            if not lines:
                first, rows = number, is_row
            lines.append(line)
        fence = mark[1] if mark else ""
    if any(line.strip() for line in lines):  # of a fence that is not closed
        yield first, lines


def _level(line: str, comments: bool) -> int:
    """The level of a heading of one line, 0 for another line."""
    if len(line) > _MAX_HEADING:
        return 0
    if match := _TAG.fullmatch(line):
        return int(match[1])
    match = None if comments else _HASHES.fullmatch(line)
    return len(match[1]) if match else 0


def _underlined(lines: list[str], found: dict[tuple[bool, str], int]) -> int:
    """The level of an underlined heading: its style is the next level where it is new."""
    lines = [line.strip() for line in lines]
    over = len(lines) == 3 and bool(_RULE.fullmatch(lines[0]))
    title, *rule = lines[1:] if over else lines
    if len(rule) != 1 or _RULE.fullmatch(title) or not _RULE.fullmatch(rule[0]):
        return 0
    if len(title) > _MAX_HEADING:
        return 0
    return found.setdefault((over, rule[0][0]), len(found) + 1)
