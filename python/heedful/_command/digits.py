"""Handwritten digits by attention alone: test images are queries, training images are keys."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

import heedful
from heedful.data import load_digits

Array = NDArray[Any]

SCALES = (10.0, 20.0, 50.0, 100.0, 200.0, 500.0)


@dataclass(frozen=True)
class Half:
    """One half of the images: `number[i]` is the index of image i in the whole set."""

    number: Array  # (N,)
    images: Array  # (N, 8, 8) uint8
    labels: Array  # (N,) uint8
    pixels: Array  # (N, 64) float32, each row of length 1


def halves() -> tuple[Half, Half]:
    """The training half, of even-numbered images, and the test half, of odd-numbered ones."""
    images, labels = load_digits()
    pixels = images.reshape(len(images), 64).astype(np.float32)
    pixels /= np.linalg.norm(pixels, axis=1, keepdims=True)
    number = np.arange(len(images))
    train, test = (
        Half(number[first::2], images[first::2], labels[first::2], pixels[first::2])
        for first in (0, 1)
    )
    return train, test


def one_hot(labels: Array) -> Array:
    return np.eye(10, dtype=np.float32)[labels]  # (N, 10)


def accuracy(out: Array, labels: Array) -> float:
    return float(np.mean(out.argmax(axis=-1) == labels))


def nearest(train: Half, test: Half) -> Array:
    """The digit of the training image that is closest to each test image: no attention at all."""
    closest: Array = (test.pixels @ train.pixels.T).argmax(axis=1)  # all have length 1
    found: Array = train.labels[closest]
    return found


def leave_one_out(train: Half) -> dict[float, float]:
    """Accuracy on the training half for each scale, every image classified by all the others."""
    others = ~np.eye(len(train.labels), dtype=bool)  # no image attends to itself
    values = one_hot(train.labels)
    return {
        scale: accuracy(
            heedful.attention(train.pixels, train.pixels, values, mask=others, scale=scale),
            train.labels,
        )
        for scale in SCALES
    }


def best_scale(accuracies: dict[float, float]) -> float:
    """The scale with the highest accuracy; among equals the smallest, with the softest weights."""
    highest = max(accuracies.values())
    return min(scale for scale, reached in accuracies.items() if reached == highest)


def numpy_attention(query: Array, key: Array, value: Array, scale: float) -> Array:
    """The same computation in three lines of NumPy, for comparison."""
    scores = query @ key.T * np.float32(scale)  # (Lq, Lk)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return (weights / weights.sum(axis=-1, keepdims=True)) @ value  # type: ignore[no-any-return]


def times(
    functions: dict[str, Callable[[], object]], rounds: int = 9, calls: int = 5, pause: float = 0.04
) -> dict[str, float]:
    """Median seconds of each function, interleaved, with a pause that lets threads go to sleep."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            time.sleep(pause)
            function()  # wakes its threads
            for _ in range(calls):
                start = time.perf_counter()
                function()
                seconds[name].append(time.perf_counter() - start)
    return {name: median(measured) for name, measured in seconds.items()}


def examples(out: Array, labels: Array) -> list[tuple[str, int]]:
    """Instructive rows of the test half: recognised clearly, narrowly, and not at all."""
    predicted = out.argmax(axis=-1)
    certainty = out.max(axis=-1).round(4)  # the last bits must not decide
    right = predicted == labels
    found = [
        ("recognised at once", int(np.argmax(np.where(right, certainty, -np.inf)))),
        ("recognised narrowly", int(np.argmin(np.where(right, certainty, np.inf)))),
    ]
    if not right.all():
        found.append(("mistaken", int(np.argmax(np.where(right, -np.inf, certainty)))))
    return found
