"""Passages of texts: paragraphs, rows of tables and code, each with the headings above it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from re import finditer
from typing import NamedTuple

from heedful._command.blocks import Block, blocks
from heedful._command.spans import spans

_WORDS = 120  # of a passage of prose


class Passage(NamedTuple):
    path: Path
    line: int
    text: str
    title: str = ""  # the headings above it, the highest first
    text_line: int = 0  # where the text begins, if that is not `line`
    prose: bool = True  # no row of a table, no code

    @property
    def first(self) -> int:
        return self.text_line or self.line

    @property
    def whole(self) -> str:
        return f"{self.title}\n\n{self.text}" if self.title else self.text


def passages(path: Path, text: str) -> Iterator[Passage]:
    """The passages of a file, in their order.

    A heading counts for its whole section, up to the next one of its level or a higher one.
    One without a text is a passage itself.
    """
    above: list[Block] = []
    unused: list[Block] = []  # headings that no text has followed yet
    for block in blocks(text, comments=path.suffix == ".py"):
        if block.kind == "heading":
            ended = [heading for heading in unused if heading.level >= block.level]
            yield from (Passage(path, heading.line, heading.text) for heading in ended)
            above = [heading for heading in above if heading.level < block.level] + [block]
            unused = [heading for heading in unused if heading.level < block.level] + [block]
            continue
        title = "\n\n".join(heading.text for heading in above)
        for line, piece in _pieces(block):
            first = unused[0].line if unused else line
            yield Passage(path, first, piece, title, line, block.kind == "prose")
            unused = []
    yield from (Passage(path, heading.line, heading.text) for heading in unused)


def _pieces(block: Block) -> Iterator[tuple[int, str]]:
    """The line and the text of each piece of a block, cut after sentences where it is long."""
    words = [match.start() for match in finditer(r"\S+", block.text)]
    for begin, end in spans(block.text, words, _WORDS):
        piece = block.text[begin:end]
        start = begin + len(piece) - len(piece.lstrip())
        if piece.strip():
            yield block.line + block.text.count("\n", 0, start), piece.strip("\n").rstrip()
