"""Passes: the batches of each epoch."""

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
    resumes : bool
        Whether an epoch of `steps` batches begins where the one before ended, and data at their
        end restart. Otherwise each epoch restarts, except that of an iterator, which cannot.

    Attributes
    ----------
    ended : bool
        An iterator was exhausted before an epoch was complete.
    """

    def __init__(self, data: Data, batch_size: int, steps: int | None, resumes: bool) -> None:
        self.data, self.batch_size, self.steps = data, batch_size, steps
        self.once = isinstance(data, Stream) and data.once
        self.resumes = steps is not None and (resumes or self.once)
        self.ended = False
        self._pass: Iterator[Batch] | None = None

    @property
    def count(self) -> int | None:
        """Number of batches of an epoch, None if unknown."""
        available = self.data.steps(self.batch_size)
        if self.steps is None or (available is not None and not self.resumes):
            return available if self.steps is None else min(available or 0, self.steps)
        return self.steps

    def epoch(self, rng: np.random.Generator | None = None) -> Iterator[Batch]:
        """In order, or shuffled at the beginning of each pass if there is a generator."""
        if not self.resumes:
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
