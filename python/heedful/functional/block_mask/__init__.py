"""BlockMask: attention that is computed only where blocks of queries × keys say so."""

from heedful.functional.block_mask._block_mask import BlockMask

__all__ = ["BlockMask"]
