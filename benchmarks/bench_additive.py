"""Additive attention, forward and with gradients, compared with the same in torch's operators."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

import heedful
from heedful.benchmark.channel import Answer
from heedful.benchmark.goal import Line, at_least, forced_level
from heedful.benchmark.harness import Harness
from heedful.benchmark.script import ScriptProcess, ScriptWorker, script_processes, take_turns
from heedful.benchmark.topic import Topic, main

LIBRARIES = ("heedful", "torch")
ALLOWED = 1e-5  # error against float64, relative to the largest element
Array = NDArray[Any]
Results = tuple[Array, ...]  # out, or out and the gradients of query, key, value and weight


@dataclasses.dataclass(frozen=True)
class Work:
    """Sizes of one call: query (B, Lq, E), key (B, Lk, E), value (B, Lk, Dv); the goal."""

    name: str
    sizes: tuple[int, int, int, int, int]  # B, Lq, Lk, E, Dv
    backward: bool
    ratio: float  # to torch

    def __str__(self) -> str:
        batch, queries, keys, width, depth = self.sizes
        shown = f"{self.name}: {batch}, {queries}×{keys}, {width}, {depth}"
        return shown + (", with gradients" if self.backward else "")


WORKS = [
    Work("alignment", (8, 64, 512, 128, 128), False, 5.0),
    Work("alignment", (8, 64, 512, 128, 128), True, 5.0),
    Work("translation", (64, 23, 29, 256, 512), False, 3.0),
    Work("translation", (64, 23, 29, 256, 512), True, 3.0),
    Work("one_long", (1, 1000, 1000, 64, 64), False, 5.0),
    Work("one_long", (1, 1000, 1000, 64, 64), True, 5.0),
    Work("decoder_step", (32, 1, 512, 256, 256), False, 2.0),
    Work("decoder_step", (32, 1, 512, 256, 256), True, 1.0),
]


def draw(work: Work) -> tuple[Array, ...]:
    """query, key, value, weight, dout"""
    rng = np.random.default_rng(7)
    batch, queries, keys, width, depth = work.sizes
    shapes = (
        (batch, queries, width), (batch, keys, width), (batch, keys, depth), (width,),
        (batch, queries, depth),
    )  # fmt: skip
    return tuple(rng.standard_normal(shape, dtype=np.float32) for shape in shapes)


def error(work: Work, found: Results) -> float:
    """Of the first item, against float64. The score vector's gradient, a sum over all items, is
    not checked: the other gradients depend on the same intermediate values."""
    query, key, value, weight, dout = (array.astype(float) for array in draw(work))
    query, key, value, dout = query[0], key[0], value[0], dout[0]
    tangent = np.tanh(query[:, None] + key)
    scores = tangent @ weight
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    exact = [weights @ value]
    if work.backward:
        dweights = dout @ value.T
        dscores = weights * (dweights - (weights * dweights).sum(-1, keepdims=True))
        dsums = dscores[..., None] * weight * (1 - tangent**2)
        exact += [dsums.sum(1), dsums.sum(0), weights.T @ dout]
    return max(
        float(abs(result[0] - right).max() / abs(right).max())
        for result, right in zip(found, exact, strict=False)
    )


def own_call(work: Work) -> Callable[[], Results]:
    *heads, weight, dout = (array[:, None] if array.ndim > 1 else array for array in draw(work))

    def forward() -> Results:
        return (heedful.additive_attention(*heads, weight)[:, 0],)

    def backward() -> Results:
        out, pullback = heedful.additive_attention_vjp(*heads, weight)
        found = pullback(dout)
        return (out[:, 0], *(one[:, 0] for one in found[:3]), found.weight)

    return backward if work.backward else forward


def torch_call(work: Work) -> Callable[[], Results]:
    import torch

    *inputs, dout = (torch.from_numpy(array) for array in draw(work))
    for tensor in inputs:
        tensor.requires_grad_(work.backward)

    def forward() -> Results:
        query, key, value, weight = inputs
        scores = torch.tanh(query[:, :, None] + key[:, None]) @ weight
        out = torch.softmax(scores, -1) @ value
        if not work.backward:
            return (out.numpy(),)
        gradients = torch.autograd.grad(out, inputs, dout)
        return (out.detach().numpy(), *(one.numpy() for one in gradients))

    return forward


class Worker(ScriptWorker):
    """Calls one workload repeatedly."""

    def prepare(self, work: Answer) -> Answer:
        asked = Work(**{**work, "sizes": tuple(work["sizes"])})
        call = (own_call if self.library == "heedful" else torch_call)(asked)
        self.calls = {"": call}
        return {"error": error(asked, call())}


def additive_lines(harness: Harness) -> Iterator[Line]:
    with script_processes(__file__, harness, LIBRARIES) as processes:
        for work in WORKS:
            yield line_of(harness, processes, work)


def line_of(harness: Harness, processes: dict[str, ScriptProcess], work: Work) -> Line:
    """Check the workload in both libraries, time them in turns, judge."""
    right = {}
    for name, process in processes.items():
        wrong = process.ask("prepare", work=dataclasses.asdict(work))["error"]
        if wrong <= ALLOWED:
            right[name] = process.turn
        elif name == "heedful":
            return Line(str(work), f"error ≤ {ALLOWED}", f"{wrong:.1e}", False)
    turns = take_turns(harness, right)
    ratio = turns.ratio("heedful", "torch")
    line = at_least(str(work), work.ratio, ratio, "x torch", str(turns), forced_level())
    return line.seen_in(turns.state)


TOPIC = Topic("additive", __doc__, other=additive_lines)

if __name__ == "__main__":
    main(TOPIC, Worker)
