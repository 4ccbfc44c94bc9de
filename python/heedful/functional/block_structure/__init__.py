"""Block masks as attention reads them, and how they are put together; it knows no attention."""

from heedful.functional.block_structure._assembly import Assembly
from heedful.functional.block_structure._block_structure import BlockStructure
from heedful.functional.block_structure._grid import BlockSize, Grid, Lengths, check_grid
from heedful.functional.block_structure._intact import check_intact

__all__ = [
    "Assembly", "BlockSize", "BlockStructure", "Grid", "Lengths", "check_grid", "check_intact",
]  # fmt: skip
