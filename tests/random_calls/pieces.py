"""A random call whose keys are split into pieces: merged, they must give the whole result."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

import heedful
import reference
from random_calls.bounds import Bounds, assert_within, bounds
from random_calls.call import Arrays, RandomCall, without

Array = NDArray[Any]


@dataclass(frozen=True)
class RandomPieces:
    call: RandomCall
    cuts: tuple[float, ...]  # fractions of the keys

    def check(self) -> None:
        call = self.call
        a = call.arrays()
        exact = reference.steps(a.query, a.key, a.value, **a.options)
        truth = reference.attention_backward(
            a.dout, a.query, a.key, a.value, dlse=a.dlse, **a.options
        )
        bound = bounds(exact, a._replace(dweights=None), call.computing)
        starts = sorted({0, call.Lk, *(round(cut * call.Lk) for cut in self.cuts)})
        ranges = list(pairwise(starts)) or [(0, 0)]
        pieces = [(slice(*ends), self._options(a, *ends)) for ends in ranges]
        found = [
            heedful.attention(a.query, a.key[..., keys, :], a.value[..., keys, :], **options,
                              return_lse=True)
            for keys, options in pieces
        ]  # fmt: skip
        out, lse = heedful.merge_attention(*zip(*found, strict=True))
        wider = _wider(bound, len(pieces))
        # 16-bit outputs of pieces are rounded once more
        rounding = 2.0**-8 if call.number.itemsize == 2 else 0.0
        pieces_size = sum(np.abs(np.asarray(o, np.float64)) for o, _ in found)
        assert_within(out, exact.result.out, wider.out + rounding * pieces_size, "merged out")
        assert_within(lse, exact.result.lse, wider.lse, "merged lse")
        if call.number.itemsize == 2:
            return  # delta is formed from a rounded out, see attention_backward
        parts = [
            heedful.attention_backward(a.dout, a.query, a.key[..., keys, :], a.value[..., keys, :],
                                       out, lse, dlse=a.dlse, **options)
            for keys, options in pieces
        ]  # fmt: skip
        query = sum(np.asarray(part.query, np.float64) for part in parts)
        assert_within(query.astype(call.computing), truth.query, wider.dquery, "gradient of query")
        for name in ("key", "value"):
            whole = np.concatenate([getattr(part, name) for part in parts], axis=-2)
            wanted, error = getattr(truth, name), getattr(wider, f"d{name}")
            assert_within(whole, wanted, error, f"gradient of {name}")

    def _options(self, a: Arrays, begin: int, end: int) -> dict[str, Any]:
        """The call's options for keys [begin, end) alone."""
        call = self.call
        options = without(a.options, "q_lengths")
        q_lengths = np.broadcast_to(a.options.get("q_lengths", call.Lq), call.B)
        kv_lengths = np.broadcast_to(a.options.get("kv_lengths", call.Lk), call.B)
        if "align" in options:
            align = options["align"]
            if isinstance(align, str) and align == "lower_right":
                offset = kv_lengths - q_lengths
            else:
                offset = np.broadcast_to(0 if isinstance(align, str) else align, call.B)
            options["align"] = offset - begin
        if "q_lengths" in a.options:
            options["q_lengths"] = a.options["q_lengths"]
        options["kv_lengths"] = np.clip(kv_lengths - begin, 0, end - begin)
        for name in ("mask", "bias"):
            if name in options and options[name].shape[-1] != 1:
                options[name] = options[name][..., begin:end]
        if (blocks := options.pop("block_mask", None)) is not None and begin < end:
            dense = blocks.to_dense()[..., begin:end]
            options["block_mask"] = heedful.BlockMask.from_mask(dense, block_size=call.block_size)
        if begin > 0:  # a sink counts once
            options.pop("sink", None)
        return options


def _wider(bound: Bounds, pieces: int) -> Bounds:
    return Bounds(*(None if array is None else (1 + pieces) * array for array in bound))
