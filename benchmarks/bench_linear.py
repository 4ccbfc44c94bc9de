"""Dense layers: y = x Wᵀ + b with and without GELU, and both gradients, beside torch and NumPy."""

import dataclasses
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from math import erf, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import heedful
from heedful._core import native
from heedful.benchmark.goal import Line, at_least, forced_level
from heedful.benchmark.harness import Harness
from heedful.benchmark.process import WorkerProcess
from heedful.benchmark.topic import Topic, main

LIBRARIES = ("heedful", "torch", "numpy")
ALLOWED = 1e-5  # error against float64, relative to the largest number
Array = NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Product:
    """One product of a layer: what is computed, x (rows, inputs), W (outputs, inputs), goals."""

    kind: str  # forward, gelu, gradient_input or gradient_weight
    rows: int
    inputs: int
    outputs: int
    ratio: float  # to torch
    share: float | None = None  # of the FMA peak

    @property
    def operations(self) -> float:
        return 2.0 * self.rows * self.inputs * self.outputs

    def __str__(self) -> str:
        return f"{self.kind} ({self.rows}, {self.inputs})·({self.inputs}, {self.outputs})"


WIDE, NARROW = (768, 3072), (3072, 768)
KINDS = ("forward", "gelu", "gradient_input", "gradient_weight")
PRODUCTS = [
    *(Product(kind, 4096, *WIDE, 1.0, 0.85) for kind in KINDS),
    Product("forward", 4096, *NARROW, 1.0),
    *(Product("forward", 128, *sizes, 1.5) for sizes in (WIDE, NARROW, (768, 768))),
    Product("gelu", 128, *WIDE, 1.5),
    *(Product(kind, 4096, 384, 1536, 1.0) for kind in KINDS[2:]),
    *(Product("forward", rows, *WIDE, 1.0) for rows in (1, 4, 32)),
]


class Inputs:
    """Arrays of one product, and what its result must be in some places."""

    def __init__(self, product: Product) -> None:
        rng = np.random.default_rng(7)

        def draw(*shape: int) -> Array:
            return rng.standard_normal(shape, dtype=np.float32)

        self.product = product
        self.x, self.weight = (
            draw(product.rows, product.inputs),
            draw(product.outputs, product.inputs),
        )
        self.bias, self.dy = draw(product.outputs), draw(product.rows, product.outputs)

    def error(self, result: Array) -> float:
        """Of eight rows, against float64."""
        rows = np.linspace(0, len(result) - 1, 8).astype(int)
        x, weight, dy = (array.astype(float) for array in (self.x, self.weight, self.dy))
        kind = self.product.kind
        if kind == "gradient_input":
            exact = dy[rows] @ weight
        elif kind == "gradient_weight":
            exact = dy.T[rows] @ x
        else:
            exact = x[rows] @ weight.T + self.bias
            if kind == "gelu":
                exact *= np.vectorize(lambda z: (1 + erf(z / sqrt(2))) / 2)(exact)
        return float(abs(result[rows] - exact).max() / abs(exact).max())


def call_of(library: str, threads: int, inputs: Inputs) -> Callable[[], Array] | None:
    """One call of the library; None for what it has not."""
    kind, x, weight, bias, dy = (
        inputs.product.kind, inputs.x, inputs.weight, inputs.bias, inputs.dy
    )  # fmt: skip
    if library == "heedful":
        heedful.set_num_threads(threads)
        return own_call(kind, x, weight, bias, dy)
    if library == "torch":
        return torch_call(threads, kind, x, weight, bias, dy)
    y, dx, dweight = np.empty_like(dy), np.empty_like(x), np.zeros_like(weight)
    dbias = np.zeros_like(bias)

    def add_gradient() -> Array:
        np.add(dweight, dy.T @ x, out=dweight)
        np.add(dbias, dy.sum(0), out=dbias)
        return dweight

    return {
        "forward": lambda: np.add(np.matmul(x, weight.T, out=y), bias, out=y),
        "gradient_input": lambda: np.matmul(dy, weight, out=dx),
        "gradient_weight": add_gradient,
    }.get(kind)


def own_call(kind: str, x: Array, weight: Array, bias: Array, dy: Array) -> Callable[[], Array]:
    y, dx, dweight = np.empty_like(dy), np.empty_like(x), np.zeros_like(weight)
    dbias = np.zeros_like(bias)

    def forward() -> Array:
        name = "gelu" if kind == "gelu" else ""
        native.linear_forward(x, weight, bias, None, name, None, y)
        return y

    def gradient_input() -> Array:
        native.linear_gradient_input(dy, weight, dx, False)
        return dx

    def gradient_weight() -> Array:
        native.linear_gradient_weight(dy, x, dweight, dbias)
        return dweight

    return {"gradient_input": gradient_input, "gradient_weight": gradient_weight}.get(kind, forward)


