"""Passes: the batches of data, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np

from heedful.training._batches import Batch
from heedful.training._stream import Data, Stream


class Passes:
    """An epoch is one pass over the data, or `steps` batches.

    Parameters
    ----------
    goes_on : bool
        Whether an epoch of `steps` batches begins where the one before ended, and what ends begins
        anew. Otherwise each begins anew, except of an iterator, which cannot.

    Attributes
    ----------
    ended : bool
        An iterator has given its last batch before an epoch was complete.
    """

    def __init__(self, data: Data, batch_size: int, steps: int | None, goes_on: bool) -> None:
        self.data, self.batch_size, self.steps = data, batch_size, steps
        self.once = isinstance(data, Stream) and data.once
        self.goes_on = steps is not None and (goes_on or self.once)
        self.ended = False
        self._pass: Iterator[Batch] | None = None

    @property
    def count(self) -> int | None:
        """Batches of an epoch, as far as that is known."""
        there = self.data.steps(self.batch_size)
        if self.steps is None or (there is not None and not self.goes_on):
            return there if self.steps is None else min(there or 0, self.steps)
        return self.steps

    def epoch(self, rng: np.random.Generator | None = None) -> Iterator[Batch]:
        """In order, or in the order that is drawn at the beginning of each pass."""
        if not self.goes_on:
            yield from islice(self.data.batches(self.batch_size, rng), self.steps)
            return
        for _ in range(self.steps or 0):
            batch = self._next(rng)
            if batch is None:
                self.ended = True
                return
            yield batch

    def _next(self, rng: np.random.Generator | None) -> Batch | None:
        if self._pass is None:
            self._pass = self.data.batches(self.batch_size, rng)
        batch = next(self._pass, None)
        if batch is None and not self.once:
            self._pass = self.data.batches(self.batch_size, rng)
            batch = next(self._pass, None)
        return batch
