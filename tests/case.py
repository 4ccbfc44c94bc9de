"""Case: shapes and options of a call of attention. Call: the arrays that are drawn for it."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

import heedful

Array = NDArray[Any]


@dataclass(frozen=True)
class Case:
    """Shapes and options of one call. mask and bias name their axes: "B1QK" is (B…, 1, Lq, Lk)."""

    name: str
    B: tuple[int, ...] = (2,)
    H: int = 2
    Hkv: int = 0  # 0: same as H
    Lq: int = 5
    Lk: int = 7
    D: int = 11
    Dv: int = 3
    mask: str = ""
    density: float = 0.7  # of the mask
    blocks: str = ""  # the leading axes of a block mask, "" for none, "1" for one of all heads
    block_size: tuple[int, int] = (16, 16)
    bias: str = ""
    bias_density: float = 1.0  # all others are −inf
    alibi: str = ""  # "H" or "BH"
    sink: bool = False
    sink_level: float = 0.0
    options: dict[str, Any] = field(default_factory=dict)  # plain values
    batches: tuple[tuple[int, ...], ...] = ()  # leading axes of query, key, value where they differ
    large: bool = False  # left out where time matters

    def __str__(self) -> str:
        return self.name

    def draw(self, dtype: Any = np.float64) -> Call:
        """Arrays for this case, always the same ones, rounded to dtype."""
        rng = np.random.default_rng(zlib.crc32(self.name.encode()))
        kv_heads = self.Hkv or self.H

        def normal(*shape: int) -> Array:
            return rng.standard_normal(shape).astype(dtype)

        def axes(letters: str) -> tuple[int, ...]:
            sizes = {"H": (self.H,), "Q": (self.Lq,), "K": (self.Lk,), "1": (1,), "B": self.B}
            return tuple(size for letter in letters for size in sizes[letter])

        batches = self.batches or (self.B,) * 3
        query = normal(*batches[0], self.H, self.Lq, self.D)
        key = normal(*batches[1], kv_heads, self.Lk, self.D)
        value = normal(*batches[2], kv_heads, self.Lk, self.Dv)
        options = dict(self.options)
        if self.mask:
            options["mask"] = rng.random(axes(self.mask)) < self.density
        if self.blocks:
            options["block_mask"] = self._block_mask(rng, axes(self.blocks))
        if self.bias:
            bias = normal(*axes(self.bias))
            bias[rng.random(bias.shape) >= self.bias_density] = -np.inf
            options["bias"] = bias
        if self.alibi:
            options["alibi_slopes"] = 2.0 ** -rng.uniform(0, 6, axes(self.alibi))
        if self.sink:
            options["sink"] = normal(self.H) + np.asarray(self.sink_level, dtype)
        shape = (*self.B, self.H, self.Lq)
        computing = np.float64 if np.dtype(dtype) == np.float64 else np.float32
        return Call(
            query, key, value, options,
            dout=normal(*shape, self.Dv),
            dlse=normal(*shape).astype(computing),
            dweights=normal(*shape, self.Lk).astype(computing),
        )  # fmt: skip

    def _block_mask(self, rng: np.random.Generator, leading: tuple[int, ...]) -> heedful.BlockMask:
        """Of the blocks, some are empty, some full, the others random."""
        rows, columns = self.block_size
        shape = (*leading, -(-self.Lq // rows), -(-self.Lk // columns))
        kinds = rng.choice(3, shape, p=(1 - self.density, self.density * 0.6, self.density * 0.4))
        kinds = kinds.repeat(rows, -2)[..., : self.Lq, :].repeat(columns, -1)[..., : self.Lk]
        dense = (kinds == 1) | ((kinds == 2) & (rng.random(kinds.shape) < 0.7))
        return heedful.BlockMask.from_mask(dense, block_size=self.block_size)


@dataclass(frozen=True)
class Call:
    """The arrays of a case."""

    query: Array
    key: Array
    value: Array
    options: dict[str, Any]
    dout: Array
    dlse: Array
    dweights: Array

    @property
    def inputs(self) -> tuple[Array, Array, Array]:
        return self.query, self.key, self.value

    def run(self, function: Callable[..., Any], **more: Any) -> Any:
        """function(query, key, value, **options)."""
        return function(*self.inputs, **{**self.options, **more})


def C(name: str, options: dict[str, Any] | None = None, **fields: Any) -> Case:
    return Case(name, options=options or {}, **fields)
