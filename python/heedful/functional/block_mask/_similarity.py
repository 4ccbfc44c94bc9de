"""Block masks predicted from the means of blocks, without any scores."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from heedful._checks import finite, named, real
from heedful.functional._shapes import broadcasts
from heedful.functional.block_mask._combination import Combination
from heedful.functional.block_mask._fewest import check_mass, fewest
from heedful.functional.block_mask._inputs import check_inputs
from heedful.functional.block_structure import BlockStructure, check_grid

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import ArrayLike, NDArray

    from heedful.functional._dtypes import Array
    from heedful.functional._layout import Layout
    from heedful.functional._option_types import LayoutName
    from heedful.functional.block_structure import BlockSize, Grid

    Floats: TypeAlias = NDArray[np.float64]

Mask = TypeVar("Mask", bound="Similarity")

_AT_ONCE = 2**19  # elements that are converted to float64 at a time


class Similarity(Combination):
    """The builder that guesses."""

    __slots__ = ()

    @classmethod
    def from_similarity(
        cls: type[Mask],
        query: ArrayLike,
        key: ArrayLike,
        mass: float = 0.95,
        similarity: float = 0.6,
        *,
        block_mask: BlockStructure | None = None,
        scale: float | None = None,
        layout: LayoutName = "bhld",
        block_size: BlockSize = 128,
    ) -> Mask:
        """The blocks that probably hold most of the weight, predicted from the means of blocks.

        ::

            weight[I] = softmax(scale · mean(query[I]) · mean(key[J]))     over the blocks J

        Of each row of blocks the fewest are kept whose predicted weight is `mass` of all. A mean
        says little about vectors that differ: where the mean cosine of the vectors of a block with
        one another is below `similarity`, all of its row or column is kept.

        Parameters
        ----------
        query : array_like, (…, H, Lq, D)
        key : array_like, (…, Hkv, Lk, D)
            As in :func:`heedful.attention`.
        mass : float, default 0.95
            The share of the predicted weight to keep, above 0 and at most 1.
        similarity : float, default 0.6
            From −1, which trusts every mean, to 1, which trusts next to none.
        block_mask : BlockMask, optional
            What is visible at all, such as ``BlockMask.causal(L)``, of the same lengths and block
            size: the rest is not predicted, and the result is its intersection with this mask.
        scale : float, optional
            As in :func:`heedful.attention`.
        layout : {"bhld", "blhd"}
            As in :func:`heedful.attention`.
        block_size
            As in :meth:`causal`.

        Returns
        -------
        BlockMask
            A mask for each item and head, (B…, H, nq, nk).

        Raises
        ------
        ValueError, TypeError
            Shapes and types that :func:`heedful.attention` refuses, a share that is none, a block
            mask that does not fit.

        Notes
        -----
        Zhang et al. 2025, SpargeAttn, https://arxiv.org/abs/2502.18137. Keys are compared after
        their mean over all positions is subtracted, which changes no weight, as in the paper's
        code. Unlike :meth:`from_weights` it promises nothing about the weight that it keeps; it
        costs about what reading query and key does.

        Examples
        --------
        >>> import numpy as np
        >>> import heedful
        >>> topic = np.repeat(np.eye(4), 4, axis=0)  # each four tokens are about the same
        >>> print(heedful.BlockMask.from_similarity(8 * topic, topic, 0.9, block_size=4))
        BlockMask(lengths=(16, 16), block_size=(4, 4), density=0.25)
        ██······
        ··██····
        ····██··
        ······██
        """
        mass, threshold = check_mass(mass), real("similarity", similarity)
        if not -1.0 <= threshold <= 1.0:
            raise ValueError(f"similarity must lie between -1 and 1: got {named(similarity)}")
        query, key, axes = check_inputs(query, key, layout)
        grid = check_grid((axes.query_length, axes.key_length), block_size)
        factor = 1 / math.sqrt(max(1, axes.depth)) if scale is None else finite("scale", scale)
        leading, group = (*axes.batch, axes.heads), axes.heads // max(1, axes.kv_heads)
        visible = cls(np.ones(grid.shape, bool), grid.block_size, grid.lengths)
        if block_mask is not None:
            _check_fits(block_mask, grid, leading)
            visible &= block_mask
        exists = np.broadcast_to(visible.blocks != 0, (*leading, *grid.shape))
        kept = np.empty((*leading, *grid.shape), bool)
        with np.errstate(all="ignore"):  # vectors without a direction, and NaN, are not alike
            queries = _summaries(query, axes.layout, grid.firsts(0), centred=False)
            keys = _summaries(key, axes.layout, grid.firsts(1), centred=True)
            for index in np.ndindex(leading):
                row = queries.of(axes.batch, index)
                column = keys.of(axes.batch, (*index[:-1], index[-1] // group))
                trusted = column.alike >= threshold
                weights = _softmax(factor * row.means @ column.means.T, exists[index] & trusted)
                kept[index] = fewest(weights, mass) | ~trusted
                kept[index][~(row.alike >= threshold)] = True
        return cls(kept, grid.block_size, grid.lengths) & visible


def _check_fits(block_mask: Any, grid: Grid, leading: tuple[int, ...]) -> None:
    if not isinstance(block_mask, BlockStructure):
        raise TypeError(f"block_mask must be a heedful.BlockMask: got {named(block_mask)}")
    for name in ("lengths", "block_size"):
        wanted, found = getattr(grid, name), getattr(block_mask, name)
        if found != wanted:
            raise ValueError(f"block_mask must have {name} {wanted}: got {found}")
    if not broadcasts(block_mask.blocks.shape[:-2], leading):
        raise ValueError(
            f"block_mask must broadcast to the leading axes and heads, here {leading}: "
            f"got {block_mask.blocks.shape[:-2]}"
        )


class _Summaries(NamedTuple):
    """Of the blocks of queries or keys, (…, heads, blocks, D) and (…, heads, blocks)."""

    means: Floats
    alike: Floats  # the mean cosine of a block's vectors with one another, themselves included

    def of(self, batch: tuple[int, ...], index: tuple[int, ...]) -> _Summaries:
        """Those of one item and head of a batch that the leading axes broadcast to."""
        means = np.broadcast_to(self.means, (*batch, *self.means.shape[-3:]))
        alike = np.broadcast_to(self.alike, (*batch, *self.alike.shape[-2:]))
        return _Summaries(means[index], alike[index])


def _summaries(
    vectors: Array, layout: Layout, firsts: NDArray[np.int64], centred: bool
) -> _Summaries:
    """`firsts` are the first positions of the blocks."""
    if vectors.ndim < 3:
        vectors = vectors[None]
    elif layout.length_first:
        vectors = vectors.swapaxes(-3, -2)
    *leading, length, depth = vectors.shape
    means = np.empty((*leading, len(firsts), depth))
    alike = np.empty((*leading, len(firsts)))
    size = int(firsts[1]) if len(firsts) > 1 else length
    step = max(1, _AT_ONCE // max(1, size * depth))
    for index in np.ndindex(*leading):
        centre = vectors[index].mean(axis=0, dtype=np.float64) if centred else 0.0
        for first in range(0, len(firsts), step):
            blocks = slice(first, first + step)
            starts = firsts[blocks] - firsts[first]
            part = vectors[index][firsts[first] : firsts[first] + step * size] - centre
            part = part.astype(np.float64, copy=False)
            counts = np.diff(starts, append=len(part))[:, None]
            means[index][blocks] = np.add.reduceat(part, starts) / counts
            directions = part / np.sqrt(np.square(part).sum(axis=1, keepdims=True))
            resultants = np.add.reduceat(directions, starts) / counts
            alike[index][blocks] = np.square(resultants).sum(axis=1)
    return _Summaries(means, alike)


def _softmax(scores: Floats, exists: NDArray[np.bool_]) -> Floats:
    """Of each row over the blocks that exist; 0 where none does."""
    scores = np.where(exists, scores, -np.inf)
    highest = scores.max(axis=-1, keepdims=True)
    weights = np.exp(scores - np.where(np.isneginf(highest), 0, highest))
    total = weights.sum(axis=-1, keepdims=True)
    return weights / np.where(total == 0, 1, total)
