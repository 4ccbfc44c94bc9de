"""Cutting texts where it hurts least: behind sentences, lines, clauses, words, letters."""

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

_TOKENS = 96  # of a piece: a sentence is still found among the others
_LONG = 32  # letters that a token of a known word never has
_BLOCK = 16_384  # letters that are cut into tokens at a time
_AT_ONCE = 256
# Chinese and Japanese have no space behind a sign, Thai has no signs but spaces
_ENDS = [
    re.compile(r"[.!?…]+[\"'”’»)\]]*\s+|[。！？｡।؟]+[\"'”’」』）]*\s*"),
    re.compile(r"\n"),
    re.compile(r"[,;:]\s+|[，、；：]\s*"),
    re.compile(r"\s+"),
]


def spans(text: str, units: Sequence[int], most: int) -> Iterator[tuple[int, int]]:
    """Where pieces of a text begin and end, so that none has more than `most` units.

    `units` says at which letter each unit begins, in order: tokens, or letters themselves.
    """
    ends = [[match.end() for match in pattern.finditer(text)] for pattern in _ENDS]
    begin = first = 0
    while len(units) - first > most:
        furthest = units[first + most]
        end = next(filter(None, (_last(places, begin, furthest) for places in ends)), None)
        if end is None:
            end = _between_letters(text, begin, furthest)
        yield begin, end
        begin, first = end, bisect_left(units, end)
    yield begin, len(text)


def _last(places: list[int], begin: int, furthest: int) -> int | None:
    index = bisect_right(places, furthest)
    return places[index - 1] if index and places[index - 1] > begin else None


def _between_letters(text: str, begin: int, furthest: int) -> int:
    """At `furthest`, or before the letter whose marks stand there."""
    end = furthest
    while end > begin + 1 and (
        unicodedata.category(text[end]).startswith("M") or "\u200d" in text[end - 1 : end + 1]
    ):
        end -= 1
    return end if end > begin + 1 else max(furthest, begin + 1)


class Cutter:
    """Cuts passages so that a model reads all of them."""

    def __init__(self, encoder: SentenceEncoder) -> None:
        from tokenizers import Tokenizer

        self.tokenizer = Tokenizer.from_str(encoder.tokenizer.to_str())
        self.tokenizer.no_truncation()
        added = self.tokenizer.num_special_tokens_to_add(False)
        self.read = encoder.max_length - added  # tokens of a text that the model reads
        self.most = min(_TOKENS, self.read)

    def cut(self, passages: Iterable[Passage]) -> Iterator[Passage]:
        """Those that are too long in pieces, in the order of their text."""
        waiting = iter(passages)
        while batch := list(islice(waiting, _AT_ONCE)):
            texts = [text for passage in batch for text in (passage.title, passage.text)]
            fits = self._fit(texts)
            for passage, title, text in zip(batch, fits[::2], fits[1::2], strict=True):
                if not title:
                    yield from self._pieces(Passage(passage.path, passage.line, passage.title))
                    passage = Passage(passage.path, passage.first, passage.text)
                yield from [passage] if text else self._pieces(passage)

    def pieces(self, text: str) -> Iterator[tuple[int, str]]:
        """Where each piece begins, and the piece."""
        for begin, end in spans(text, range(len(text)), _BLOCK):
            block = text[begin:end]
            units = self._units(block)
            if len(units) <= self.read or len(block) == 1:
                yield begin, block
                continue
            for first, last in spans(block, units, self.most):
                # a word that is cut may have more tokens than before
                for place, piece in self.pieces(block[first:last]):
                    yield begin + first + place, piece

    def _pieces(self, passage: Passage) -> Iterator[Passage]:
        line = passage.line  # a title's, where one stands above
        for place, piece in self.pieces(passage.text):
            if piece.strip():
                place += len(piece) - len(piece.lstrip())
                first = passage.first + passage.text.count("\n", 0, place)
                line = line if place == 0 else first
                yield passage._replace(line=line, text=piece.strip(), text_line=first)

    def _fit(self, texts: list[str]) -> list[bool]:
        # no letter gives more than three tokens
        fits = [3 * len(text) <= self.read for text in texts]
        unsure = [i for i, (fit, text) in enumerate(zip(fits, texts, strict=True))
                  if not fit and len(text) <= _BLOCK]  # fmt: skip
        encodings = self.tokenizer.encode_batch(
            [texts[index] for index in unsure], add_special_tokens=False
        )
        for index, encoding in zip(unsure, encodings, strict=True):
            fits[index] = len(_units(encoding)) <= self.read
        return fits

    def _units(self, text: str) -> list[int]:
        return _units(self.tokenizer.encode(text, add_special_tokens=False))


def _units(encoding: Any) -> list[int]:
    """Where tokens begin; of a word too long to be known two for each letter, so that it is cut."""
    found: list[int] = []
    for begin, end in encoding.offsets:
        if end - begin <= _LONG:
            found.append(begin)
        else:
            found.extend(place for place in range(begin, end) for _ in range(2))
    return found
