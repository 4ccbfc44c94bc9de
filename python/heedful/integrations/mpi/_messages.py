"""Arrays that travel from process to process while others are computed on."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful.integrations._key_pieces import Array
from heedful.integrations.mpi import _world


class Messages:
    """Transfers that have begun, and have not been waited for."""

    def __init__(self, comm: Any) -> None:
        self.comm = comm
        self.requests: list[Any] = []
        self.arrays: list[Array] = []  # sent or received into: kept until then

    def send(self, arrays: list[Array], to: int, tag: int) -> None:
        for n, array in enumerate(arrays):
            self.requests.append(self.comm.Isend(_words(array), to, tag + n))
        self.arrays += arrays

    def receive(self, arrays: list[Array], source: int, tag: int) -> None:
        for n, array in enumerate(arrays):
            self.requests.append(self.comm.Irecv(_words(array), source, tag + n))
        self.arrays += arrays

    def advance(self) -> None:
        """Let MPI go on with them: most of them do so only within their own functions."""
        if self.requests:
            _world.mpi().Request.Testall(self.requests)

    def wait(self) -> None:
        if self.requests:
            _world.mpi().Request.Waitall(self.requests)
        self.requests, self.arrays = [], []


def _words(array: Array) -> Array:
    """Types of 16 bits, which MPI does not know, as integers."""
    flat = array.reshape(-1)
    assert array.flags.c_contiguous
    return flat.view(np.uint16) if array.itemsize == 2 else flat
