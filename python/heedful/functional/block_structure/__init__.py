"""Block masks as attention reads them, and how they are put together; it knows no attention."""

from heedful.functional.block_structure._assembly import Assembly
from heedful.functional.block_structure._block_structure import BlockStructure
from heedful.functional.block_structure._grid import BlockSize, Grid, Lengths, check_grid
from heedful.functional.block_structure._intact import check_intact
from heedful.functional.block_structure._pattern_bits import Bits, bytes_of, packed, unpacked

__all__ = [
    "Assembly", "Bits", "BlockSize", "BlockStructure", "Grid", "Lengths", "bytes_of", "check_grid",
    "check_intact", "packed", "unpacked",
]  # fmt: skip
