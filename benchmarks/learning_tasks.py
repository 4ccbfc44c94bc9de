"""Two tasks that small models learn in minutes: digits as patches, and characters of a text."""

import math
from collections.abc import Callable
from pydoc_data.topics import topics
from typing import Any, NamedTuple

import numpy as np

from heedful.data import load_digits
from heedful.layers import (
    Encoder,
    Flatten,
    LanguageModel,
    Layer,
    LearnedPositions,
    Linear,
    Sequential,
)  # fmt: skip
from heedful.training import SparseCategoricalCrossEntropy

Array = np.ndarray[Any, Any]


class Task(NamedTuple):
    """How models are made and fed. `batch` returns inputs and targets of one step."""

    title: str
    quality: str  # what `judge` returns
    make: Callable[[str, int, Any], Layer]  # of a mixer, dff and a generator
    dff: int
    batch: Callable[[np.random.Generator], tuple[Array, Array]]
    judge: Callable[[Layer], float]
    inference: Array
    settings: dict[str, Any]


def digits() -> Task:
    images, labels = load_digits()
    pixels = images.astype(np.float32) / 16
    train, test = pixels[0::2], patches(pixels[1::2])
    train_labels, test_labels = labels[0::2], labels[1::2]

    def make(mixer: str, dff: int, rng: Any) -> Layer:
        rng = np.random.default_rng(rng)
        return Sequential(
            Linear(16, 64, rng=rng),
            LearnedPositions(16, 64, rng=rng),
            Encoder(
                2, 64, 4, dff, rate=0.2, norm_first=True, activation="gelu", mixer=mixer,
                max_length=16, rng=rng,
            ),
            Flatten(),
            Linear(16 * 64, 10, rng=rng),
        )  # fmt: skip

    def batch(rng: np.random.Generator) -> tuple[Array, Array]:
        chosen = rng.integers(0, len(train), 16)
        return patches(moved(train[chosen], rng)), train_labels[chosen]

    def judge(model: Layer) -> float:
        return round(100 * float(np.mean(model(test).argmax(-1) == test_labels)), 2)

    settings = {"peak": 2e-3, "weight_decay": 0.05, "batch": 16, "positions": 16, "d_model": 64}
    return Task("digits", "accuracy, %", make, 128, batch, judge, test[:256], settings)


def patches(pixels: Array) -> Array:
    """(N, 8, 8) as (N, 16 patches, 16 pixels) that overlap by half."""
    padded = np.pad(pixels, ((0, 0), (1, 1), (1, 1)))
    cut = np.lib.stride_tricks.sliding_window_view(padded, (4, 4), axis=(1, 2))[:, ::2, ::2]
    return np.ascontiguousarray(cut.reshape(-1, 16, 16) * 2 - 1)


def moved(pixels: Array, rng: np.random.Generator) -> Array:
    """Half of the images by a pixel."""
    padded = np.pad(pixels, ((0, 0), (1, 1), (1, 1)))
    down, right = rng.integers(0, 3, (2, len(pixels), 1, 1))
    stays = rng.random((len(pixels), 1, 1)) < 0.5
    down, right = np.where(stays, 1, down), np.where(stays, 1, right)
    rows, columns = np.arange(8)[:, None] + down, np.arange(8)[None, :] + right
    return padded[np.arange(len(pixels))[:, None, None], rows, columns]


def characters(length: int = 128, judged: int = 400) -> Task:
    text = "\n".join(topics[name] for name in sorted(topics))
    letters = sorted(set(text))
    number = {letter: index for index, letter in enumerate(letters)}
    tokens = np.array([number[letter] for letter in text])
    train, valid = np.split(tokens, [len(tokens) * 9 // 10])
    count = min((len(valid) - 1) // length, judged)
    x_valid = valid[: count * length].reshape(count, length)
    y_valid = valid[1 : count * length + 1].reshape(count, length)

    def make(mixer: str, dff: int, rng: Any) -> Layer:
        return LanguageModel(
            len(letters), 128, 4, 2, dff, max_length=length, rate=0.0, mixer=mixer, rng=rng
        )

    def batch(rng: np.random.Generator) -> tuple[Array, Array]:
        first = rng.integers(0, len(train) - length, 16)
        window = train[first[:, None] + np.arange(length + 1)]
        return window[:, :-1], window[:, 1:]

    def judge(model: Layer) -> float:
        losses = SparseCategoricalCrossEntropy()
        found = [
            losses(y_valid[i : i + 50], model(x_valid[i : i + 50]))[0] * len(y_valid[i : i + 50])
            for i in range(0, count, 50)
        ]
        return round(sum(found) / count / math.log(2), 3)

    settings = {"peak": 3e-3, "weight_decay": 0.01, "batch": 16, "positions": length,
                "d_model": 128}  # fmt: skip
    return Task("characters", "bits per character", make, 512, batch, judge, x_valid[:16], settings)
