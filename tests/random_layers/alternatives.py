"""Alternatives to attention, compared with compositions of PyTorch's functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from fuzz_campaign import Case
from hypothesis import strategies as st
from torch import nn

from heedful import layers
from random_layers.activations import ACTIVATIONS
from random_layers.attention import LEADING
from random_layers.orders import ORDERS, in_order
from random_layers.pair import Pair
from random_layers.small import DTYPES, Function
from random_layers.torch_attention import TorchAttention

LENGTHS = st.sampled_from([1, 2, 3, 7, 16, 17, 33, 64, 65, 130])


class TorchLinearAttention(TorchAttention):
    """All pairs: elu + 1, and the weights divided by their sum."""

    def forward(self, query: Any, key: Any, value: Any, allowed: Any = None, **_: Any) -> Any:
        q, k, v = self.heads(query, key, value)
        q, k = (nn.functional.elu(x) + 1 for x in (q, self.repeated(k)))
        weights = torch.where(allowed, q @ k.transpose(-1, -2), 0.0)
        total = weights.sum(-1, keepdim=True)
        heads = weights / torch.where(total == 0, 1.0, total) @ self.repeated(v)
        return self.out_proj(heads.transpose(-2, -3).flatten(-2))


class TorchGating(nn.Module):
    def __init__(self, width: int, longest: int, hidden: int, bias: bool, activation: str) -> None:
        super().__init__()
        self.in_proj = nn.Linear(width, 2 * hidden, bias)
        self.norm = nn.LayerNorm(hidden)
        self.spatial_weight = nn.Parameter(torch.empty(longest, longest))
        self.spatial_bias = nn.Parameter(torch.empty(longest))
        self.out_proj = nn.Linear(hidden, width, bias)
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Any, allowed: Any) -> Any:
        length = x.shape[-2]
        u, v = self.activation(self.in_proj(x)).chunk(2, -1)
        weight = torch.where(allowed, self.spatial_weight[:length, :length], 0.0)
        return self.out_proj(u * (weight @ self.norm(v) + self.spatial_bias[:length, None]))


class TorchTokens(nn.Module):
    def __init__(self, longest: int, hidden: int, bias: bool, activation: str) -> None:
        super().__init__()
        self.linear1, self.linear2 = (
            nn.Linear(longest, hidden, bias), nn.Linear(hidden, longest, bias)
        )  # fmt: skip
        self.longest, self.activation = longest, ACTIVATIONS[activation]

    def forward(self, x: Any, kept: Any) -> Any:
        columns = torch.where(kept[..., None], x, 0.0).transpose(-1, -2)
        columns = nn.functional.pad(columns, (0, self.longest - x.shape[-2]))
        mixed = self.linear2(self.activation(self.linear1(columns)))
        return mixed[..., : x.shape[-2]].transpose(-1, -2)


@dataclass(frozen=True)
class AlternativeCase(Case):
    kind: str
    leading: tuple[int, ...]
    length: int
    keys: int | None  # of another sequence
    heads: int
    group: int
    depth: int
    hidden: int
    longer: int  # max_length − length
    bias: bool
    activation: str
    causal: bool
    masked: bool
    counted: bool
    residual: bool
    dtype: str
    order: str
    frozen: int
    calls: int
    threads: int

    def check(self) -> None:
        rng = self.generator()
        keys = self.length if self.keys is None else self.keys
        kept = np.ones((*self.leading, keys), bool)
        options: dict[str, Any] = {}
        if self.counted:
            counts = rng.integers(1, keys + 1, self.leading)
            options["kv_lengths"] = counts if self.leading else int(counts)
            kept &= np.arange(keys) < np.asarray(counts)[..., None]
        if self.masked and self.kind != "fourier":
            seen = rng.random(keys) < 0.7
            options["mask"] = seen
            kept &= seen
        ours, theirs, run = getattr(self, self.kind)(kept, options)
        width = self.width
        x = rng.standard_normal((*self.leading, self.length, width)).astype(self.dtype)
        arrays = [x]
        if self.keys is not None and self.kind == "linear":
            arrays.append(rng.standard_normal((*self.leading, keys, width)).astype(self.dtype))
        added = rng.standard_normal(x.shape).astype(self.dtype) if self.residual else None
        if added is not None:
            options["residual"] = in_order(self.order, added)

        def with_residual(module: Any, *given: Any) -> Any:
            y = run(module, *given)
            return y if added is None else y + torch.tensor(added, dtype=y.dtype)

        Pair(
            ours, theirs, arrays, with_residual, self.dtype, options, self.order, self.frozen,
            self.calls, self.threads,
        ).check(rng)  # fmt: skip

    @property
    def width(self) -> int:
        return self.heads * self.group * self.depth

    def seen(self, kept: Any, queries: int) -> Any:
        """(…, Lq, Lk)"""
        causal = np.tri(queries, kept.shape[-1], dtype=bool) if self.causal else True
        return torch.tensor(kept[..., None, :] & np.ones((queries, 1), bool) & causal)

    def linear(self, kept: Any, options: dict[str, Any]) -> Any:
        heads = self.heads * self.group
        options["causal"] = self.causal
        ours = layers.LinearAttention(
            self.width, heads, num_kv_heads=self.heads, bias=self.bias, dtype=self.dtype
        )
        theirs = TorchLinearAttention(self.width, heads, num_kv_heads=self.heads, bias=self.bias)
        allowed = self.seen(kept, self.length).unsqueeze(-3)
        return ours, theirs, lambda module, *x: module(x[0], x[-1], x[-1], allowed)

    def gating(self, kept: Any, options: dict[str, Any]) -> Any:
        options["causal"] = self.causal
        longest = self.length + self.longer
        ours = layers.SpatialGating(
            self.width, longest, hidden=self.hidden, bias=self.bias, activation=self.activation,
            dtype=self.dtype,
        )  # fmt: skip
        theirs = TorchGating(self.width, longest, self.hidden, self.bias, self.activation)
        allowed = self.seen(kept, self.length)
        return ours, theirs, lambda module, x: module(x, allowed)

    def tokens(self, kept: Any, options: dict[str, Any]) -> Any:
        longest = self.length + self.longer
        ours = layers.TokenMixing(
            self.width, longest, hidden=self.hidden, bias=self.bias, activation=self.activation,
            dtype=self.dtype,
        )  # fmt: skip
        theirs = TorchTokens(longest, self.hidden, self.bias, self.activation)
        valid = torch.tensor(kept)
        return ours, theirs, lambda module, x: module(x, valid)

    def fourier(self, kept: Any, options: dict[str, Any]) -> Any:
        counts = kept.sum(-1).reshape(-1)

        def transform(x: Any) -> Any:
            rows = []
            for item, count in zip(x.reshape(-1, *x.shape[-2:]), counts.tolist(), strict=True):
                mixed = torch.fft.fft2(item[:count]).real
                rows.append(nn.functional.pad(mixed, (0, 0, 0, len(item) - count)))
            return torch.stack(rows).reshape(x.shape)

        ours = layers.FourierMixing(self.width, dtype=self.dtype)
        return ours, Function(transform), lambda module, x: module(x)


@st.composite
def alternative_cases(draw: st.DrawFn) -> AlternativeCase:
    kind = draw(st.sampled_from(["linear", "linear", "gating", "tokens", "fourier"]))
    causal = draw(st.booleans())
    cross = kind == "linear" and not causal and draw(st.booleans())
    return AlternativeCase(
        seed=draw(st.integers(0, 2**32 - 1)),
        kind=kind,
        leading=draw(LEADING),
        length=draw(LENGTHS),
        keys=draw(LENGTHS) if cross else None,
        heads=draw(st.integers(1, 3)),
        group=draw(st.integers(1, 2)),
        depth=draw(st.sampled_from([1, 2, 3, 5, 8])),
        hidden=draw(st.sampled_from([3, 5, 8, 17])),
        longer=draw(st.sampled_from([0, 1, 3])),
        bias=draw(st.booleans()),
        activation=draw(st.sampled_from(["gelu", "silu", "tanh"])),
        causal=causal,
        masked=draw(st.booleans()),
        counted=draw(st.booleans()),
        residual=draw(st.booleans()),
        dtype=draw(DTYPES),
        order=draw(st.sampled_from(ORDERS)),
        frozen=draw(st.integers(0, 63)),
        calls=draw(st.integers(1, 2)),
        threads=draw(st.integers(1, 3)),
    )
