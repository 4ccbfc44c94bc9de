"""A random call of packed sequences, each with the results that it has alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

import heedful
import reference
from random_calls.blocks import Dropped, block_mask_of, kept_blocks, pairs_of
from random_calls.bounds import assert_within, bounds, of_all_scores, unclear
from random_calls.call import Arrays, as_type, computing_type, without

Array = NDArray[Any]


@dataclass(frozen=True)
class RandomPacked:
    seed: int = 0
    dtype: str = "float64"
    lengths: tuple[tuple[int, int], ...] = ((1, 1),)  # queries and keys of each sequence
    Hkv: int = 1
    group: int = 1
    D: int = 1
    Dv: int = 1
    alibi: str = ""  # "H" or "SH"
    sink: float | None = None
    align: Any = "upper_left"  # or a number, or "each"
    blocks: tuple[bool, ...] = ()  # of a block mask: which of its axes (S, heads) have length 1
    block_size: tuple[int, int] = (16, 16)
    min_weight: float = 0.0
    top_k: int = 0  # of as many keys as there are; 0: not given
    plain: dict[str, Any] = field(default_factory=dict)
    dlse: bool = False

    def check(self) -> None:
        rng = np.random.default_rng(self.seed)
        number, computing = as_type(self.dtype), computing_type(self.dtype)
        heads, count = self.Hkv * self.group, len(self.lengths)
        lengths = np.array(self.lengths)
        starts_q, starts_k = (np.concatenate([[0], np.cumsum(n)]) for n in lengths.T)

        def normal(*shape: int) -> Array:
            return rng.standard_normal(shape).astype(number)

        query = normal(int(starts_q[-1]), heads, self.D)
        key = normal(int(starts_k[-1]), self.Hkv, self.D)
        value = normal(int(starts_k[-1]), self.Hkv, self.Dv)
        dout = normal(int(starts_q[-1]), heads, self.Dv)
        dlse = None
        if self.dlse:
            dlse = rng.standard_normal((heads, int(starts_q[-1]))).astype(computing)
        slopes = None
        if self.alibi:
            shape = (count, heads) if self.alibi == "SH" else (heads,)
            slopes = 2.0 ** -rng.uniform(0, 6, shape)
        align: Any = rng.integers(-20, 60, count) if self.align == "each" else self.align
        options = dict(self.plain, align=align, alibi_slopes=slopes)
        if self.sink is not None:
            options["sink"] = (rng.standard_normal(heads) + self.sink).astype(computing)
        if self.top_k and len(key):
            options["top_k"] = min(self.top_k, len(key))
        block_mask, kept = None, None
        if self.blocks:
            block_mask = options["block_mask"] = self._block_mask(rng)
        if self.min_weight:
            options["min_weight"] = self.min_weight
            kept = kept_blocks(
                query, key, value, **options, layout="blhd", starts=(starts_q, starts_k)
            )
        (out, lse), pullback = heedful.attention_varlen_vjp(
            query, key, value, starts_q, starts_k, **options, return_lse=True
        )
        alone = heedful.attention_varlen(query, key, value, starts_q, starts_k, **options)
        if self.dtype != "bfloat16":  # its weights may be rounded where no gradient needs them
            assert alone.tobytes() == out.tobytes(), "attention_varlen and its vjp differ"
        found = pullback(dout, dlse)
        dsink, dsink_bound = np.zeros(heads), np.zeros(heads)
        for s in range(count):
            rows, keys = slice(*starts_q[s : s + 2]), slice(*starts_k[s : s + 2])
            own = without(options, "block_mask", "min_weight")
            if block_mask is not None:
                own["mask"] = self._own_pairs(block_mask, s)
            if isinstance(align, np.ndarray):
                own["align"] = int(align[s])
            if slopes is not None and self.alibi == "SH":
                own["alibi_slopes"] = slopes[s]
            arrays = [_dense(x) for x in (query[rows], key[keys], value[keys], dout[rows])]
            own_dlse = None if dlse is None else dlse[None, :, rows]
            a = Arrays(*arrays[:3], own, arrays[3], own_dlse, None)
            if unclear(a, computing, first_item=s):
                return
            what, dropped = f" of sequence {s}", None
            if kept is not None:
                pairs = pairs_of(kept._replace(kinds=kept.kinds[s]), self.lengths[s])
                whole, error = of_all_scores(a, computing, first_item=s)
                dropped = Dropped(whole, error, pairs, self.min_weight)
                own["mask"] = own.get("mask", True) & pairs
            exact = reference.steps(*arrays[:3], **own, first_item=s)
            truth = reference.attention_backward(
                arrays[3], *arrays[:3], dlse=own_dlse, **own, first_item=s
            )
            bound = bounds(exact, a, computing)
            if dropped is not None:
                dropped.check(_dense(out[rows]), bound.out, None)
            assert_within(_dense(out[rows]), exact.result.out, bound.out, "out" + what)
            assert_within(lse[None, :, rows], exact.result.lse, bound.lse, "lse" + what)
            for name, places in (("query", rows), ("key", keys), ("value", keys)):
                gradient, wanted = _dense(getattr(found, name)[places]), getattr(truth, name)
                error = getattr(bound, f"d{name}")
                assert_within(gradient, wanted, error, f"gradient of {name}{what}")
            if self.sink is not None:
                dsink, dsink_bound = dsink + truth.sink, dsink_bound + bound.dsink
        if self.sink is not None:
            assert_within(found.sink, dsink, dsink_bound, "gradient of sink")

    def _block_mask(self, rng: np.random.Generator) -> heedful.BlockMask:
        """As long as the longest sequence, or longer."""
        sizes = (len(self.lengths), self.Hkv * self.group)
        leading = tuple(1 if one else n for one, n in zip(self.blocks, sizes, strict=True))
        queries, keys = (max(1, *lengths) for lengths in zip(*self.lengths, strict=True))
        return block_mask_of(rng, leading, (queries, keys + 5), self.block_size, 0.6)

    def _own_pairs(self, block_mask: heedful.BlockMask, s: int) -> Array:
        """Those of sequence s."""
        dense = block_mask.to_dense()
        queries, keys = self.lengths[s]
        return dense[s if len(dense) > 1 else 0, :, :queries, :keys]


def _dense(rows: Array) -> Array:
    """(L, H, D) → (1, H, L, D)"""
    return rows.swapaxes(0, 1)[None]
