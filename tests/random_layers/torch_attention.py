"""Multi-head attention composed of PyTorch's functions, with all options of heedful's layer.

Its parameters have the names of ``nn.MultiheadAttention``, and it can replace it inside PyTorch's
Transformer layers, which have no grouped heads, rotary positions, scale, softcap or sinks.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class TorchAttention(nn.Module):
    batch_first = True

    def __init__(
        self, d_model: int, num_heads: int, *, num_kv_heads: int | None = None,
        kdim: int | None = None, vdim: int | None = None, bias: bool = True, rotary: float = 0.0,
        scale: float | None = None, softcap: float | None = None, sink: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_heads, self.num_kv_heads = num_heads, num_kv_heads or num_heads
        self.depth, self.rotary, self.softcap = d_model // num_heads, rotary, softcap
        self.scale = self.depth**-0.5 if scale is None else scale
        narrow = self.num_kv_heads * self.depth
        self.rows = [d_model, narrow, narrow]
        widths = [d_model, kdim or d_model, vdim or d_model]
        if widths == [d_model] * 3:
            self.in_proj_weight = nn.Parameter(torch.empty(sum(self.rows), d_model))
        else:
            for name, rows, width in zip("qkv", self.rows, widths, strict=True):
                weight = nn.Parameter(torch.empty(rows, width))
                self.register_parameter(f"{name}_proj_weight", weight)
        self.in_proj_bias = nn.Parameter(torch.empty(sum(self.rows))) if bias else None
        if sink:
            self.sink = nn.Parameter(torch.empty(num_heads))
        self.out_proj = nn.Linear(d_model, d_model, bias=bias)

    def forward(
        self, query: Any, key: Any, value: Any, attn_mask: Any = None, **_: Any
    ) -> tuple[Any, Any]:
        """attn_mask is added; −inf hides, and a row of −inf gives 0, not NaN.

        Without sinks every row of it is NaN in PyTorch; here it is heedful's definition.
        """
        q, k, v = self.heads(query, key, value)
        if self.rotary:
            q, k = rotated(q, self.rotary), rotated(k, self.rotary)
        k, v = self.repeated(k), self.repeated(v)
        scores = q @ k.transpose(-1, -2) * self.scale
        if self.softcap is not None:
            scores = self.softcap * torch.tanh(scores / self.softcap)
        if attn_mask is not None:
            scores = scores + attn_mask.reshape(scores.shape)
        sink = getattr(self, "sink", None)
        if sink is not None:
            column = sink[:, None, None].expand(*scores.shape[:-1], 1)
            weights = torch.softmax(torch.cat([scores, column], -1), -1)[..., :-1]
        else:
            nothing = (scores == -torch.inf).all(-1, keepdim=True)
            weights = torch.softmax(scores.masked_fill(nothing, 0.0), -1).masked_fill(nothing, 0.0)
        heads = (weights @ v).transpose(-2, -3).flatten(-2)
        return self.out_proj(heads), weights

    def heads(self, query: Any, key: Any, value: Any) -> tuple[Any, Any, Any]:
        """Queries (…, H, Lq, D), keys and values (…, Hkv, Lk, D)."""
        if hasattr(self, "in_proj_weight"):
            weights = self.in_proj_weight.split(self.rows)
        else:
            weights = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        biases = [None] * 3 if self.in_proj_bias is None else self.in_proj_bias.split(self.rows)
        q, k, v = (
            nn.functional.linear(x, weight, bias).unflatten(-1, (-1, self.depth)).transpose(-2, -3)
            for x, weight, bias in zip((query, key, value), weights, biases, strict=True)
        )
        return q, k, v

    def repeated(self, x: Any) -> Any:
        return x.repeat_interleave(self.num_heads // self.num_kv_heads, -3)


def rotated(heads: Any, base: float) -> Any:
    """Features (i, i + D/2) as complex numbers, multiplied by exp(√−1 · p · base^(−2i/D))."""
    length, depth = heads.shape[-2:]
    rates = base ** (-torch.arange(0, depth, 2, dtype=torch.float64) / depth)
    angles = torch.arange(length, dtype=torch.float64)[:, None] * rates
    cos, sin = angles.cos().to(heads.dtype), angles.sin().to(heads.dtype)
    first, second = heads.split(depth // 2, -1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], -1)


def as_heads_of_torch(mask: Any) -> Any:
    """(…, H, Lq, Lk) as ``nn.MultiheadAttention`` takes it: (items · H, Lq, Lk)."""
    return mask.reshape(-1, *mask.shape[-2:])
