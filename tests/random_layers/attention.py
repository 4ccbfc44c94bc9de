"""MultiHeadAttention with all its options, compared with nn.MultiheadAttention or a composition."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from fuzz_campaign import Case
from hypothesis import strategies as st
from torch import nn

from heedful import layers
from random_layers.orders import ORDERS, in_order
from random_layers.pair import Pair
from random_layers.restrictions import Restrictions, additive, restrictions
from random_layers.small import DTYPES
from random_layers.torch_attention import TorchAttention, as_heads_of_torch

LENGTHS = st.sampled_from([1, 2, 3, 5, 7, 8, 9, 17, 33, 65])
LEADING = st.sampled_from([(), (1,), (2,), (3,), (2, 3)])


@dataclass(frozen=True)
class Scores:
    """Options that change the scores."""

    scale: float | None = None
    softcap: float | None = None
    sink: bool = False
    alibi: bool | tuple[float, ...] = False

    def known(self, kind: Any, *, num_heads: int) -> dict[str, Any]:
        """Those that are not the default, and that the layer has."""
        given: dict[str, Any] = {
            name: value for name, value in vars(self).items() if value not in (None, False)
        }
        if "alibi" in given and self.alibi is not True:
            given["alibi"] = np.resize(self.alibi, num_heads)
        return {name: value for name, value in given.items() if takes(kind, name)}


def takes(kind: Any, name: str) -> bool:
    return name in inspect.signature(kind.__init__).parameters


def distances(slopes: Any, offset: Any, queries: int, keys: int, num_heads: int) -> Any:
    """What ALiBi subtracts from scores (…, H, Lq, Lk)."""
    if slopes is True:  # Press et al.: of 2^n heads 2^(−8/2^n), 2^(−16/2^n), …
        below = 2 ** int(np.log2(num_heads))
        slopes = [2 ** (-8 * (i + 1) / below) for i in range(below)]
        slopes += [2 ** (-4 * (2 * i + 1) / below) for i in range(num_heads - below)]
    far = np.abs(np.arange(queries)[:, None] + offset - np.arange(keys))
    return np.asarray(slopes)[:, None, None] * far


@dataclass(frozen=True)
class AttentionCase(Case):
    leading: tuple[int, ...]
    key_leading: str  # "same", "one", "none"
    inputs: int  # 1 query, 2 and key, 3 and value
    queries: int
    keys: int
    heads: int
    group: int
    depth: int
    kdim: int | None
    vdim: int | None
    bias: bool
    rotary: bool | float
    scores: Scores
    causal_layer: bool
    restrictions: Restrictions
    residual: bool
    return_weights: bool
    dtype: str
    order: str
    frozen: int
    calls: int
    threads: int

    def check(self) -> None:
        rng, dtype = self.generator(), np.dtype(self.dtype)
        width, heads = self.heads * self.group * self.depth, self.heads * self.group
        kdim, vdim = (self.kdim or width, self.vdim or width) if self.inputs > 1 else (width, width)
        if self.inputs == 2:
            vdim = kdim
        known = self.scores.known(layers.MultiHeadAttention, num_heads=heads)
        ours = layers.MultiHeadAttention(
            width, heads, num_kv_heads=self.heads, kdim=kdim, vdim=vdim, bias=self.bias,
            rotary=self.rotary, causal=self.causal_layer, dtype=self.dtype, **known,
        )  # fmt: skip
        other = {"same": self.leading, "one": (1,) * len(self.leading), "none": ()}
        begin = self.leading if self.inputs == 1 else other[self.key_leading]
        keys = self.queries if self.inputs == 1 else self.keys
        shapes = [(*self.leading, self.queries, width), (*begin, keys, kdim), (*begin, keys, vdim)]
        arrays = [rng.standard_normal(shape).astype(dtype) for shape in shapes[: self.inputs]]
        written = self.restrictions.written(rng, self.leading, heads, self.queries, keys, dtype)
        added = written.added
        if "alibi" in known:
            added = added - distances(known["alibi"], written.offset, self.queries, keys, heads)
        mask = torch.tensor(additive(written._replace(added=added), np.float64))
        options = {name: in_order(self.order, value) if isinstance(value, np.ndarray) and value.ndim
                   else value for name, value in written.options.items()}  # fmt: skip
        options["causal"] = self.restrictions.causal
        residual = rng.standard_normal(shapes[0]).astype(dtype) if self.residual else None
        if residual is not None:
            options["residual"] = in_order(self.order, residual)
        if self.return_weights:
            options["return_weights"] = True
        extra = {name: value for name, value in known.items() if name != "alibi"}
        plain = self.group == 1 and not self.rotary and not extra
        theirs: nn.Module
        if plain and written.allowed.any(-1).all():
            theirs = nn.MultiheadAttention(
                width, heads, bias=self.bias, kdim=kdim, vdim=vdim, batch_first=True
            )
        else:
            base = 10000.0 if self.rotary is True else float(self.rotary)
            theirs = TorchAttention(
                width, heads, num_kv_heads=self.heads, kdim=kdim, vdim=vdim, bias=self.bias,
                rotary=base, **extra,
            )  # fmt: skip

        def run(module: nn.Module, *given: Any) -> Any:
            q, k, v = (*given, *given[-1:] * 2)[:3]
            items = [x.expand(*self.leading, *x.shape[-2:]).reshape(-1, *x.shape[-2:])
                     for x in (q, k, v)]  # fmt: skip
            y, weights = module(
                *items, attn_mask=as_heads_of_torch(mask.to(q.dtype)), need_weights=True,
                average_attn_weights=False,
            )  # fmt: skip
            y = y.reshape(*self.leading, *y.shape[-2:])
            y = y if residual is None else y + torch.tensor(residual, dtype=y.dtype)
            weights = weights.reshape(*self.leading, *weights.shape[-3:])
            return (y, weights) if self.return_weights else y

        Pair(
            ours, theirs, arrays, run, self.dtype, options, self.order, self.frozen, self.calls,
            self.threads,
        ).check(rng)  # fmt: skip


@st.composite
def scores(draw: st.DrawFn) -> Scores:
    slopes = st.tuples(st.sampled_from([0.5, 0.1]), st.sampled_from([0.0, 0.3]))
    return Scores(
        scale=draw(st.sampled_from([None, None, 1.0, 0.1, -0.5, 0.0])),
        softcap=draw(st.sampled_from([None, None, 2.0])),
        sink=draw(st.booleans()),
        alibi=draw(st.booleans() | slopes),
    )


@st.composite
def attention_cases(draw: st.DrawFn) -> AttentionCase:
    inputs = draw(st.integers(1, 3))
    queries, keys = draw(LENGTHS), draw(LENGTHS)
    rotary = draw(st.sampled_from([False, True, 100.0]))
    same, drawn = inputs == 1 or queries == keys, draw(scores())
    widths = st.none() | st.sampled_from([1, 3, 5, 8])
    return AttentionCase(
        seed=draw(st.integers(0, 2**32 - 1)),
        leading=draw(LEADING),
        key_leading=draw(st.sampled_from(["same", "one", "none"])),
        inputs=inputs,
        queries=queries,
        keys=keys,
        heads=draw(st.integers(1, 3)),
        group=draw(st.integers(1, 3)),
        depth=draw(st.sampled_from([2, 4, 8] if rotary else [1, 2, 3, 5, 8])),
        kdim=draw(widths),
        vdim=draw(widths),
        bias=draw(st.booleans()),
        rotary=rotary,
        scores=drawn,
        causal_layer=draw(st.booleans()),
        restrictions=draw(restrictions(same, bool(drawn.alibi))),
        residual=draw(st.booleans()),
        return_weights=draw(st.booleans()),
        dtype=draw(DTYPES),
        order=draw(st.sampled_from(ORDERS)),
        frozen=draw(st.integers(0, 63)),
        calls=draw(st.integers(1, 2)),
        threads=draw(st.integers(1, 3)),
    )
