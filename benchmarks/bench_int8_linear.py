"""Dense layers of int8: own float32, and dynamic quantisation in torch and onnxruntime.

HEEDFUL_INT8=bytes HEEDFUL_ISA=v3 measures what processors without VNNI compute.
"""

import dataclasses
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful._core import native
from heedful.benchmark.channel import Answer
from heedful.benchmark.goal import Line, at_least
from heedful.benchmark.harness import Harness
from heedful.benchmark.script import ScriptProcess, ScriptWorker, script_processes, take_turns
from heedful.benchmark.topic import Topic, main
from heedful.layers import Linear

LIBRARIES = ("heedful", "torch", "onnxruntime")
# Error against float64, relative to the largest element. Others quantise all rows of x by one
# range, or to 7 bits.
ALLOWED = {"heedful": 0.02, "torch": 0.05, "onnxruntime": 0.05}
Array = NDArray[np.float32]
Call = Callable[[], Array]


@dataclasses.dataclass(frozen=True)
class Product:
    """x (rows, inputs), W (outputs, inputs), and the goal: how much faster than own float32."""

    rows: int
    inputs: int
    outputs: int
    with_vnni: float | None = None
    without_vnni: float | None = None

    def __str__(self) -> str:
        return f"int8 ({self.rows}, {self.inputs})·({self.inputs}, {self.outputs})"

    @property
    def goal(self) -> float | None:
        slow = native.show_build()["int8"] in ("bytes", "widened")
        return self.without_vnni if slow else self.with_vnni


PRODUCTS = [
    Product(128, 768, 3072, 1.5, 1.15),
    Product(128, 3072, 768),
    Product(128, 768, 768),
    Product(4096, 768, 3072),
    *(Product(rows, 768, 3072) for rows in (1, 8, 32)),
    Product(128, 384, 1536),
]


class Inputs:
    """Arrays of one product, and the error of its result in some rows."""

    def __init__(self, product: Product) -> None:
        rng = np.random.default_rng(7)
        self.x = rng.standard_normal((product.rows, product.inputs), dtype=np.float32)
        self.weight = rng.standard_normal((product.outputs, product.inputs), dtype=np.float32)
        self.bias = rng.standard_normal(product.outputs, dtype=np.float32)

    def error(self, result: Array) -> float:
        """Of eight rows, against float64."""
        rows = np.linspace(0, len(result) - 1, 8).astype(int)
        exact = self.x[rows].astype(float) @ self.weight.T.astype(float) + self.bias
        return float(abs(result[rows] - exact).max() / abs(exact).max())


def own_calls(inputs: Inputs) -> dict[str, Call]:
    layers = [Linear(*inputs.weight.shape[::-1], rng=0) for _ in range(2)]
    for layer in layers:
        layer.weight, layer.bias = inputs.weight, inputs.bias
    layers[1].quantize()
    return {
        name: partial(layer, inputs.x)
        for name, layer in zip(("float32", "int8"), layers, strict=True)
    }


def torch_calls(inputs: Inputs) -> dict[str, Call]:
    import torch

    torch.set_grad_enabled(False)
    linear = torch.nn.Linear(*inputs.weight.shape[::-1])
    linear.weight.copy_(torch.from_numpy(inputs.weight))
    linear.bias.copy_(torch.from_numpy(inputs.bias))
    x, calls = torch.from_numpy(inputs.x), {}
    for engine in torch.backends.quantized.supported_engines:
        if engine not in ("x86", "onednn", "fbgemm"):
            continue
        torch.backends.quantized.engine = engine
        with warnings.catch_warnings():  # deprecated, but there is no other for this processor
            warnings.simplefilter("ignore")
            model = torch.ao.quantization.quantize_dynamic(
                torch.nn.Sequential(linear), {torch.nn.Linear}, torch.qint8
            )

        def call(model: Any = model, engine: str = engine) -> Array:
            torch.backends.quantized.engine = engine
            result: Array = model(x).numpy()
            return result

        calls[engine] = call
    return calls