def torch_call(
    threads: int, kind: str, x: Array, weight: Array, bias: Array, dy: Array
) -> Callable[[], Array]:
    import torch

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    linear, gelu = torch.nn.functional.linear, torch.nn.functional.gelu
    tx, tweight, tbias, tdy = map(torch.from_numpy, (x, weight, bias, dy))
    dweight, dbias, dx = (torch.zeros_like(one) for one in (tweight, tbias, tx))

    def add_gradient() -> Any:
        dweight.addmm_(tdy.T, tx)
        dbias.add_(tdy.sum(0))
        return dweight

    calls: dict[str, Callable[[], Any]] = {
        "forward": lambda: linear(tx, tweight, tbias),
        "gelu": lambda: gelu(linear(tx, tweight, tbias)),
        "gradient_input": lambda: torch.mm(tdy, tweight, out=dx),
        "gradient_weight": add_gradient,
    }
    return lambda: calls[kind]().numpy()


def work(library: str, threads: int) -> None:
    """The worker's side: commands come in as lines of JSON, answers go out."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not come between the answers

    def answer(**fields: Any) -> None:
        channel.write(json.dumps(fields) + "\n")
        channel.flush()

    answer(version="")
    call: Callable[[], Array] | None = None
    for line in iter(sys.stdin.readline, ""):
        command = json.loads(line)
        if command["do"] == "prepare":
            inputs = Inputs(Product(**command["product"]))
            call = call_of(library, threads, inputs)
            answer(error=None if call is None else inputs.error(call()))
        elif call is not None:
            call()  # wakes the threads
            times: list[float] = []
            while not times or sum(times) < command["seconds"]:
                start = time.perf_counter()
                call()
                times.append(time.perf_counter() - start)
            time.sleep(0.25)  # until its threads do not spin any more
            answer(times=times)


def linear_lines(harness: Harness) -> Iterator[Line]:
    workers: dict[str, WorkerProcess] = {}
    try:
        for name in LIBRARIES:
            if name in harness.libraries:
                program = (str(Path(__file__)), "--worker")
                workers[name] = WorkerProcess(name, harness.threads, program)
        for product in PRODUCTS:
            yield from lines_of(harness, workers, product)
    finally:
        for worker in workers.values():
            worker.close()


def lines_of(
    harness: Harness, workers: dict[str, WorkerProcess], product: Product
) -> Iterator[Line]:
    """Check the product in every library, let them take turns, judge."""
    right = []
    for name, worker in workers.items():
        error = worker.ask("prepare", product=dataclasses.asdict(product))["error"]
        if error is not None and not error <= ALLOWED:
            if name == "heedful":
                yield Line(str(product), f"error ≤ {ALLOWED}", f"{error:.1e}", False)
                return
        elif error is not None:
            right.append(name)
    turns: dict[str, list[float]] = {name: [] for name in right}
    peaks = []
    for _ in range(harness.rounds):
        peaks.append(harness.peak.gflops(harness.threads))
        for name in right:
            times = workers[name].ask("turn", seconds=harness.seconds)["times"]
            turns[name].append(statistics.median(times))
    if "heedful" not in turns:
        return
    own = statistics.median(turns["heedful"])
    share = product.operations / own * 1e-9 / statistics.median(peaks)
    medians = {name: statistics.median(times) for name, times in turns.items()}
    limit = ", ".join(f"{name} {1e3 * seconds:.3g} ms" for name, seconds in medians.items())
    limit = f"{share:.0%} of the {harness.peak.meaning}; {limit}"
    ratio = None
    if "torch" in turns:
        pairs = zip(turns["torch"], turns["heedful"], strict=True)
        ratio = statistics.median(slow / fast for slow, fast in pairs)
    reason = forced_level() or ("" if ratio else "torch was not measured")
    yield at_least(str(product), product.ratio, ratio, "x torch", limit, reason)
    if product.share is not None:
        yield at_least(str(product), product.share, share, f"of the {harness.peak.meaning}")


TOPIC = Topic("linear", __doc__, other=linear_lines)

if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(sys.argv[2], int(sys.argv[3]))
    else:
        main(TOPIC)
