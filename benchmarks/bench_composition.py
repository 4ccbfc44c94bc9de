"""A training step with a derived backward pass beside one written by hand: the overhead.

One Transformer classifier in three forms, of the same layers and parameters: its backward pass by
hand; with call, on a tape; in the functional form. A step is forward, loss, backward and Adam. The
losses of the first steps must agree bit for bit. Then the three take turns in one process, on one
thread, by processor time; a ratio is the median over the rounds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from heedful import num_threads
from heedful.benchmark.goal import Line
from heedful.benchmark.harness import Harness
from heedful.benchmark.topic import Topic, main
from heedful.benchmark.turns import table, take_turns
from heedful.layers import (
    Embedding,
    EncoderLayer,
    GlobalAveragePooling,
    Input,
    Layer,
    Linear,
    Model,
    SinusoidalPositions,
)
from heedful.training import Adam, SparseCategoricalCrossEntropy

# batch, length, width, layers; and at most how many times the step by hand: in the tiny one all is
# dispatch
SIZES = {
    "tiny": ((8, 8, 16, 1), 1.2),
    "small": ((32, 32, 64, 2), 1.05),
    "medium": ((32, 64, 128, 2), 1.05),
}
VOCABULARY, CLASSES, HEADS = 100, 5, 4


class Parts(Layer):
    """The layers that the three forms share."""

    def __init__(self, width: int, count: int) -> None:
        self.embedding = Embedding(VOCABULARY, width, rng=0)
        self.positions = SinusoidalPositions(width)
        self.blocks = [EncoderLayer(width, HEADS, 2 * width, 0.0, rng=n) for n in range(count)]
        self.pooling, self.head = GlobalAveragePooling(), Linear(width, CLASSES, rng=9)


class ByHand(Parts):
    def compute(self, mode: Any, tokens: Any) -> tuple[Any, Callable[[Any], None]]:
        h, back_embedding = self.embedding.compute(mode, tokens)
        p, back_positions = self.positions.compute(mode, h)
        h = h + p  # positions twice: a branch, whose gradients add up
        backs = []
        for block in self.blocks:
            h, back = block.compute(mode, h)
            backs.append(back)
        pooled, back_pooling = self.pooling.compute(mode, h)
        y, back_head = self.head.compute(mode, pooled)

        def backward(dy: Any) -> None:
            dh = back_pooling(back_head(dy))
            while backs:
                dh = backs.pop()(dh)
            back_embedding(dh + back_positions(dh))

        return y, backward


class Taped(Parts):
    def call(self, tokens: Any) -> Any:
        h = self.embedding(tokens)
        h = h + self.positions(h)
        for block in self.blocks:
            h = block(h)
        return self.head(self.pooling(h))


def functional(width: int, count: int) -> Model:
    parts = Parts(width, count)
    tokens = Input((None,), dtype=int)
    h = parts.embedding(tokens)
    h = h + parts.positions(h)
    for block in parts.blocks:
        h = block(h)
    return Model(tokens, parts.head(parts.pooling(h)))


def steps_of(name: str) -> dict[str, Callable[[], float]]:
    (batch, length, width, count), _ = SIZES[name]
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, VOCABULARY, (batch, length)), rng.integers(0, CLASSES, batch)
    loss_fn = SparseCategoricalCrossEntropy()

    def step_of(model: Layer) -> Callable[[], float]:
        optimizer = Adam(model, lr=1e-3)

        def step() -> float:
            logits, backward = model.forward(x, rng=rng)
            loss, dlogits = loss_fn(y, logits)
            model.zero_grad()
            backward(dlogits)
            optimizer.step()
            return float(loss)

        return step

    return {
        "by hand": step_of(ByHand(width, count)),
        "call": step_of(Taped(width, count)),
        "functional": step_of(functional(width, count)),
    }


def composition_lines(harness: Harness) -> Iterator[Line]:
    for name, (sizes, allowed) in SIZES.items():
        steps = steps_of(name)
        losses = {way: [step() for _ in range(5)] for way, step in steps.items()}
        same = len({tuple(found) for found in losses.values()}) == 1
        title = f"composition {name}, (batch, length, width, layers) = {sizes}"
        yield Line(f"{title}: the losses of five steps", "the same bits", str(same), same)
        with num_threads(1):
            # processor time: other programs hardly disturb it
            times = take_turns(steps, harness.rounds, harness.seconds, time.process_time)
        print(table(times))
        for way in ("call", "functional"):
            ratios = [own / hand for own, hand in zip(times[way], times["by hand"], strict=True)]
            ratio = statistics.median(ratios)
            low, high = np.quantile(ratios, [0.25, 0.75])
            figure = f"{ratio:.3f} x (quartiles {low:.3f} to {high:.3f})"
            yield Line(f"{title}: {way}", f"≤ {allowed} x by hand", figure, ratio <= allowed)


TOPIC = Topic("composition", __doc__, other=composition_lines)

if __name__ == "__main__":
    main(TOPIC)
