"""Splitting texts at the best place: after sentences, lines, clauses, words, characters."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from heedful._command.passages import Passage

if TYPE_CHECKING:
    from heedful.integrations.sentences import SentenceEncoder

_TOKENS = 96  # of a piece: one sentence among them still dominates enough to be found
_LONG = 32  # characters; a token of a known word has fewer
_BLOCK = 16_384  # characters that are tokenized at a time
_BATCH = 256
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


class Splitter:
    """Splits passages to fit the input length of a model."""

    def __init__(self, encoder: SentenceEncoder) -> None:
        from tokenizers import Tokenizer

        self.tokenizer = Tokenizer.from_str(encoder.tokenizer.to_str())
        self.tokenizer.no_truncation()
        added = self.tokenizer.num_special_tokens_to_add(False)
        self.max_read = encoder.max_length - added  # tokens of a text that the model reads
        self.max_tokens = min(_TOKENS, self.max_read)

    def split(self, passages: Iterable[Passage]) -> Iterator[Passage]:
        """The passages, those that are too long in pieces, in the order of their text."""
        remaining = iter(passages)
        while batch := list(islice(remaining, _BATCH)):
            texts = [text for passage in batch for text in (passage.title, passage.text)]
            fits = self._fit(texts)
            for passage, title, text in zip(batch, fits[::2], fits[1::2], strict=True):
                if not title:
                    yield from self._pieces(Passage(passage.path, passage.line, passage.title))
                    passage = Passage(passage.path, passage.first, passage.text)
                yield from [passage] if text else self._pieces(passage)

    def pieces(self, text: str) -> Iterator[tuple[int, str]]:
        """The beginning of each piece, and the piece."""
        for begin, end in spans(text, range(len(text)), _BLOCK):
            block = text[begin:end]
            units = self._units(block)
            if len(units) <= self.max_read or len(block) == 1:
                yield begin, block
                continue
            for first, last in spans(block, units, self.max_tokens):
                # a word that is split may have more tokens than before
                for place, piece in self.pieces(block[first:last]):
                    yield begin + first + place, piece

    def _pieces(self, passage: Passage) -> Iterator[Passage]:
        line = passage.line  # that of the title, if there is one
        for place, piece in self.pieces(passage.text):
            if piece.strip():
                place += len(piece) - len(piece.lstrip())
                first = passage.first + passage.text.count("\n", 0, place)
                line = line if place == 0 else first
                yield passage._replace(line=line, text=piece.strip(), text_line=first)

    def _fit(self, texts: list[str]) -> list[bool]:
        # no character gives more than three tokens
        fits = [3 * len(text) <= self.max_read for text in texts]
        unsure = [i for i, (fit, text) in enumerate(zip(fits, texts, strict=True))
                  if not fit and len(text) <= _BLOCK]  # fmt: skip
        encodings = self.tokenizer.encode_batch(
            [texts[index] for index in unsure], add_special_tokens=False
        )
        for index, encoding in zip(unsure, encodings, strict=True):
            fits[index] = len(_units(encoding)) <= self.max_read
        return fits

    def _units(self, text: str) -> list[int]:
        return _units(self.tokenizer.encode(text, add_special_tokens=False))


def _units(encoding: Any) -> list[int]:
    """Where tokens begin; two per character in a word too long to be known, so that it is split."""
    found: list[int] = []
    for begin, end in encoding.offsets:
        if end - begin <= _LONG:
            found.append(begin)
        else:
            found.extend(place for place in range(begin, end) for _ in range(2))
    return found
