"""A random call of packed sequences, each with the results that it has alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

import heedful
import reference
from random_calls.bounds import assert_within, bounds, unclear
from random_calls.call import Arrays, as_type, computing_type

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
            own = dict(options)
            if isinstance(align, np.ndarray):
                own["align"] = int(align[s])
            if slopes is not None and self.alibi == "SH":
                own["alibi_slopes"] = slopes[s]
            arrays = [_dense(x) for x in (query[rows], key[keys], value[keys], dout[rows])]
            own_dlse = None if dlse is None else dlse[None, :, rows]
            a = Arrays(*arrays[:3], own, arrays[3], own_dlse, None)
            if unclear(a, computing, first_item=s):
                return
            exact = reference.steps(*arrays[:3], **own, first_item=s)
            truth = reference.attention_backward(
                arrays[3], *arrays[:3], dlse=own_dlse, **own, first_item=s
            )
            bound = bounds(exact, a, computing)
            what = f" of sequence {s}"
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


def _dense(rows: Array) -> Array:
    """(L, H, D) → (1, H, L, D)"""
    return rows.swapaxes(0, 1)[None]
