"""Dense layers: y = x Wᵀ + b with and without GELU, both gradients, and torch and NumPy."""

import dataclasses
from collections.abc import Callable, Iterator
from math import erf, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful._core import native
from heedful.benchmark.channel import Answer
from heedful.benchmark.goal import Line, at_least, forced_level, fraction_line
from heedful.benchmark.harness import Harness
from heedful.benchmark.script import ScriptProcess, ScriptWorker, script_processes, take_turns
from heedful.benchmark.topic import Topic, main

LIBRARIES = ("heedful", "torch", "numpy")
ALLOWED = 1e-5  # error against float64, relative to the largest element
Array = NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Product:
    """One product of a layer: what is computed, x (rows, inputs), W (outputs, inputs), goals."""

    kind: str  # forward, gelu, gradient_input or gradient_weight
    rows: int
    inputs: int
    outputs: int
    ratio: float  # to torch
    fraction: float | None = None  # of the FMA peak

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
    """Arrays of one product, and the error of its result in some rows."""

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


def call_of(library: str, inputs: Inputs) -> Callable[[], Array] | None:
    """One call of the library; None for an operation that it lacks."""
    kind, x, weight, bias, dy = (
        inputs.product.kind, inputs.x, inputs.weight, inputs.bias, inputs.dy
    )  # fmt: skip
    if library == "heedful":
        return own_call(kind, x, weight, bias, dy)
    if library == "torch":
        return torch_call(kind, x, weight, bias, dy)
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


def torch_call(kind: str, x: Array, weight: Array, bias: Array, dy: Array) -> Callable[[], Array]:
    import torch

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


class Worker(ScriptWorker):
    """Computes one product repeatedly."""

    def prepare(self, product: Answer) -> Answer:
        inputs = Inputs(Product(**product))
        call = call_of(self.library, inputs)
        if call is None:
            return {"error": None}
        self.calls = {"": call}
        return {"error": inputs.error(call())}


def linear_lines(harness: Harness) -> Iterator[Line]:
    with script_processes(__file__, harness, LIBRARIES) as processes:
        for product in PRODUCTS:
            yield from lines_of(harness, processes, product)


def lines_of(
    harness: Harness, processes: dict[str, ScriptProcess], product: Product
) -> Iterator[Line]:
    """Check the product in every library, time them in turns, judge."""
    right = {}
    for name, process in processes.items():
        error = process.ask("prepare", product=dataclasses.asdict(product))["error"]
        if error is None:
            continue
        if error <= ALLOWED:
            right[name] = process.turn
        elif name == "heedful":
            yield Line(str(product), f"error ≤ {ALLOWED}", f"{error:.1e}", False)
            return
    if "heedful" not in right:
        return
    turns = take_turns(harness, right)
    fraction, ratio = turns.fraction("heedful", product.operations), turns.ratio("heedful", "torch")
    limit = f"{fraction:.0%} of the {harness.peak.meaning}; {turns}"
    line = at_least(str(product), product.ratio, ratio, "x torch", limit, forced_level())
    yield line.seen_in(turns.state)
    if product.fraction is not None:
        name = harness.peak.meaning
        yield fraction_line(str(product), product.fraction, fraction, name, turns.state)


TOPIC = Topic("linear", __doc__, other=linear_lines)

if __name__ == "__main__":
    main(TOPIC, Worker)
