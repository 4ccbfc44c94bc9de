"""Embedding: vectors of tokens, some of which stand for padding."""

from __future__ import annotations

from dataclasses import dataclass

from fuzz_campaign import Case
from hypothesis import strategies as st
from torch import nn

from heedful import layers
from random_layers.orders import ORDERS
from random_layers.pair import Pair
from random_layers.small import DTYPES, LEADING, SIZES


@dataclass(frozen=True)
class EmbeddingCase(Case):
    count: int
    width: int
    shape: tuple[int, ...]
    padding: int | None  # counted from 0 or from the end
    tokens: str
    dtype: str
    order: str
    frozen: int
    calls: int

    def check(self) -> None:
        padding = None if self.padding is None else self.padding % self.count
        rng = self.generator()
        tokens = rng.integers(0, self.count, self.shape).astype(self.tokens)
        Pair(
            layers.Embedding(self.count, self.width, padding, dtype=self.dtype),
            nn.Embedding(self.count, self.width, padding),
            [tokens],
            lambda module, tokens: module(tokens.long()),
            self.dtype,
            order=self.order,
            frozen=self.frozen,
            calls=self.calls,
        ).check(rng)


@st.composite
def embedding_cases(draw: st.DrawFn) -> EmbeddingCase:
    return EmbeddingCase(
        seed=draw(st.integers(0, 2**32 - 1)),
        count=draw(SIZES),
        width=draw(SIZES),
        shape=draw(LEADING),
        padding=draw(st.none() | st.integers(0, 64)),
        tokens=draw(st.sampled_from(["int64", "int32", "uint8", "int16"])),
        dtype=draw(DTYPES),
        order=draw(st.sampled_from(ORDERS)),
        frozen=draw(st.integers(0, 1)),
        calls=draw(st.integers(1, 2)),
    )
