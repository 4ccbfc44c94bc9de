"""Block masks from data: the blocks that hold most of the weight of given queries and keys."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from heedful.functional._options import OPTIONS
from heedful.functional._weights import attention_weights
from heedful.functional.block_mask._fewest import check_mass, fewest
from heedful.functional.block_mask._inputs import check_inputs
from heedful.functional.block_structure import BlockStructure, check_grid

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from heedful.functional.block_structure import BlockSize

Mask = TypeVar("Mask", bound="Weighing")

_MEMORY = 2**25  # bytes of weights that are held at a time
_RANDOM = "dropout_p", "key_dropout_p", "gumbel_temperature", "rng"
_RESTRICTIONS = {
    option.name
    for option in OPTIONS
    if "attention_weights" not in option.absent and option.name not in _RANDOM
}


class Weighing(BlockStructure):
    """The builder that computes all weights."""

    __slots__ = ()

    @classmethod
    def from_weights(
        cls: type[Mask],
        query: ArrayLike,
        key: ArrayLike,
        mass: float = 0.95,
        *,
        block_size: BlockSize = 128,
        **restrictions: Any,
    ) -> Mask:
        """The fewest blocks that hold a given share of the attention weights.

        ::

            weight[I, J] = Σ_{i ∈ I, j ∈ J} softmax(scores[i])[j]
            Σ_{J kept} weight[I, J] ≥ mass · Σ_J weight[I, J]

        for each item, head and row of blocks I, whose blocks are taken from the heaviest on; of
        equal ones the first.

        Parameters
        ----------
        query : array_like, (…, H, Lq, D)
        key : array_like, (…, Hkv, Lk, D)
            As in :func:`heedful.attention`.
        mass : float, default 0.95
            The share of the weight to keep, above 0 and at most 1, in which every block with any
            weight is kept.
        block_size
            As in :meth:`causal`.
        **restrictions
            Options of :func:`heedful.attention_weights` that decide about the weights: mask, bias,
            causal, window, align, lengths, scale, softcap, alibi_slopes, sink, layout.

        Returns
        -------
        BlockMask
            A mask for each item and head, (B…, H, nq, nk). Blocks that are kept are full: the call
            of :func:`heedful.attention` needs the same restrictions once more.

        Raises
        ------
        ValueError, TypeError, MemoryError
            As :func:`heedful.attention_weights` does; a mass outside (0, 1].

        Notes
        -----
        It takes about three times as long as attention without a mask: for masks that are used
        many times, and for learning what could be saved. Some rows of weights exist at a time, 32
        MB of them, so that memory does not grow with Lq · Lk.

        Examples
        --------
        >>> import numpy as np
        >>> import heedful
        >>> topic = np.repeat(np.eye(4), 4, axis=0)  # each four tokens are about the same
        >>> print(heedful.BlockMask.from_weights(8 * topic, topic, 0.9, block_size=4))
        BlockMask(lengths=(16, 16), block_size=(4, 4), density=0.25)
        ██······
        ··██····
        ····██··
        ······██
        """
        mass = check_mass(mass)
        for name in restrictions:
            if name not in _RESTRICTIONS:
                raise TypeError(f"from_weights() got an unexpected keyword argument {name!r}")
        query, key, axes = check_inputs(query, key, restrictions.get("layout", "bhld"))
        grid = check_grid((axes.query_length, axes.key_length), block_size)
        weights = np.zeros((*axes.batch, axes.heads, *grid.shape))
        row_bytes = 8 * math.prod(axes.batch) * axes.heads * axes.key_length
        for row in range(grid.shape[0]):
            rows = grid.positions(0, row)
            step = max(1, _MEMORY // max(1, row_bytes))
            for first in range(rows.start, rows.stop, step):
                some = slice(first, min(first + step, rows.stop))
                of_keys = attention_weights(query, key, rows=some, **restrictions)
                # in float64: a sum of many small weights
                of_keys = of_keys.sum(axis=-2, dtype=np.float64)  # (B…, H, Lk)
                weights[..., row, :] += np.add.reduceat(of_keys, grid.firsts(1), axis=-1)
        return cls(fewest(weights, mass), grid.block_size, grid.lengths)
