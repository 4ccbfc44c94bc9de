"""Arrays whose memory is reused instead of being returned to the system.

A training step allocates hundreds of megabytes and frees them. Memory that was returned to the
system is mapped again page by page, each one cleared first: a tenth of the step. So while a Keeper
exists, as an optimizer has one after its first step, the block of a freed large array is reused.
"""

from __future__ import annotations

import math
import os
import threading
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]

SMALLEST, LARGEST = 1 << 20, 1 << 40  # bytes: less is allocated quickly, more is an error
SLACK = 2  # a block is at most so many times as large as its array
ALIGNMENT = 64  # bytes: a vector then lies in one cache line


class Memory:
    """Blocks in use and free ones, together never more than the peak in use."""

    def __init__(self) -> None:
        self.keepers = 0
        self._generation = 0
        self.reset()
        os.register_at_fork(after_in_child=self.reset)  # another thread may have held the lock

    def reset(self) -> None:
        """Forget all blocks: those in use are freed with their last reference."""
        self._generation += 1
        self._lock = threading.RLock()  # a signal handler may allocate, too
        self._returned: deque[Array] = deque()
        self._free: list[Array] = []  # oldest first
        self._used = self._most_used = 0  # bytes

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        """As numpy.empty."""
        if not self.keepers:  # an inference asks for many small arrays
            return np.empty(shape, dtype)
        dtype = np.dtype(dtype)
        size = math.prod(shape) * dtype.itemsize
        if not SMALLEST <= size <= LARGEST:
            return np.empty(shape, dtype)
        with self._lock:
            raw = self._block(size + ALIGNMENT)
            self._used += raw.nbytes
            self._most_used = max(self._most_used, self._used)
            base = _Base(self, raw, size, self._generation)
        return np.asarray(base).view(dtype).reshape(shape)

    def give_back(self, raw: Array, generation: int) -> None:
        """A block is free. Takes no lock: the garbage collector may run at any point."""
        if generation == self._generation:
            self._returned.append(raw)

    def keep(self, more: int) -> None:
        """Change the number of keepers."""
        with self._lock:
            self.keepers += more
            if not self.keepers:
                self.reset()

    def release(self) -> None:
        """Return all free blocks to the system."""
        with self._lock:
            self._take_back()
            self._free.clear()
            self._most_used = self._used

    def free_bytes(self) -> int:
        with self._lock:
            self._take_back()
            return sum(raw.nbytes for raw in self._free)

    def _take_back(self) -> None:
        while self._returned:
            raw = self._returned.popleft()
            self._used -= raw.nbytes
            self._free.append(raw)

    def _block(self, size: int) -> Array:
        """The smallest free block that is not much too large, or a new one."""
        self._take_back()
        fitting = [raw for raw in self._free if size <= raw.nbytes <= SLACK * size]
        if fitting:
            best = min(fitting, key=lambda raw: raw.nbytes)
            self._free = [raw for raw in self._free if raw is not best]
            return best
        free = sum(raw.nbytes for raw in self._free)
        while self._free and self._used + size + free > self._most_used:
            free -= self._free.pop(0).nbytes
        return np.empty(size, np.uint8)


class _Base:
    """The base of an array and its views: deleted with the last of them."""

    def __init__(self, memory: Memory, raw: Array, size: int, generation: int) -> None:
        self._memory, self._raw, self._generation = memory, raw, generation
        first = -raw.ctypes.data % ALIGNMENT
        self.__array_interface__ = raw[first : first + size].__array_interface__

    def __del__(self) -> None:
        self._memory.give_back(self._raw, self._generation)


class Keeper:
    """While one exists, freed blocks are kept for reuse. Pickles of optimizers name this class."""

    def __init__(self) -> None:
        memory.keep(+1)

    def __del__(self) -> None:
        memory.keep(-1)

    def __reduce__(self) -> tuple[type[Keeper], tuple[()]]:
        return Keeper, ()  # for copies of an optimizer


memory = Memory()
empty = memory.empty
