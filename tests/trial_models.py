"""Models of several kinds, each with its forward pass alone: none has a backward of its own.

Every one takes `dtype` and draws its parameters from fixed seeds.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful.layers import (
    GRU,
    AdditiveAttention,
    AttentionPooling,
    DecoderLayer,
    Dropout,
    Embedding,
    EncoderLayer,
    FeedForward,
    GlobalAveragePooling,
    Input,
    Layer,
    LayerNorm,
    LearnedPositions,
    Linear,
    Model,
    MultiHeadAttention,
    Parameter,
    PatchEmbed,
    Sequential,
    SinusoidalPositions,
    steps,
)  # fmt: skip

WIDE = np.dtype(np.float64)


class SharedEmbeddings(Layer):
    """A Transformer whose source, target and logits share one table (Press and Wolf 2017)."""

    def __init__(self, vocabulary: int = 11, d_model: int = 6, dtype: Any = WIDE) -> None:
        self.embedding = Embedding(vocabulary, d_model, dtype=dtype, rng=0)
        self.positions = SinusoidalPositions(d_model, dtype=dtype)
        self.dropout = Dropout(0.1, dtype=dtype)
        self.encoder = EncoderLayer(d_model, 2, 12, 0.0, dtype=dtype, rng=1)
        self.decoder = DecoderLayer(d_model, 2, 12, 0.0, dtype=dtype, rng=2)

    def embed(self, tokens: Any) -> Any:
        table = self.embedding
        return self.dropout(self.positions(table(tokens) * np.sqrt(table.d_model)))

    def call(self, source: Any, target: Any, *, source_lengths: Any = None) -> Any:
        memory = self.encoder(self.embed(source), kv_lengths=source_lengths)
        y = self.decoder(self.embed(target), memory, memory_lengths=source_lengths)
        return y @ self.embedding.weight.T


def two_towers(dtype: Any = WIDE) -> Model:
    """Cosines of questions and passages: one tower, called twice."""
    question = Input((None,), dtype=int, name="question")
    passage = Input((None,), dtype=int, name="passage")
    embed, norm = Embedding(13, 6, dtype=dtype, rng=0), LayerNorm(6, dtype=dtype)
    pool, head = AttentionPooling(6, dtype=dtype, rng=1), Linear(6, 4, dtype=dtype, rng=2)

    def tower(tokens: Any) -> Any:
        h = head(pool(norm(embed(tokens))))
        return h / steps.sqrt((h * h).sum(axis=-1, keepdims=True))

    return Model((question, passage), tower(question) @ tower(passage).T)


class Translator(Layer):
    """A GRU reads, another writes and looks back by additive attention (Bahdanau et al. 2015)."""

    def __init__(self, vocabulary: int = 9, width: int = 5, dtype: Any = WIDE) -> None:
        self.source = Embedding(vocabulary, width, dtype=dtype, rng=0)
        self.target = Embedding(vocabulary, width, dtype=dtype, rng=1)
        self.reader = GRU(width, width, bidirectional=True, dtype=dtype, rng=2)
        self.bridge = Linear(2 * width, width, activation="tanh", dtype=dtype, rng=3)
        self.writer = GRU(width, width, dtype=dtype, rng=4)
        self.attention = AdditiveAttention(width, kdim=2 * width, dtype=dtype, rng=5)
        self.head = Linear(3 * width, vocabulary, dtype=dtype, rng=6)

    def call(self, source: Any, target: Any, *, lengths: Any = None) -> Any:
        memory, states = self.reader(self.source(source), lengths=lengths, return_state=True)
        first = self.bridge(states.reshape(len(source), 1, -1))
        h = self.writer(self.target(target), first)
        context = self.attention(h, memory, kv_lengths=lengths)
        return self.head(steps.concatenate([h, context], axis=-1))


class Patches(Layer):
    """A vision Transformer with a class token and the mean of the patches."""

    def __init__(self, dtype: Any = WIDE) -> None:
        self.patches = PatchEmbed((4, 6), 2, channels=3, d_model=8, dtype=dtype, rng=0)
        self.token = Parameter(np.random.default_rng(1).standard_normal((1, 8)).astype(dtype))
        self.positions = LearnedPositions(7, 8, dtype=dtype, rng=2)
        self.block = EncoderLayer(8, 2, 16, 0.0, norm_first=True, dtype=dtype, rng=3)
        self.head = Linear(16, 3, dtype=dtype, rng=4)

    def call(self, images: Any) -> Any:
        h = self.patches(images)
        token = steps.broadcast_to(self.token, (len(h), 1, 8))
        h = self.block(self.positions(steps.concatenate([token, h], axis=1)))
        return self.head(steps.concatenate([h[:, 0], h[:, 1:].mean(axis=1)], axis=-1))


def cross_modal(dtype: Any = WIDE) -> Model:
    """Words attend to sounds, sounds to words; two outputs."""
    words, sounds = Input((None,), dtype=int, name="words"), Input((None, 5), name="sounds")
    lengths = Input((), dtype=int, name="lengths")
    text = Embedding(10, 6, dtype=dtype, rng=0)(words)
    audio = Linear(5, 6, activation="gelu", dtype=dtype, rng=1)(sounds)
    hears = MultiHeadAttention(6, 2, dtype=dtype, rng=2)(text, audio, kv_lengths=lengths)
    reads = MultiHeadAttention(6, 3, dtype=dtype, rng=3)(audio, key=text)
    both = steps.stack([(text + hears).mean(axis=1), reads.max(axis=1)], axis=1)
    label = Linear(12, 4, dtype=dtype, rng=4)(both.reshape(-1, 12))
    match = (both[:, 0] * both[:, 1]).sum(axis=-1)
    return Model((words, sounds, lengths), (label, match))


class Recommender(Layer):
    """Ratings by factors of users and items, biases of both, and what a user saw before."""

    def __init__(self, users: int = 7, items: int = 9, dtype: Any = WIDE) -> None:
        rng = np.random.default_rng(5)
        self.users = Embedding(users, 4, dtype=dtype, rng=0)
        self.items = Embedding(items, 4, dtype=dtype, rng=1)
        self.user_bias = Parameter(rng.standard_normal(users).astype(dtype))
        self.item_bias = Parameter(rng.standard_normal(items).astype(dtype))
        self.mean = Parameter(np.asarray([3.5], dtype))
        self.attention = MultiHeadAttention(4, 2, dtype=dtype, rng=2)

    def call(self, user: Any, item: Any, seen: Any, *, lengths: Any = None) -> Any:
        wanted, history = self.items(item), self.items(seen)
        recalled = self.attention(wanted.reshape(-1, 1, 4), history, kv_lengths=lengths)
        taste = self.users(user) + recalled.reshape(-1, 4)
        return self.mean + self.user_bias[user] + self.item_bias[item] + (taste * wanted).sum(-1)


class Policy(Layer):
    """Actions and a value from an observation, and the memory that goes into the next step."""

    def __init__(self, dtype: Any = WIDE) -> None:
        self.read = Linear(3, 6, activation="tanh", dtype=dtype, rng=0)
        self.memory = GRU(6, 6, dtype=dtype, rng=1)
        self.actor, self.critic = (Linear(6, n, dtype=dtype, rng=2 + n) for n in (4, 1))

    def call(self, observations: Any, state: Any) -> Any:
        h, state = self.memory(self.read(observations), state, return_state=True)
        log_policy = steps.log_softmax(self.actor(h))
        return log_policy, steps.squeeze(self.critic(h), -1), state


class Siamese(Layer):
    """The contrastive loss of pairs (Hadsell et al. 2006): one encoder, the loss inside."""

    def __init__(self, dtype: Any = WIDE) -> None:
        self.encoder = Sequential(
            Linear(4, 6, dtype=dtype, rng=0), FeedForward(6, 8, dtype=dtype, rng=1),
            GlobalAveragePooling(),
        )  # fmt: skip

    def call(self, one: Any, other: Any, alike: Any) -> Any:
        apart = self.encoder(one) - self.encoder(other)
        distance = steps.sqrt((apart * apart).sum(axis=-1) + 1e-9)
        push = steps.maximum(0.7 - distance, 0.0)
        return steps.where(alike, distance**2, push**2).mean()