def onnxruntime_calls(inputs: Inputs, threads: int) -> dict[str, Call]:
    import onnx
    import onnxruntime
    from onnxruntime.quantization import QuantType, quantize_dynamic

    helper, real = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("MatMul", ["x", "weight"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["y"]),
    ]
    constants = [
        onnx.numpy_helper.from_array(np.ascontiguousarray(inputs.weight.T), "weight"),
        onnx.numpy_helper.from_array(inputs.bias, "bias"),
    ]
    rows, outputs = len(inputs.x), len(inputs.bias)
    graph = helper.make_graph(
        nodes, "linear",
        [helper.make_tensor_value_info("x", real, inputs.x.shape)],
        [helper.make_tensor_value_info("y", real, (rows, outputs))], constants,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(model, Path(folder, "float32.onnx"))
        quantize_dynamic(
            Path(folder, "float32.onnx"), Path(folder, "int8.onnx"), per_channel=True,
            weight_type=QuantType.QInt8,
            # to 7 bits where sums of two products saturate: with 8 its results are too inexact
            reduce_range=native.show_build()["int8"] in ("bytes", "widened"),
        )  # fmt: skip
        session = onnxruntime.InferenceSession(
            str(Path(folder, "int8.onnx")), options, providers=["CPUExecutionProvider"]
        )
    return {"": lambda: session.run(None, {"x": inputs.x})[0]}


class Worker(ScriptWorker):
    """Computes one product repeatedly, in the ways of a library."""

    def prepare(self, product: Answer) -> Answer:
        inputs = Inputs(Product(**product))
        try:
            if self.library == "heedful":
                self.calls = dict(own_calls(inputs))
            elif self.library == "torch":
                self.calls = dict(torch_calls(inputs))
            else:
                self.calls = dict(onnxruntime_calls(inputs, self.threads))
        except ImportError as error:
            return {"missing": str(error)}
        return {"errors": {name: inputs.error(call()) for name, call in self.calls.items()}}

    def __init__(self, library: str, threads: int) -> None:
        super().__init__(library, threads)
        self.threads = threads


def int8_lines(harness: Harness) -> Iterator[Line]:
    with script_processes(__file__, harness, LIBRARIES) as processes:
        for product in PRODUCTS:
            yield from lines_of(harness, processes, product)


def lines_of(
    harness: Harness, processes: dict[str, ScriptProcess], product: Product
) -> Iterator[Line]:
    """Check the product in every library, time them in turns, judge."""
    ways: dict[str, Callable[[float], list[float]]] = {}
    for name, process in processes.items():
        answer = process.ask("prepare", product=dataclasses.asdict(product))
        for way, error in answer.get("errors", {}).items():
            if error <= ALLOWED[name]:
                ways[f"{name} {way}".strip()] = partial(process.turn, way=way)
            elif name == "heedful":
                yield Line(str(product), f"error ≤ {ALLOWED[name]}", f"{error:.1e}", False)
                return
    own = "heedful int8"
    if own not in ways:
        return
    turns = take_turns(harness, ways)
    limit = f"{native.show_build()['int8']}; {turns}"
    ratio = turns.ratio(own, "heedful float32")
    reason = "" if product.goal else "no goal"
    line = at_least(str(product), product.goal or 1.0, ratio, "x own float32", limit, reason)
    yield line.seen_in(turns.state)
    for peer in ("torch", "onnxruntime"):
        others = [name for name in ways if name.startswith(peer)]
        best = min(others, key=turns.seconds, default=peer)
        line = at_least(str(product), 1.0, turns.ratio(own, best), f"x {best}")
        yield line.seen_in(turns.state)


TOPIC = Topic("int8", __doc__, other=int8_lines)

if __name__ == "__main__":
    main(TOPIC, Worker)
