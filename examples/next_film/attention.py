"""The model: causal attention over films, whose first vectors come from who saw what."""

from typing import NamedTuple

import numpy as np
from histories import Histories
from neighbours import meetings

from heedful.layers import LanguageModel
from heedful.training import AdamW, SparseCategoricalCrossEntropy, WarmupCosine

READ = 50  # films that the model sees


class Settings(NamedTuple):
    width: int = 128
    heads: int = 2
    rate: float = 0.4
    epochs: int = 20
    peak: float = 3e-3


def vectors_of(past: Histories, films: int, width: int) -> np.ndarray:
    """(films, width): factors of the log of how much more often than by chance films meet."""
    together = meetings(past, films, 20)
    total = together.sum(axis=1) + 1
    log_ratio = np.log1p(0.3 * together * together.sum() / np.outer(total, total))
    sizes, axes = np.linalg.eigh(log_ratio)
    strongest = np.argsort(-np.abs(sizes))[: width - 1]
    factors = axes[:, strongest] * np.sqrt(np.abs(sizes[strongest]))
    popular = np.log(total)
    return np.c_[factors / factors.std(), popular - popular.mean()].astype(np.float32)


def batch(past: Histories, first: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Films (B, READ) from `first` on, padded with 0 past the end, and how many there are."""
    rows = [seen[start : start + READ] for seen, start in zip(past, first, strict=True)]
    films = np.zeros((len(rows), READ), int)
    for row, seen in zip(films, rows, strict=True):
        row[: len(seen)] = seen
    return films, np.array([len(row) for row in rows])


def train(past: Histories, films: int, seed: int, chosen: Settings) -> LanguageModel:
    """Every film of a history is predicted from those before it, among all films not yet seen."""
    rng = np.random.default_rng(seed)
    model = LanguageModel(
        films, chosen.width, chosen.heads, 1, max_length=READ, rate=chosen.rate, rng=rng
    )
    model.embedding.weight[...] = 0.05 * vectors_of(past, films, chosen.width)  # the output's too
    place = np.full((len(past), films), np.iinfo(np.int32).max)  # of a film in a history
    for row, seen in zip(place, past, strict=True):
        row[seen] = np.arange(len(seen))
    steps = chosen.epochs * -(-len(past) // 32)
    optimizer = AdamW(
        model, WarmupCosine(chosen.peak, steps // 10, steps), weight_decay=0.05, clip_norm=1.0
    )
    loss_fn = SparseCategoricalCrossEntropy(ignore_index=-1)
    for _ in range(chosen.epochs):
        for people in np.array_split(rng.permutation(len(past)), -(-len(past) // 32)):
            # READ + 1 films each: half of them from anywhere, half the last ones, as in the test
            latest = [max(0, len(past[p]) - READ - 1) for p in people]
            first = [n if rng.random() < 0.5 else int(rng.integers(n + 1)) for n in latest]
            read, lengths = batch([past[p][:-1] for p in people], first)
            following, _ = batch([past[p][1:] for p in people], first)
            following[np.arange(READ) >= lengths[:, None]] = -1
            logits, backward = model.forward(read, rng=rng)
            known = np.array(first)[:, None, None] + np.arange(READ)[:, None]
            logits[place[people][:, None] <= known] = -1e9  # nobody rates a film twice
            _, dlogits = loss_fn(following, logits)
            model.zero_grad()
            backward(dlogits)
            optimizer.step()
    return model


def predict(model: LanguageModel, past: Histories) -> np.ndarray:
    """Scores of the next film, (people, films)."""
    read, lengths = batch(past, [max(0, len(seen) - READ) for seen in past])
    groups = np.array_split(np.arange(len(past)), -(-len(past) // 64))
    return np.concatenate([model(read[g])[np.arange(len(g)), lengths[g] - 1] for g in groups])
