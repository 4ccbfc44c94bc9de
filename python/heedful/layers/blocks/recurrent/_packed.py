"""Packed: the valid rows of padded sequences, those of one step side by side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful.base._types import Array
from heedful.functional._positions import check_lengths


class Packed:
    """Sequences (B, L), of which only the first positions may be valid, as rows in order of steps.

    ::

        x     a0 a1 a2       rows    c0 a0 b0  c1 a1  c2 a2  c3       order    2 0 1
              b0                                                      counts   3 2 2 1
              c0 c1 c2 c3

    Longest sequences are first, so step t of all that last as long is in `counts[t]` rows, those of
    the first sequences of the order. The same as PyTorch's PackedSequence.

    Attributes
    ----------
    order : numpy.ndarray of int, (B,), or None
        Sequences by falling length; None where all have the whole length.
    counts : numpy.ndarray of int64, (steps,)
        Sequences that have a position at this step, without the steps where none has.
    begins : numpy.ndarray of int64, (steps,)
        The first row of each step.
    """

    def __init__(self, shape: tuple[int, int], lengths: NDArray[np.int64] | None) -> None:
        self.shape = shape
        items, length = shape
        self.order: NDArray[np.int64] | None = None
        if lengths is None:
            self.counts: NDArray[np.int64] = np.full(length if items else 0, items, np.int64)
        else:
            self.order = np.argsort(-lengths, kind="stable")
            steps = np.arange(lengths.max(initial=0))
            self.counts = np.count_nonzero(lengths[:, None] > steps, axis=0).astype(np.int64)
            self._steps = np.repeat(steps, self.counts)
        ends = np.cumsum(self.counts)
        self.begins: NDArray[np.int64] = ends - self.counts
        self.rows: int = int(ends[-1]) if ends.size else 0
        if self.order is not None:
            self._items = self.order[np.arange(self.rows) - np.repeat(self.begins, self.counts)]

    @classmethod
    def of(cls, shape: tuple[int, ...], lengths: Any) -> Packed:
        """Of sequences (…, L) with checked lengths (…), or with None."""
        batch, length = shape[:-1], shape[-1]
        if lengths is not None:
            lengths = check_lengths("lengths", lengths, batch, length)
        return cls((int(np.prod(batch)), length), lengths)

    def pack(self, x: Array) -> Array:
        """(B, L, E) → (rows, E), contiguous."""
        if self.order is None:
            return np.ascontiguousarray(x.swapaxes(0, 1)).reshape(self.rows, x.shape[-1])
        rows: Array = x[self._items, self._steps]
        return rows

    def unpack(self, rows: Array) -> Array:
        """(rows, E) → (B, L, E), 0 at positions that are not valid."""
        width = rows.shape[-1]
        if self.order is None:
            whole = rows.reshape(self.shape[1], self.shape[0], width)
            return np.ascontiguousarray(whole.swapaxes(0, 1))
        y = np.zeros((*self.shape, width), rows.dtype)
        y[self._items, self._steps] = rows
        return y

    def sort(self, states: Array) -> Array:
        """A copy of (B, …) in the order of the rows."""
        return states.copy() if self.order is None else states[self.order]

    def unsort(self, states: Array) -> Array:
        """States (B, …) in the order of the sequences again."""
        if self.order is None:
            return states
        found = np.empty_like(states)
        found[self.order] = states
        return found

    def last(self, first: Array, rows: Array, reverse: bool) -> Array:
        """Of each sequence its last row (B, H), or that of `first` if it has none."""
        found: Array = first.copy()
        here = int(self.counts[0]) if self.counts.size else 0
        if reverse:
            found[:here] = rows[:here]
        else:
            # sequence i has a row at as many steps as have more than i rows
            lengths = np.count_nonzero(self.counts[:, None] > np.arange(here), axis=0)
            found[:here] = rows[self.begins[lengths - 1] + np.arange(here)]
        return found

    def before(self, first: Array, rows: Array, reverse: bool) -> Iterator[tuple[slice, Array]]:
        """Some of all rows, and the rows (…, H) of the step before theirs; `first` is before all.

        Views of `rows` where all sequences have the whole length.
        """
        steps = [*zip(self.counts.tolist(), self.begins.tolist(), strict=True)]
        if not steps:
            return
        if self.order is None:
            count, end = self.shape[0], self.rows
            yield (slice(end - count, end) if reverse else slice(count)), first
            yield (slice(end - count), rows[count:]) if reverse else (
                slice(count, end), rows[: end - count]
            )  # fmt: skip
            return
        found = np.empty(rows.shape, rows.dtype)
        for step, (count, begin) in enumerate(steps):
            other = step + 1 if reverse else step - 1
            held, start = steps[other] if 0 <= other < len(steps) else (0, 0)
            held = min(count, held)
            found[begin : begin + held] = rows[start : start + held]
            found[begin + held : begin + count] = first[held:count]
        yield slice(self.rows), found
