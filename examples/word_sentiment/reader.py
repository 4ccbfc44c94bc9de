"""The model: four queries pool the words of a text, guided by a lexicon.

    x_i = E[word_i] + E[pair_i] + l_i v         l_i from the lexicon, pair_i = word_i−1 word_i
    a_qi = softmax_i(query_q · x_i + s |l_i|)   words that the lexicon rates attract attention
    score = Σ_q h_q · Σ_i a_qi x_i + b = Σ_i (Σ_q a_qi h_q · x_i) + b

The score is a sum over words, so that what a word adds is known exactly.
"""

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from reviews import Reviews

from heedful.layers import AttentionPooling, Dropout, Embedding, Layer, Linear, steps
from heedful.training import AdamW

NOTHING, UNKNOWN = 0, 1
QUERIES = 4


class Vocabulary:
    """Words and pairs of neighbours that at least two texts have, as numbers."""

    def __init__(self, texts: list[list[str]], least: int = 2) -> None:
        words = Counter(word for text in texts for word in dict.fromkeys(text))
        pairs = Counter(pair for text in texts for pair in dict.fromkeys(pairwise(text)))
        counts = [*words.items(), *pairs.items()]
        known = [one for one, count in counts if count >= least]
        self.numbers: dict[Any, int] = {one: number for number, one in enumerate(known, 2)}
        self.length = max(map(len, texts))

    def __len__(self) -> int:
        return 2 + len(self.numbers)

    def encode(self, texts: list[list[str]]) -> np.ndarray:
        """(N, L, 2): each word, and the pair that it ends."""
        tokens = np.full((len(texts), self.length, 2), NOTHING)
        for row, text in zip(tokens, texts, strict=True):
            text = text[: self.length]
            row[: len(text), 0] = [self.numbers.get(word, UNKNOWN) for word in text]
            row[1 : len(text), 1] = [self.numbers.get(p, NOTHING) for p in pairwise(text)]
        return tokens

    def ratings(self, texts: list[list[str]], lexicon: Mapping[str, float]) -> np.ndarray:
        """(N, L): what the lexicon says of each word, 0 where nothing."""
        found = np.zeros((len(texts), self.length), np.float32)
        for row, text in zip(found, texts, strict=True):
            text = text[: self.length]
            row[: len(text)] = [lexicon.get(word, 0) for word in text]
        return found


class Reader(Layer):
    """(N, L, 2) words and pairs, (N, L) ratings → (N, 1) logits of "liked"."""

    def __init__(self, words: int, strength: float, width: int = 32, rng: Any = None) -> None:
        super().__init__()
        self.strength = strength
        self.embedding = Embedding(words, width, padding_idx=NOTHING, rng=rng)
        self.embedding.weight[:] *= 0.1
        self.rating = Linear(1, width, bias=False, rng=rng)
        self.dropout = Dropout(0.5)
        self.pooling = AttentionPooling(width, num_queries=QUERIES, scale=1.0, rng=rng)
        self.head = Linear(QUERIES * width, 1, rng=rng)

    def call(self, tokens: Any, ratings: Any) -> Any:
        x = self.embedding(tokens).sum(2) + self.rating(ratings[..., None])  # (N, L, E)
        bias = np.abs(steps.stop_gradient(ratings)) * self.strength
        pooled = self.pooling(self.dropout(x), mask=bias, lengths=lengths(tokens))  # (N, Q, E)
        return self.head(pooled.reshape((len(tokens), -1)))

    def read(self, tokens: np.ndarray, ratings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, L) weights of the words, a mean of the queries', and (N, L) what each word adds."""
        x = self.embedding(tokens).sum(2) + self.rating(ratings[..., None])
        bias = np.abs(ratings) * self.strength
        _, weights = self.pooling(x, mask=bias, lengths=lengths(tokens), return_weights=True)
        values = x @ self.head.weight.reshape(QUERIES, -1).T  # (N, L, Q)
        return weights.mean(1), np.einsum("nql,nlq->nl", weights, values)


def lengths(tokens: Any) -> np.ndarray:
    return (np.asarray(tokens)[..., 0] != NOTHING).sum(-1)


def forgotten(tokens: np.ndarray, ratings: np.ndarray, rng: Any) -> tuple[np.ndarray, np.ndarray]:
    """A tenth of the words as if unknown, so that ratings alone say something, too."""
    gone = (rng.random(tokens.shape[:-1]) < 0.1) & (tokens[..., 0] != NOTHING)
    tokens = tokens.copy()
    tokens[gone] = UNKNOWN, NOTHING
    tokens[:, 1:, 1][gone[:, :-1]] = NOTHING  # the pair with the word before
    return tokens, ratings


def train(
    vocabulary: Vocabulary, lexicon: Mapping[str, float], strength: float, known: Reviews,
    validation: Reviews, seed: int, epochs: int,
) -> Reader:  # fmt: skip
    """The model of the epoch with the lowest loss on the validation part."""
    model = Reader(len(vocabulary), strength, rng=seed)
    model.compile(AdamW(lr=2e-3, weight_decay=0.01), "binary_crossentropy")
    rng = np.random.default_rng(seed)
    tokens, ratings = vocabulary.encode(known.words), vocabulary.ratings(known.words, lexicon)
    held = vocabulary.encode(validation.words), vocabulary.ratings(validation.words, lexicon)
    best, state = np.inf, model.state_dict()
    for _ in range(epochs):
        model.fit(
            forgotten(tokens, ratings, rng), known.liked[:, None], batch_size=64, rng=rng,
            verbose=False,
        )  # fmt: skip
        loss = model.evaluate(held, validation.liked[:, None], batch_size=256).loss
        if loss < best:
            best = loss
            state = {name: array.copy() for name, array in model.state_dict().items()}
    model.load_state_dict(state)
    return model
