"""Patterns of partly visible blocks, each kept once, as bits."""

import numpy as np
from numpy.typing import NDArray

from heedful.functional.block_structure._pattern_bits import Bits, bytes_of, packed


class PatternTable:
    """Numbers patterns in the order in which they first occur."""

    def __init__(self, block_size: tuple[int, int]) -> None:
        self._block_size = block_size
        self._numbers: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def kinds(self, visible: NDArray[np.bool_], pairs: NDArray[np.int64]) -> NDArray[np.int32]:
        """What a block mask states about blocks: 0 empty, 1 full, 2 + p visible as pattern p.

        visible (N, block_q, block_k), False beyond the lengths; pairs (N,), within the lengths.
        """
        # one by one: NumPy counts along axes ten times as slowly
        count = np.array([np.count_nonzero(block) for block in visible], np.int64)
        kinds: NDArray[np.int32] = (count == pairs).astype(np.int32)
        partial = np.flatnonzero((count > 0) & (count < pairs))
        kinds[partial] = [2 + self._number(bits.tobytes()) for bits in packed(visible[partial])]
        return kinds

    def _number(self, bits: bytes) -> int:
        return self._numbers.setdefault(bits, len(self._numbers))

    def patterns(self, order: NDArray[np.int64]) -> Bits:
        """(len(order), block_q, bytes of a row), those of these numbers in this order."""
        rows, columns = self._block_size
        patterns = list(self._numbers)
        bits = np.frombuffer(b"".join(patterns[number] for number in order), np.uint8)
        return bits.reshape(len(order), rows, bytes_of(columns))
