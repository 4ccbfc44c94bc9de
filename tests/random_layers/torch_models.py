"""Models composed of PyTorch's layers, with the names of heedful's parameters."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class Weight(nn.Module):
    """A table of vectors, as positions are here."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, width))


def sinusoids(length: int, width: int, like: Any) -> Any:
    place = torch.arange(length, dtype=torch.float64)[:, None]
    vectors = torch.zeros(length, width, dtype=torch.float64)
    rates = 10000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    vectors[:, 0::2] = torch.sin(place * rates)
    vectors[:, 1::2] = torch.cos(place * rates[: width // 2])
    return vectors.to(like.dtype)


class TorchLanguageModel(nn.Module):
    def __init__(
        self, vocabulary: int, width: int, positions: str, max_length: int, encoder: nn.Module,
        tied: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kind = positions
        self.embedding = nn.Embedding(vocabulary, width)
        if positions == "learned":
            self.positions = Weight(max_length, width)
        self.encoder = encoder
        self.projection = nn.Linear(width, vocabulary, bias=False)
        if tied:
            self.projection.weight = self.embedding.weight

    def forward(self, tokens: Any, mask: Any) -> Any:
        x = self.embedding(tokens)
        if self.kind == "learned":
            x = x + self.positions.weight[: x.shape[-2]]
        elif self.kind == "sinusoidal":
            x = x + sinusoids(*x.shape[-2:], x)
        return self.projection(self.encoder(x, mask=mask.to(x.dtype)))


class TorchBert(nn.Module):
    def __init__(
        self, vocabulary: int, width: int, max_length: int, segments: int, eps: float, first: int,
        encoder: nn.Module,
    ) -> None:  # fmt: skip
        super().__init__()
        self.first = first
        self.token_embedding = nn.Embedding(vocabulary, width)
        self.positions = Weight(max_length, width)
        self.segment_embedding = nn.Embedding(segments, width) if segments else None
        self.norm = nn.LayerNorm(width, eps)
        self.encoder = encoder

    def forward(self, tokens: Any, segments: Any, mask: Any) -> Any:
        x = self.token_embedding(tokens)
        x = x + self.positions.weight[self.first : self.first + x.shape[-2]]
        if self.segment_embedding is not None:
            x = x + self.segment_embedding(segments)
        return self.encoder(self.norm(x), mask=mask.to(x.dtype))


class TorchTranslator(nn.Module):
    """Tokens of two languages around the encoder and decoder of ``nn.Transformer``."""

    def __init__(
        self, source: int, target: int, transformer: nn.Transformer, padding: int | None,
        tied: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        width = transformer.d_model
        self.encoder, self.decoder = transformer.encoder, transformer.decoder
        self.source_embedding = nn.Embedding(source, width, padding)
        self.target_embedding = nn.Embedding(target, width, padding)
        self.projection = nn.Linear(width, target)
        if tied:
            self.projection.weight = self.target_embedding.weight

    def forward(self, source: Any, target: Any, masks: Any) -> Any:
        x, y = (
            embedding(tokens) * embedding.embedding_dim**0.5
            for embedding, tokens in (
                (self.source_embedding, source), (self.target_embedding, target),
            )
        )  # fmt: skip
        own, causal, memory = (mask.to(x.dtype) for mask in masks)
        x = self.encoder(x + sinusoids(*x.shape[-2:], x), mask=own)
        y = self.decoder(y + sinusoids(*y.shape[-2:], y), x, tgt_mask=causal, memory_mask=memory)
        return self.projection(y)
