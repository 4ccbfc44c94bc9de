"""TokenLabels: what stands at the positions of the axes of attention weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from heedful._checks import named
from heedful.base._types import Array


class TokenLabels:
    """The tokens of one sequence, or of a source and a target.

    used : whether an axis had as many positions as a sequence has tokens
    lengths : of the axes that were asked for
    """

    def __init__(self, tokens: Any) -> None:
        self.sequences = _sequences(tokens)
        self.used = not self.sequences
        self.lengths: set[int] = set()

    def count(self, sequence: int | None, length: int) -> int:
        """How many of `length` positions have a token: all where there are no tokens."""
        return min(length, len(self._tokens(sequence) or (None,) * length))

    def of(self, sequence: int | None, length: int, padded: bool) -> tuple[str, ...]:
        """The labels of an axis: of sequence 0 or 1, or None for what is no sequence.

        Fewer than `length` where the positions past the tokens are `padded`. Numbers of the
        positions where there are no tokens, or of another sequence.
        """
        own = tuple(str(position) for position in range(length))
        tokens = self._tokens(sequence)
        if tokens is None:
            return own
        self.lengths.add(length)
        if len(tokens) != length and not (padded and len(tokens) < length):
            return own
        self.used = True
        return tokens

    def joined(self, rows: Array, length: int) -> tuple[str, ...]:
        """The labels of rows that have one token, or several that were merged: "to+be".

        rows (L,) : of each token its row, or −1; rows without any are padding
        """
        tokens = self._tokens(0) or tuple(map(str, range(len(rows))))
        self.used = True
        found: list[list[str]] = [[] for _ in range(length)]
        for token, row in zip(tokens, rows, strict=False):
            if row >= 0:
                found[row].append(token)
        return tuple("+".join(group) for group in found if group)

    def _tokens(self, sequence: int | None) -> tuple[str, ...] | None:
        if sequence is None or not self.sequences:
            return None
        return self.sequences[min(sequence, len(self.sequences) - 1)]

    def check(self) -> None:
        """Require tokens that fit some axis."""
        if not self.used:
            counts = " and ".join(str(len(tokens)) for tokens in self.sequences)
            raise ValueError(
                "tokens must be one for each position, of which the layers have "
                f"{', '.join(map(str, sorted(self.lengths))) or 'none'}: got {counts}"
            )


def _sequences(tokens: Any) -> list[tuple[str, ...]]:
    if tokens is None:
        return []
    if isinstance(tokens, np.ndarray):
        tokens = tokens.tolist()
    if isinstance(tokens, str) or not isinstance(tokens, Sequence):
        raise TypeError(f"tokens must be a sequence of strings: got {named(tokens)}")
    if all(isinstance(token, str) for token in tokens):
        return [tuple(tokens)]
    found = [tuple(tokens_of) for tokens_of in tokens if not isinstance(tokens_of, (str, int))]
    if len(found) != len(tokens) or not all(
        isinstance(token, str) for row in found for token in row
    ):
        raise TypeError(
            f"tokens must be strings, or a pair of sequences of them: got {named(tokens)}"
        )
    return found
