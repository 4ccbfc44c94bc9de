"""Gumbel noise and dropout of keys, forward and backward, beside plain softmax attention."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

import heedful
from heedful.benchmark.channel import Answer
from heedful.benchmark.goal import Line, at_least, forced_level
from heedful.benchmark.harness import Harness
from heedful.benchmark.memory import highest
from heedful.benchmark.script import ScriptProcess, ScriptWorker, script_processes, take_turns
from heedful.benchmark.topic import Topic, main

OPTIONS: dict[str, dict[str, Any]] = {
    "softmax": {},
    "gumbel": {"gumbel_temperature": 0.5, "rng": 1},
    "key_dropout": {"key_dropout_p": 0.1, "rng": 1},
}
ALLOWED = 1e-5  # error of the rows that are checked, relative to the largest element
LENGTHS = (4_096, 16_384)
LINEAR = 1.25  # times as many bytes a token at the longest as at the shortest
Array = NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Work:
    """One call of self-attention in float32 with its gradients, and what it may cost."""

    length: int
    heads: int = 8
    depth: int = 128
    costs: tuple[tuple[str, float], ...] = ()  # at most this times softmax

    def __str__(self) -> str:
        return f"{self.heads}, {self.length}², {self.depth}, with gradients"


WORKS = [
    Work(4096, costs=(("gumbel", 1.6), ("key_dropout", 1.3))),
    Work(1024, heads=12, depth=64, costs=(("gumbel", 2.0), ("key_dropout", 1.5))),
]


def draw(work: Work) -> tuple[Array, Array, Array, Array]:
    """query, key, value, dout, each (1, H, L, D)"""
    rng = np.random.default_rng(7)
    shape = (4, 1, work.heads, work.length, work.depth)
    query, key, value, dout = rng.standard_normal(shape, dtype=np.float32)
    return query, key, value, dout


def call_of(work: Work, name: str) -> Callable[[], tuple[Array, Array]]:
    *inputs, dout = draw(work)

    def call() -> tuple[Array, Array]:
        out, pullback = heedful.attention_vjp(*inputs, **OPTIONS[name])
        return out, pullback(dout).query

    return call


def error(work: Work, name: str) -> float:
    """Of the last query of each head, against its weights times values, and their gradient."""
    _, key, value, dout = (array[0].astype(float) for array in draw(work))
    options, last = OPTIONS[name], work.length - 1
    weights = heedful.attention_weights(*draw(work)[:2], **options, rows=[last])[0, :, 0]
    weights = weights.astype(float)[:, None]
    out, dquery = call_of(work, name)()
    dweights = dout[:, [last]] @ value.swapaxes(1, 2)
    dscores = weights * (dweights - (weights * dweights).sum(-1, keepdims=True))
    dscores /= options.get("gumbel_temperature", 1) * work.depth**0.5
    pairs = (out, weights @ value), (dquery, dscores @ key)
    return max(
        float(abs(found[0, :, [last]].swapaxes(0, 1) - exact).max() / abs(exact).max())
        for found, exact in pairs
    )


class Worker(ScriptWorker):
    """Calls one workload repeatedly."""

    def prepare(self, work: Answer) -> Answer:
        asked = Work(**work)
        self.calls = {name: call_of(asked, name) for name in OPTIONS}
        return {"error": max(error(asked, name) for name in OPTIONS)}

    def memory(self, work: Answer) -> Answer:
        """Beyond inputs and outputs; a short call first starts the threads."""
        asked = Work(**work)
        call_of(dataclasses.replace(asked, length=64), "gumbel")()
        outputs = 4 * 4 * asked.heads * asked.length * asked.depth
        return {"extra": highest(call_of(asked, "gumbel")) - outputs}


def gumbel_lines(harness: Harness) -> Iterator[Line]:
    if "heedful" not in harness.libraries:
        return
    with script_processes(__file__, harness, ("heedful",)) as processes:
        for work in WORKS:
            yield from speed_lines(harness, processes["heedful"], work)
    yield memory_line(harness)


def speed_lines(harness: Harness, process: ScriptProcess, work: Work) -> Iterator[Line]:
    """Check the workload, time what is random and softmax in turns, judge."""
    wrong = process.ask("prepare", work=dataclasses.asdict(work))["error"]
    if wrong > ALLOWED:
        yield Line(str(work), f"error ≤ {ALLOWED}", f"{wrong:.1e}", False)
        return

    def turn(name: str) -> Callable[[float], list[float]]:
        return lambda seconds: process.turn(seconds, name)

    taken = take_turns(harness, {name: turn(name) for name in OPTIONS})
    for name, cost in work.costs:
        ratio = taken.ratio(name, "softmax")
        line = at_least(f"{name} {work}", 1 / cost, ratio, "x softmax", str(taken), forced_level())
        yield line.seen_in(taken.state)


def memory_line(harness: Harness) -> Line:
    """The growth of the memory with the length, each in a fresh process."""
    own = {}
    for length in LENGTHS:
        with script_processes(__file__, harness, ("heedful",)) as processes:
            work = dataclasses.asdict(Work(length, heads=1))
            own[length] = max(processes["heedful"].ask("memory", work=work)["extra"], 1)
    short, long = LENGTHS
    growth = own[long] / own[short]
    return Line(
        f"memory of gumbel {Work(long, heads=1)}, beside {short} tokens",
        f"≤ {LINEAR:g} x as much a token",
        f"{growth * short / long:.2f} x, {own[long] / 1e6:.1f} MB",
        growth <= LINEAR * long / short,
    )


TOPIC = Topic("gumbel", __doc__, other=gumbel_lines)

if __name__ == "__main__":
    main(TOPIC, Worker)
