"""Attention with sparse normalisers, compared with softmax: time, gradients, and memory."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

import heedful
from heedful.benchmark.channel import Answer
from heedful.benchmark.goal import Line
from heedful.benchmark.harness import Harness
from heedful.benchmark.memory import highest
from heedful.benchmark.script import ScriptProcess, ScriptWorker, script_processes, take_turns
from heedful.benchmark.topic import Topic, main

ALLOWED = 1e-5  # error against float64, relative to the largest element
LENGTHS = (4_096, 16_384)
LINEAR = 1.25  # times as many bytes a token at the longest as at the shortest
RESOLUTION = 1e6  # bytes by which the peak of a process may be off
Array = NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Work:
    """One call of self-attention in float32, and how much time it may take beside softmax."""

    normalizer: str | float
    zeros: float  # the share of the weights that are 0
    at_most: float | None = None  # times as long as softmax
    blocks: int = 0  # not 0: the keys that a query attends to are in one block of so many
    learns: bool = False  # α has a gradient
    length: int = 4096
    heads: int = 8
    depth: int = 128
    backward: bool = False

    def __str__(self) -> str:
        alpha = f"{self.normalizer}" + (" of each head" if self.learns else "")
        zeros = f"one block of {self.blocks}" if self.blocks else f"{self.zeros:.0%} zeros"
        shown = f"{alpha}, {zeros}, {self.heads}, {self.length}², {self.depth}"
        return shown + (", with gradients" if self.backward else "")

    @property
    def options(self) -> dict[str, Any]:
        return {"normalizer": [self.normalizer] * self.heads if self.learns else self.normalizer}


WORKS = [
    Work("entmax15", 0.02, at_most=3.0),
    Work("entmax15", 0.9, at_most=1.5),
    Work("entmax15", 0.9, at_most=1.0, blocks=16),
    Work("sparsemax", 0.5, at_most=3.0),
    Work("sparsemax", 0.9, at_most=1.5),
    Work(1.3, 0.02),
    Work(1.3, 0.9),
    Work("entmax15", 0.02, at_most=3.0, backward=True),
    Work("entmax15", 0.9, at_most=1.5, backward=True),
    Work("entmax15", 0.9, at_most=1.0, blocks=16, backward=True),
    Work("sparsemax", 0.9, at_most=1.5, backward=True),
    Work(1.3, 0.9, backward=True),
    Work(1.3, 0.9, learns=True, backward=True),
]


def draw(work: Work) -> tuple[Array, Array, Array, Array]:
    """query, key, value, dout, each (1, H, L, D)"""
    rng = np.random.default_rng(7)
    shape = (4, 1, work.heads, work.length, work.depth)
    query, key, value, dout = rng.standard_normal(shape, dtype=np.float32)
    if work.blocks:
        block = np.arange(work.length) * work.blocks // work.length
        for array in (query, key):
            array[..., np.arange(work.length), block] += np.float32(work.depth**0.5)
    return query, key, value, dout


def scale_of(work: Work) -> float:
    """The scale with which that share of the weights is 0."""
    query, key, *_ = draw(work)
    low, high = 1e-4, 1.0
    while high > 1.02 * low and not work.blocks:
        middle = (low * high) ** 0.5
        weights = heedful.attention_weights(
            query, key, normalizer=work.normalizer, scale=middle, rows=slice(0, 64)
        )
        low, high = (middle, high) if (weights == 0).mean() < work.zeros else (low, middle)
    return low if not work.blocks else 0.3 / work.depth**0.5


def exact_weights(scores: Array, normalizer: str | float) -> tuple[Array, Array]:
    """Weights and their slopes, by bisection."""
    alpha = {"entmax15": 1.5, "sparsemax": 2.0}.get(str(normalizer), normalizer)
    assert isinstance(alpha, float)
    z = (alpha - 1) * scores
    low = z.max(-1, keepdims=True) - 1
    high = low + 1
    for _ in range(60):
        middle = (low + high) / 2
        total = (np.maximum(z - middle, 0) ** (1 / (alpha - 1))).sum(-1, keepdims=True)
        low, high = np.where(total >= 1, middle, low), np.where(total >= 1, high, middle)
    excess = np.maximum(z - low, 0)
    used = np.where(excess > 0, excess, 1)
    slopes = np.where(excess > 0, used ** ((2 - alpha) / (alpha - 1)), 0)
    return excess ** (1 / (alpha - 1)), slopes


def error(work: Work, scale: float, out: Array, dquery: Array | None) -> float:
    """Of some rows of each head, against float64."""
    query, key, value, dout = (array[0].astype(float) for array in draw(work))
    rows = np.linspace(0, work.length - 1, 8).astype(int)
    weights, slopes = exact_weights(scale * query[:, rows] @ key.swapaxes(1, 2), work.normalizer)
    pairs = [(out, weights @ value)]
    if dquery is not None and work.normalizer != "sparsemax":  # whose slopes jump at a threshold
        dweights = dout[:, rows] @ value.swapaxes(1, 2)
        mean = (slopes * dweights).sum(-1, keepdims=True) / slopes.sum(-1, keepdims=True)
        pairs.append((dquery, slopes * (dweights - mean) @ key * scale))
    return max(
        float(abs(found[0, :, rows].swapaxes(0, 1) - exact).max() / abs(exact).max())
        for found, exact in pairs
    )


def own_call(work: Work, **options: Any) -> Callable[[], tuple[Array, Array | None]]:
    *inputs, dout = draw(work)

    def forward() -> tuple[Array, Array | None]:
        return heedful.attention(*inputs, **options), None

    def backward() -> tuple[Array, Array | None]:
        out, pullback = heedful.attention_vjp(*inputs, **options)
        return out, pullback(dout).query

    return backward if work.backward else forward


class Worker(ScriptWorker):
    """Calls one workload repeatedly."""

    def prepare(self, work: Answer) -> Answer:
        asked = Work(**work)
        scale = scale_of(asked)
        self.calls = {
            "": own_call(asked, scale=scale, **asked.options),
            "softmax": own_call(asked, scale=scale),
        }
        return {"error": error(asked, scale, *self.calls[""]())}

    def memory(self, work: Answer) -> Answer:
        """Beyond inputs and outputs; a short call first starts the threads."""
        asked = Work(**work)
        own_call(dataclasses.replace(asked, length=128), **asked.options)()
        call = own_call(asked, **asked.options)
        outputs = 4 * asked.heads * asked.length * asked.depth * (4 if asked.backward else 1)
        return {"extra": highest(call) - outputs}


def normalizer_lines(harness: Harness) -> Iterator[Line]:
    with script_processes(__file__, harness, ("heedful",)) as processes:
        for work in WORKS:
            yield time_line(harness, processes["heedful"], work)
    for backward in (False, True):
        yield memory_line(harness, backward)


def time_line(harness: Harness, own: ScriptProcess, work: Work) -> Line:
    """Check the workload, time it and softmax in turns, judge."""
    wrong = own.ask("prepare", work=dataclasses.asdict(work))["error"]
    if wrong > ALLOWED:
        return Line(str(work), f"error ≤ {ALLOWED}", f"{wrong:.1e}", False)
    taken = take_turns(
        harness,
        {"heedful": own.turn, "softmax": lambda seconds: own.turn(seconds, "softmax")},
    )
    ratio = taken.ratio("softmax", "heedful")
    goal = "none" if work.at_most is None else f"≤ {work.at_most:g} x softmax"
    holds = None if work.at_most is None or ratio is None else ratio <= work.at_most
    figure = "–" if ratio is None else f"{ratio:.2f} x softmax"
    return Line(str(work), goal, figure, holds, str(taken)).seen_in(taken.state)


def memory_line(harness: Harness, backward: bool) -> Line:
    """The growth of the memory with the length, each in a fresh process."""
    own = {}
    for length in LENGTHS:
        with script_processes(__file__, harness, ("heedful",)) as processes:
            work = Work("entmax15", 0.9, length=length, heads=1, depth=64, backward=backward)
            asked = dataclasses.asdict(work)
            own[length] = max(processes["heedful"].ask("memory", work=asked)["extra"], 1)
    short, long = LENGTHS
    growth = own[long] / own[short]
    return Line(
        f"memory of entmax15, 1, {long}², 64{', with gradients' * backward}, beside {short} tokens",
        f"≤ {LINEAR:g} x as much a token",
        f"{growth * short / long:.2f} x, {own[long] / 1e6:.1f} MB",
        own[long] <= LINEAR * long / short * own[short] + RESOLUTION,
    )


TOPIC = Topic("normalizers", __doc__, other=normalizer_lines)

if __name__ == "__main__":
    main(TOPIC, Worker)
