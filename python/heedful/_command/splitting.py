"""Splitting passages that are longer than what a model reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from heedful._command.passages import Passage
from heedful._command.spans import spans

if TYPE_CHECKING:
    from heedful.integrations.sentences import SentenceEncoder

_TOKENS = 96  # of a piece: one sentence among them still dominates enough to be found
_LONG = 32  # characters; a token of a known word has fewer
_BLOCK = 16_384  # characters that are tokenized at a time
_BATCH = 256


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
            for passage, fits in zip(batch, self._fit([one.whole for one in batch]), strict=True):
                yield from [passage] if fits else self._parts(passage)

    def _parts(self, passage: Passage) -> Iterator[Passage]:
        """Of a long passage; its headings stay with each of them if they leave enough room."""
        room = self.max_read - len(self._units(passage.title)) if passage.title else self.max_read
        if room < self.max_tokens:
            if passage.line < passage.first:  # the first below them
                yield from self.split([Passage(passage.path, passage.line, passage.title)])
            yield from self.split([passage._replace(line=passage.first, title="", text_line=0)])
        else:
            yield from self._pieces(passage, room)

    def pieces(self, text: str, room: int) -> Iterator[tuple[int, str]]:
        """The beginning of each piece of at most `room` tokens, and the piece."""
        for begin, end in spans(text, range(len(text)), _BLOCK):
            block = text[begin:end]
            units = self._units(block)
            if len(units) <= room or len(block) == 1:
                yield begin, block
                continue
            for first, last in spans(block, units, self.max_tokens):
                # a word that is split may have more tokens than before
                for place, piece in self.pieces(block[first:last], room):
                    yield begin + first + place, piece

    def _pieces(self, passage: Passage, room: int) -> Iterator[Passage]:
        line = passage.line  # that of the headings, if the passage is the first below them
        for place, piece in self.pieces(passage.text, room):
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
