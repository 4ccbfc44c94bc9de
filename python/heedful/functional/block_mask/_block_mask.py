"""BlockMask: which blocks of queries × keys attention computes."""

from __future__ import annotations

from heedful.functional.block_mask._bigbird import BigBird
from heedful.functional.block_mask._construction import Construction
from heedful.functional.block_mask._picture import Picture
from heedful.functional.block_mask._similarity import Similarity
from heedful.functional.block_mask._tokens import Tokens
from heedful.functional.block_mask._weighing import Weighing


class BlockMask(Construction, Tokens, BigBird, Weighing, Similarity, Picture):
    """Which blocks of queries × keys exist, and which pairs are visible in those that do in part.

    ::

        visible[i, j] = blocks[i // block_q, j // block_k] is 1, or 2 + p and
                        bit j mod block_k of patterns[p, i mod block_q]

    Blocks that are empty cost nothing, full ones need no test, and the pattern of a block that is
    partly visible is stored once, however many blocks have it: a causal mask of 65,536 tokens
    takes 1 MB.

    Parameters
    ----------
    blocks : array_like of bool, (…, nq, nk)
        Which blocks exist, all of them full; the last of the leading axes is the heads. The
        builders below make blocks that are partly visible too.
    block_size : int or (int, int), default 128
        Queries and keys of a block.
    lengths : int or (Lq, Lk), optional
        Numbers of queries and keys; the last blocks may be cut off. None is nq and nk whole blocks.

    Attributes
    ----------
    blocks : numpy.ndarray of int32, (B…, H or 1, nq, nk)
        0: no pair of the block is visible; 1: all are; 2 + p: those of ``patterns[p]``. Read-only,
        as is the next.
    patterns : numpy.ndarray of uint8, (P, block_q, ⌈block_k / 8⌉)
        A bit for each pair, the lowest one of a byte first, as ``numpy.packbits(…, axis=-1,
        bitorder="little")`` makes them. All different, numbered as they first occur in `blocks`; 0
        beyond the lengths.
    block_size : (int, int)
    lengths : (Lq, Lk)
    density : float
        The share of the blocks that are not empty, which is about what attention costs.
    pair_density : float
        The share of the pairs that are visible.

    Raises
    ------
    TypeError
        Blocks that are not boolean.
    ValueError
        Blocks that are not as many as lengths and block size make.

    Notes
    -----
    Immutable; it can be copied and pickled, and two are equal if they show the same pairs in the
    same blocks and leading axes. ``a & b`` shows what both show, ``a | b`` what either shows,
    ``~a`` what a does not; lengths and block sizes must be equal, leading axes broadcast.
    ``print`` shows a picture, as notebooks do.

    The layout is that of block-sparse kernels such as FlashInfer's (Ye et al. 2025,
    https://arxiv.org/abs/2501.01005), with a number for each block instead of lists of indices.

    Examples
    --------
    >>> import heedful
    >>> window = heedful.BlockMask.window(1000, 300, 300)
    >>> mask = window & heedful.BlockMask.causal(1000)
    >>> print(mask)
    BlockMask(lengths=(1000, 1000), block_size=(128, 128), density=0.406)
    ▒▒··············
    ██▒▒············
    ▓▓██▒▒··········
    ░░▓▓██▒▒········
    ··░░▓▓██▒▒······
    ····░░▓▓██▒▒····
    ······░░▓▓██▒▒··
    ········░░▓▓██▒▒
    >>> mask.patterns.shape  # diagonal, both of the window's edge, and two at the lower border
    (5, 128, 16)
    """

    __slots__ = ()
