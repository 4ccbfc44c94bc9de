"""Attention to the k highest-scoring keys, compared with dense attention, torch, and its memory."""

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

LIBRARIES = ("heedful", "torch")
ALLOWED = 1e-5  # error against float64, relative to the largest element
LENGTHS = (8_192, 32_768)
LINEAR = 1.25  # times as many bytes a token at the longest as at the shortest
Array = NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Work:
    """One call of self-attention in float32, and how fast it must be."""

    length: int
    top_k: int
    heads: int = 8
    depth: int = 64
    backward: bool = False
    dense: float | None = None  # at least as fast as this times dense heedful
    torch: float | None = None  # ... torch's topk, mask and attention

    def __str__(self) -> str:
        shown = f"{self.heads}, {self.length}², {self.depth}, {self.top_k} keys"
        return shown + (", with gradients" if self.backward else "")


WORKS = [
    Work(4096, 64, dense=1.0, torch=4.0),
    Work(4096, 64, backward=True, dense=1.0, torch=4.0),
    Work(4096, 16, dense=1.0, torch=4.0),
    Work(4096, 256, torch=3.0),
    Work(1024, 32, torch=3.0),
]


def draw(work: Work) -> tuple[Array, Array, Array, Array]:
    """query, key, value, dout, each (1, H, L, D)"""
    rng = np.random.default_rng(7)
    shape = (4, 1, work.heads, work.length, work.depth)
    query, key, value, dout = rng.standard_normal(shape, dtype=np.float32)
    return query, key, value, dout


def error(work: Work, out: Array, dquery: Array | None) -> float:
    """Of some rows of each head, against float64; where rounding may decide which key is the last,
    the row is left out."""
    query, key, value, dout = (array[0].astype(float) for array in draw(work))
    rows = np.linspace(0, work.length - 1, 8).astype(int)
    scores = query[:, rows] @ key.swapaxes(1, 2) / work.depth**0.5
    order = np.argsort(-scores, axis=-1, kind="stable")
    last = np.take_along_axis(scores, order[..., work.top_k - 1 : work.top_k + 1], -1)
    clear = last[..., 0] - last[..., 1] > 1e-5
    scores[scores < last[..., :1]] = -np.inf
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    pairs = [(out, weights @ value)]
    if dquery is not None:
        dweights = dout[:, rows] @ value.swapaxes(1, 2)
        dscores = weights * (dweights - (weights * dweights).sum(-1, keepdims=True))
        pairs.append((dquery, dscores @ key / work.depth**0.5))
    return max(
        float(abs(found[0, :, rows].swapaxes(0, 1) - exact)[clear].max() / abs(exact).max())
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


def torch_call(work: Work) -> Callable[[], tuple[Array, Array | None]]:
    import torch

    *inputs, dout = map(torch.from_numpy, draw(work))
    for tensor in inputs:
        tensor.requires_grad_(work.backward)

    def call() -> tuple[Array, Array | None]:
        query, key, value = inputs
        with torch.no_grad():
            scores = query @ key.mT  # a scale does not change their order
            chosen = scores.topk(work.top_k, sorted=False).indices
            mask = torch.zeros_like(scores, dtype=torch.bool).scatter_(-1, chosen, True)
        out = torch.nn.functional.scaled_dot_product_attention(query, key, value, mask)
        if not work.backward:
            return out.numpy(), None
        dquery = torch.autograd.grad(out, inputs, dout)[0]
        return out.detach().numpy(), dquery.numpy()

    return call


class Worker(ScriptWorker):
    """Calls one workload repeatedly."""

    def prepare(self, work: Answer) -> Answer:
        asked = Work(**work)
        if self.library == "torch":
            self.calls = {"": torch_call(asked)}
        else:
            self.calls = {"": own_call(asked, top_k=asked.top_k), "dense": own_call(asked)}
        return {"error": error(asked, *self.calls[""]())}

    def memory(self, work: Answer) -> Answer:
        """Beyond inputs and outputs; a short call first starts the threads."""
        asked = Work(**work)
        own_call(dataclasses.replace(asked, length=2 * asked.top_k), top_k=asked.top_k)()
        call = own_call(asked, top_k=asked.top_k)
        outputs = 4 * asked.heads * asked.length * asked.depth * (4 if asked.backward else 1)
        return {"extra": highest(call) - outputs}


def top_k_lines(harness: Harness) -> Iterator[Line]:
    with script_processes(__file__, harness, LIBRARIES) as processes:
        for work in WORKS:
            yield from speed_lines(harness, processes, work)
    if "heedful" in harness.libraries:
        for backward in (False, True):
            yield memory_line(harness, backward)


def speed_lines(
    harness: Harness, processes: dict[str, ScriptProcess], work: Work
) -> Iterator[Line]:
    """Check the workload in both libraries, time them in turns, judge."""
    turns: dict[str, Callable[[float], list[float]]] = {}
    for name, process in processes.items():
        wrong = process.ask("prepare", work=dataclasses.asdict(work))["error"]
        if wrong <= ALLOWED:
            turns[name] = process.turn
        elif name == "heedful":
            yield Line(str(work), f"error ≤ {ALLOWED}", f"{wrong:.1e}", False)
            return
    if "heedful" in turns:
        own = processes["heedful"]
        turns["dense"] = lambda seconds: own.turn(seconds, "dense")
    taken = take_turns(harness, turns)
    for wanted, other in ((work.dense, "dense"), (work.torch, "torch")):
        if wanted is not None:
            ratio = taken.ratio("heedful", other)
            line = at_least(str(work), wanted, ratio, f"x {other}", str(taken), forced_level())
            yield line.seen_in(taken.state)


def memory_line(harness: Harness, backward: bool) -> Line:
    """The growth of the memory with the length, each in a fresh process."""
    own = {}
    for length in LENGTHS:
        with script_processes(__file__, harness, ("heedful",)) as processes:
            work = dataclasses.asdict(Work(length, 64, heads=1, backward=backward))
            own[length] = max(processes["heedful"].ask("memory", work=work)["extra"], 1)
    short, long = LENGTHS
    growth = own[long] / own[short]
    return Line(
        f"memory of {Work(long, 64, heads=1, backward=backward)}, beside {short} tokens",
        f"≤ {LINEAR:g} x as much a token",
        f"{growth * short / long:.2f} x, {own[long] / 1e6:.1f} MB",
        growth <= LINEAR * long / short,
    )


TOPIC = Topic("top_k", __doc__, other=top_k_lines)

if __name__ == "__main__":
    main(TOPIC, Worker)
