"""The types of options, for type checkers: overloads need not list the options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias, TypedDict

import numpy as np
from numpy.typing import ArrayLike

from heedful.functional._dtypes import Array

if TYPE_CHECKING:
    from heedful.functional.block_mask import BlockMask

Align: TypeAlias = (
    Literal["upper_left", "lower_right"]
    | int
    | Sequence[int]
    | Sequence[Sequence[int]]
    | Array
    | None
)
Window: TypeAlias = tuple[int | None, int | None] | None
Rng: TypeAlias = int | np.random.Generator | None
Normalizer: TypeAlias = (
    Literal["softmax", "entmax15", "sparsemax"] | float | Sequence[float] | Array
)
LayoutName: TypeAlias = Literal["bhld", "blhd"]


class ArrayOptions(TypedDict, total=False):
    mask: ArrayLike | None
    bias: ArrayLike | None
    layout: LayoutName


class SharedOptions(TypedDict, total=False):
    block_mask: BlockMask | None
    min_weight: float
    causal: bool
    window: Window
    exclude_self: bool
    align: Align
    q_lengths: ArrayLike | None
    kv_lengths: ArrayLike | None
    alibi_slopes: ArrayLike | None
    sink: ArrayLike | None
    dropout_p: float
    key_dropout_p: float
    gumbel_temperature: float | None
    rng: Rng
    out: Array | None


class PositionOptions(SharedOptions, total=False):
    top_k: int | None
    normalizer: Normalizer
    scale: float | None
    softcap: float | None


class Options(PositionOptions, ArrayOptions, total=False):
    average_heads: bool


class AdditiveOptions(SharedOptions, ArrayOptions, total=False):
    pass


class CacheOptions(ArrayOptions, total=False):
    causal: bool
    window: Window
    exclude_self: bool
    align: Align
    q_lengths: ArrayLike | None
    scale: float | None
    softcap: float | None
    alibi_slopes: ArrayLike | None
    sink: ArrayLike | None
    out: Array | None
