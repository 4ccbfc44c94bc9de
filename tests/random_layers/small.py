"""Position-wise layers: Linear, norms, embeddings, activations, dropout, pooling."""

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
from random_layers.orders import ORDERS, in_order
from random_layers.pair import Pair

SIZES = st.sampled_from([1, 2, 3, 5, 7, 8, 9, 16, 17, 33, 65])
LEADING = st.lists(st.sampled_from([1, 2, 3, 5, 7, 11, 0]), max_size=3).map(tuple)
DTYPES = st.sampled_from(["float64", "float32"])


class Function(nn.Module):
    """A function as a module without parameters."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.forward = function


@dataclass(frozen=True)
class SmallCase(Case):
    kind: str
    width: int
    inner: int
    leading: tuple[int, ...]
    dtype: str
    bias: bool
    activation: str | None
    eps: float
    residual: bool
    order: str
    frozen: int
    calls: int

    def check(self) -> None:
        ours, theirs = getattr(self, self.kind)()
        rng, dtype = self.generator(), np.dtype(self.dtype)
        width = self.norm_width if self.kind.endswith("_norm") else self.width
        x = (rng.standard_normal((*self.leading, width)) * 2).astype(dtype)
        options: dict[str, Any] = {}
        run: Any = lambda module, x: module(x)  # noqa: E731
        if self.residual and self.kind in ("linear", "feed_forward", "dropout"):
            shape = ours(x).shape
            added = rng.standard_normal(shape).astype(dtype)
            options["residual"] = in_order(self.order, added)
            run = lambda module, x: module(x) + torch.tensor(added, dtype=x.dtype)  # noqa: E731
        Pair(
            ours, theirs, [x], run, self.dtype, options, self.order, self.frozen, self.calls
        ).check(rng)  # fmt: skip

    @property
    def norm_width(self) -> int:
        """Of fewer features than 3 the gradient is 0 except for rounding and eps."""
        return max(self.width, 3)

    def linear(self) -> Any:
        """Also with what a fused activation and a residual add."""
        ours = layers.Linear(
            self.width, self.inner, self.bias, activation=self.activation, dtype=self.dtype
        )
        theirs = nn.Linear(self.width, self.inner, self.bias)
        theirs.register_forward_hook(lambda *found: self.activate(found[-1]))
        return ours, theirs

    def activate(self, x: Any) -> Any:
        return x if self.activation is None else ACTIVATIONS[self.activation](x)

    def feed_forward(self) -> Any:
        named = self.activation or "relu"
        theirs = nn.Sequential()
        theirs.linear1 = nn.Linear(self.width, self.inner, self.bias)
        theirs.linear2 = nn.Linear(self.inner, self.width, self.bias)
        theirs.linear1.register_forward_hook(lambda *found: ACTIVATIONS[named](found[-1]))
        ours = layers.FeedForward(
            self.width, self.inner, activation=named, bias=self.bias, dtype=self.dtype
        )
        return ours, theirs

    def layer_norm(self) -> Any:
        width = self.norm_width
        ours = layers.LayerNorm(width, self.eps, self.bias, dtype=self.dtype)
        return ours, nn.LayerNorm(width, self.eps, bias=self.bias)

    def rms_norm(self) -> Any:
        eps = None if self.bias else self.eps
        ours = layers.RMSNorm(self.norm_width, eps, dtype=self.dtype)
        exact = float(np.finfo(self.dtype).eps) if eps is None else eps
        return ours, nn.RMSNorm(self.norm_width, exact)

    def activation_alone(self) -> Any:
        named = self.activation or "linear"
        return layers.Activation(named, dtype=self.dtype), Function(self.activate)

    def softmax(self) -> Any:
        axis = self.inner % (len(self.leading) + 1) - len(self.leading) - 1
        return layers.Softmax(axis, dtype=self.dtype), nn.Softmax(axis)

    def dropout(self) -> Any:
        """Of rate 0 in training."""
        return layers.Dropout(0.0, dtype=self.dtype), nn.Identity()

    def residual_around(self) -> Any:
        linear = layers.Linear(self.width, self.width, self.bias, dtype=self.dtype)
        theirs = nn.Sequential()
        theirs.layer = nn.Linear(self.width, self.width, self.bias)
        theirs.layer.register_forward_hook(lambda module, given, y: y + given[0])
        return layers.Residual(linear), theirs


@st.composite
def small_cases(draw: st.DrawFn) -> SmallCase:
    kinds = ["linear", "feed_forward", "layer_norm", "rms_norm", "activation_alone", "softmax",
             "dropout", "residual_around"]  # fmt: skip
    return SmallCase(
        seed=draw(st.integers(0, 2**32 - 1)),
        kind=draw(st.sampled_from(kinds)),
        width=draw(SIZES),
        inner=draw(SIZES),
        leading=draw(LEADING),
        dtype=draw(DTYPES),
        bias=draw(st.booleans()),
        activation=draw(st.sampled_from([None, *ACTIVATIONS])),
        eps=draw(st.sampled_from([1e-5, 1e-12, 0.1])),
        residual=draw(st.booleans()),
        order=draw(st.sampled_from(ORDERS)),
        frozen=draw(st.integers(0, 15)),
        calls=draw(st.integers(1, 2)),
    )
