"""Additive attention, forward and with gradients, beside the same computed by torch's operators."""

import dataclasses
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import heedful
from heedful.benchmark.goal import Line, at_least, forced_level
from heedful.benchmark.harness import Harness
from heedful.benchmark.process import WorkerProcess
from heedful.benchmark.topic import Topic, main

LIBRARIES = ("heedful", "torch")
ALLOWED = 1e-5  # error against float64, relative to the largest number
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
    """Of the first item, against float64; of the score vector's gradient, which all items make,
    nothing: the other gradients depend on the same numbers."""
    query, key, value, weight, dout = (array.astype(float) for array in draw(work))
    query, key, value, dout = query[0], key[0], value[0], dout[0]
    tangent = np.tanh(query[:, None] + key)
    scores = tangent @ weight
    share = np.exp(scores - scores.max(-1, keepdims=True))
    share /= share.sum(-1, keepdims=True)
    exact = [share @ value]
    if work.backward:
        dshare = dout @ value.T
        dscores = share * (dshare - (share * dshare).sum(-1, keepdims=True))
        dsums = dscores[..., None] * weight * (1 - tangent**2)
        exact += [dsums.sum(1), dsums.sum(0), share.T @ dout]
    return max(
        float(abs(result[0] - right).max() / abs(right).max())
        for result, right in zip(found, exact, strict=False)
    )


def own_call(work: Work, threads: int) -> Callable[[], Results]:
    heedful.set_num_threads(threads)
    *heads, weight, dout = (array[:, None] if array.ndim > 1 else array for array in draw(work))

    def forward() -> Results:
        return (heedful.additive_attention(*heads, weight)[:, 0],)

    def backward() -> Results:
        out, pullback = heedful.additive_attention_vjp(*heads, weight)
        found = pullback(dout)
        return (out[:, 0], *(one[:, 0] for one in found[:3]), found.weight)

    return backward if work.backward else forward


def torch_call(work: Work, threads: int) -> Callable[[], Results]:
    import torch

    torch.set_num_threads(threads)
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


def serve(library: str, threads: int) -> None:
    """The worker's side: commands come in as lines of JSON, answers go out."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not come between the answers

    def answer(**fields: Any) -> None:
        channel.write(json.dumps(fields) + "\n")
        channel.flush()

    answer(version="")
    call: Callable[[], Results] | None = None
    for line in iter(sys.stdin.readline, ""):
        command = json.loads(line)
        if command["do"] == "prepare":
            fields = command["work"]
            work = Work(**{**fields, "sizes": tuple(fields["sizes"])})
            call = (own_call if library == "heedful" else torch_call)(work, threads)
            answer(error=error(work, call()))
        elif call is not None:
            call()  # wakes the threads
            times: list[float] = []
            while not times or sum(times) < command["seconds"]:
                start = time.perf_counter()
                call()
                times.append(time.perf_counter() - start)
            time.sleep(0.25)  # until its threads do not spin any more
            answer(times=times)


def additive_lines(harness: Harness) -> Iterator[Line]:
    workers: dict[str, WorkerProcess] = {}
    try:
        for name in LIBRARIES:
            if name in harness.libraries:
                program = (str(Path(__file__)), "--worker")
                workers[name] = WorkerProcess(name, harness.threads, program)
        for work in WORKS:
            yield line_of(harness, workers, work)
    finally:
        for worker in workers.values():
            worker.close()


def line_of(harness: Harness, workers: dict[str, WorkerProcess], work: Work) -> Line:
    """Check the work in both libraries, let them take turns, judge."""
    turns: dict[str, list[float]] = {}
    for name, worker in workers.items():
        wrong = worker.ask("prepare", work=dataclasses.asdict(work))["error"]
        if wrong <= ALLOWED:
            turns[name] = []
        elif name == "heedful":
            return Line(str(work), f"error ≤ {ALLOWED}", f"{wrong:.1e}", False)
    for _ in range(harness.rounds):
        for name in turns:
            times = workers[name].ask("turn", seconds=harness.seconds)["times"]
            turns[name].append(statistics.median(times))
    medians = {name: statistics.median(times) for name, times in turns.items()}
    shown = ", ".join(f"{name} {1e3 * seconds:.3g} ms" for name, seconds in medians.items())
    ratio = None
    if len(turns) == len(LIBRARIES):
        pairs = zip(turns["torch"], turns["heedful"], strict=True)
        ratio = statistics.median(slow / fast for slow, fast in pairs)
    reason = forced_level() or ("" if ratio else "torch was not measured")
    return at_least(str(work), work.ratio, ratio, "x torch", shown, reason)


TOPIC = Topic("additive", __doc__, other=additive_lines)

if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        serve(sys.argv[2], int(sys.argv[3]))
    else:
        main(TOPIC)
