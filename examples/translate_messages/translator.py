"""Translator: an encoder, a decoder, and attention that looks words up in a lexicon."""

from typing import Any

import numpy as np
from pieces import PAD
from scipy import sparse

from heedful.layers import (
    Decoder,
    Dropout,
    Embedding,
    Encoder,
    Layer,
    Linear,
    Sequential,
    SinusoidalPositions,
    steps,
)

FEATURES = 8  # of `progress`


class Translator(Layer):
    """Messages (B, M) and translations so far (B, L) to scores of the next piece (B, L, V).

    ::

        h      = encoder(embed(source))                                      (B, M, E)
        y      = decoder(embed(target), h)                                   (B, L, E)
        a      = softmax(query(y) · key(h) / √E + place(progress))           (B, L, M)
        scores = W (out(y) + a value(h)) + log(a lexicon[source] + 1e-4)     (B, L, V)

    The attention a chooses the piece of the message whose turn it is; the lexicon says what it may
    become (Arthur et al. 2016), the rest learns which of that fits, and what to write of one's own.
    `progress` says which pieces have been translated (coverage, Tu et al. 2016; Cohn et al. 2016).

    The lexicon is an argument, because training reads another one than inference: see `Learning`.
    """

    def __init__(self, count: int, width: int, layers: int, rate: float, rng: Any) -> None:
        self.width = width
        self.embedding = Embedding(count, width, PAD, rng=rng)
        self.embedding.weight = self.embedding.weight / np.sqrt(width)
        self.positions, self.dropout = SinusoidalPositions(width), Dropout(rate)
        sizes: dict[str, Any] = {
            "num_heads": 4, "dff": 2 * width, "rate": rate, "norm_first": True, "rng": rng,
        }  # fmt: skip
        self.encoder = Encoder(layers, width, **sizes)
        self.decoder = Decoder(layers, width, **sizes)
        self.query, self.key, self.value, self.out = (
            Linear(width, width, rng=rng) for _ in range(4)
        )
        self.place = Sequential(
            Linear(FEATURES, 16, activation="relu", rng=rng), Linear(16, 1, rng=rng)
        )
        self.projection = Linear(width, count, rng=rng)
        self.projection.weight = self.embedding.weight

    def embedded(self, tokens: np.ndarray) -> Any:
        x = self.embedding(tokens) * float(np.sqrt(self.width))
        return self.dropout(self.positions(x))

    def call(
        self, source: np.ndarray, target: np.ndarray, *, lexicon: sparse.csr_array,
        return_weights: bool = False,
    ) -> Any:  # fmt: skip
        table = lexicon[source.reshape(-1)].toarray().reshape(*source.shape, -1)  # (B, M, V)
        lengths = (source != PAD).sum(axis=1)
        h = self.encoder(self.embedded(source), kv_lengths=lengths)
        y = self.decoder(self.embedded(target), h, memory_lengths=lengths)
        scores = self.query(y) @ self.key(h).swapaxes(-1, -2) / float(np.sqrt(self.width))
        scores = scores + self.place(progress(source, target, table)).squeeze(-1)
        hidden = np.where(source == PAD, np.float32(-1e9), np.float32(0))[:, None]
        weights = steps.softmax(scores + hidden, axis=-1)
        scores = self.projection(self.out(y) + weights @ self.value(h))
        scores = scores + steps.log(weights @ table + 1e-4)
        return (scores, weights) if return_weights else scores


def progress(source: np.ndarray, target: np.ndarray, table: np.ndarray) -> np.ndarray:
    """What the pieces written so far say of where to look next, (B, L, M, FEATURES).

    Which piece of the message the last written piece translates, as the lexicon has it, and moved
    by −1, 1 and 2 places; how much of each piece of the message has been translated; and how far
    ahead of the translation's length it is.
    """
    match = np.take_along_axis(table, target[:, None], axis=2).swapaxes(1, 2)  # (B, L, M)
    match = match * (source != PAD)[:, None]
    match /= match.sum(axis=-1, keepdims=True) + 1e-6
    done, size = match.cumsum(axis=1), match.shape[2]
    around = np.zeros((*match.shape[:2], size + 4), np.float32)
    around[..., 2:-2] = match
    around[:, 0, 1] = 1  # before anything is written: one place before the message
    moved = [around[..., 2 - shift : 2 - shift + size] for shift in (-1, 0, 1, 2)]
    ahead = np.arange(size) - np.arange(match.shape[1])[:, None]
    ahead = np.broadcast_to(ahead / 8, match.shape)
    features = [*moved, done, np.minimum(done, 1), ahead, np.abs(ahead)]
    return np.stack(features, axis=-1).astype(np.float32)
