"""One Attention node of ONNX: onnx's reference evaluator with and without heedful, onnxruntime.

All take turns in one process, each checked first against float64; a ratio is the median over the
rounds. With --threads 1 it is of processor time: give NumPy's OpenBLAS one thread, too, by
OPENBLAS_NUM_THREADS=1.
"""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

import heedful
from heedful.benchmark.goal import Line
from heedful.benchmark.harness import Harness
from heedful.benchmark.topic import Topic, main
from heedful.benchmark.turns import clock_of, table, take_turns, times_as_fast

# (B, H, Hkv, Lq, Lk, D), and how many times as fast as onnx's evaluator and onnxruntime at least
CASES = {
    "causal": ((1, 12, 12, 512, 512, 64), 5.0, 1.5),
    "grouped heads": ((1, 32, 8, 128, 1024, 128), 3.0, 1.0),
    "tiny": ((1, 1, 1, 4, 4, 8), 1.0, None),
}
ALLOWED = 1e-5  # error relative to the largest element
EVALUATOR, OWN, RUNTIME = "onnx's evaluator", "the evaluator with heedful", "onnxruntime"
Array = NDArray[Any]


def model_of(arrays: dict[str, Array], causal: bool) -> Any:
    from onnx import TensorProto, helper

    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape)
        for name, array in arrays.items()
    ]
    output = helper.make_tensor_value_info("Y", TensorProto.FLOAT, arrays["Q"].shape)
    node = helper.make_node("Attention", list(arrays), ["Y"], is_causal=int(causal))
    graph = helper.make_graph([node], "attention", inputs, [output])
    domains = [helper.make_opsetid("", 23)]
    return helper.make_model(graph, opset_imports=domains, ir_version=11)


def runtime(model: Any, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # its threads would otherwise spin while others have their turn
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers = ["CPUExecutionProvider"]
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=providers)


def onnx_lines(harness: Harness) -> Iterator[Line]:
    if find_spec("onnx") is None:
        yield Line("an Attention node", "faster", "", None, reason="onnx is not installed")
        return
    from onnx.reference import ReferenceEvaluator

    from heedful.integrations.onnx import Attention

    rng = np.random.default_rng(0)
    for name, ((batch, heads, kv_heads, rows, keys, depth), ahead, goal) in CASES.items():
        shapes = {"Q": (heads, rows), "K": (kv_heads, keys), "V": (kv_heads, keys)}
        arrays = {
            one: rng.standard_normal((batch, *shape, depth), dtype=np.float32)
            for one, shape in shapes.items()
        }
        causal = rows == keys
        model = model_of(arrays, causal)
        sessions = {
            EVALUATOR: ReferenceEvaluator(model),
            OWN: ReferenceEvaluator(model, new_ops=[Attention]),
        }
        if find_spec("onnxruntime") is not None:
            sessions[RUNTIME] = runtime(model, harness.threads)
        wide = (array.astype(np.float64) for array in arrays.values())
        exact = heedful.attention(*wide, causal=causal)
        calls: dict[str, Callable[[], Any]] = {}
        for one, session in sessions.items():
            calls[one] = lambda session=session, arrays=arrays: session.run(None, arrays)
            error = float(np.abs(calls[one]()[0] - exact).max() / np.abs(exact).max())
            if not error < ALLOWED:
                yield Line(f"{name}, {one}", f"error < {ALLOWED:g}", f"{error:.1e}", False)
                return
        with heedful.num_threads(harness.threads):
            times = take_turns(calls, harness.rounds, harness.seconds, clock_of(harness.threads))
        print(f"  {name}: query {arrays['Q'].shape}, key {arrays['K'].shape}\n{table(times)}")
        yield times_as_fast(f"{name}, {OWN}", times, OWN, EVALUATOR, ahead)
        if RUNTIME in times and goal is not None:
            yield times_as_fast(f"{name}, {OWN}", times, OWN, RUNTIME, goal)


TOPIC = Topic("onnx", __doc__, other=onnx_lines)

if __name__ == "__main__":
    main(TOPIC)
