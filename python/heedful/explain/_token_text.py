"""TokenText: the text that tokens are of, and which of them a word in it covers."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

# a word, an ideograph, which tokenizers take for a word, or a sign
_PIECE = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]|[^\W_\u3400-\u9fff\uf900-\ufaff]+|_|[^\w\s]")
_SPECIAL = re.compile(r"\[[A-Z]+\]|<[^<>\s]+>")
_SPACES = "Ġ▁"  # of the tokenizers of GPT-2 and of SentencePiece
_LINE = "Ċ"

Span = tuple[int, int]


class TokenText:
    """A text as tokens.

    Tokens of WordPiece (##ing), SentencePiece (▁the), byte-level BPE (Ġthe), of single characters,
    or words. Special tokens such as [CLS] and </s> are no text.

    text : the whole
    places : begin and end of each token in it
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        self.tokens: tuple[str, ...] = tuple(tokens)
        parts = list(_parts([unicodedata.normalize("NFC", token) for token in self.tokens]))
        ends, end = [], 0
        for part in parts:
            end += len(part)
            ends.append(end)
        self.text: str = "".join(parts)
        self.places: list[tuple[int, int]] = [
            (end - len(part.lstrip()), end) for part, end in zip(parts, ends, strict=True)
        ]
        self.pieces: list[str] = []
        self._piece_places: list[Span] = []
        for found in _PIECE.finditer(self.text):
            self.pieces.append(plain(found.group()))
            self._piece_places.append(found.span())
        self._first: dict[str, list[int]] = {}
        for index, piece in enumerate(self.pieces):
            self._first.setdefault(piece, []).append(index)

    def pattern(self, pattern: re.Pattern[str]) -> set[int]:
        """The tokens of all matches."""
        return self._covered(found.span() for found in pattern.finditer(self.text))

    def word(self, word: str) -> set[int]:
        """The tokens of all occurrences of a word or several; ``declin*`` is all that begins so.

        Whole words, in any case and with or without accents; tokens that are the word itself, such
        as "[CLS]", too.
        """
        same = {index for index, token in enumerate(self.tokens) if token == word}
        word = unicodedata.normalize("NFC", word)
        begins = word.endswith("*") and len(word) > 1
        wanted = [plain(piece) for piece in _PIECE.findall(word[:-1] if begins else word)]
        if not wanted:
            return same
        count = len(wanted)
        starts = self._first.get(wanted[0], [])
        if begins and count == 1:
            starts = [at for at, piece in enumerate(self.pieces) if piece.startswith(wanted[0])]
        spans = []
        for start in starts:
            here = self.pieces[start : start + count]
            last = here[-1].startswith(wanted[-1]) if begins else here[-1] == wanted[-1]
            if len(here) == count and here[:-1] == wanted[:-1] and last:
                spans.append(
                    (self._piece_places[start][0], self._piece_places[start + count - 1][1])
                )
        return same | self._covered(iter(spans))

    def _covered(self, spans: Iterator[Span]) -> set[int]:
        found: set[int] = set()
        for begin, end in spans:
            found.update(
                index for index, (first, last) in enumerate(self.places)
                if first < end and begin < last
            )  # fmt: skip
        return found


def plain(text: str) -> str:
    """Without case and accents."""
    marks = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in marks if not unicodedata.combining(letter))


def _parts(tokens: Sequence[str]) -> Iterator[str]:
    """The text of each token, with the space before it."""
    spaced = any(token.startswith(tuple(_SPACES)) for token in tokens)
    letters = not spaced and any(token.isspace() or token[:1].isspace() for token in tokens)
    for index, token in enumerate(tokens):
        if _SPECIAL.fullmatch(token):
            yield " "
        elif spaced:
            yield token.translate({ord(mark): " " for mark in _SPACES} | {ord(_LINE): "\n"})
        elif letters:
            yield token
        elif token.startswith("##") and len(token) > 2:
            yield token[2:]
        else:
            yield " " * (index > 0) + token
