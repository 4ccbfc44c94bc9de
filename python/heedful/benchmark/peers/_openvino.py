"""OpenVINO: a graph of its ScaledDotProductAttention operator, compiled for low latency."""

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful.benchmark.peers._library import Unsupported, Way, refuse_ragged
from heedful.benchmark.shapes import Case, Inputs, numpy_dtype

# with f16 it computes in bfloat16 where the processor supports that: 18 times the error
PRECISION = {"float32": "f32", "float16": "f32", "bfloat16": "bf16"}


class OpenVino:
    name = "openvino"

    def __init__(self, threads: int) -> None:
        self._openvino: Any = import_module("openvino")
        self._ops: Any = import_module("openvino.opset13")
        self._threads = threads
        self.version = str(self._openvino.__version__).split("-")[0]

    def ways(self, case: Case, inputs: Inputs) -> list[Way]:
        refuse_ragged(case)
        if case.backward:
            raise Unsupported("no gradients")
        if case.dropout_p:
            raise Unsupported("no dropout")
        if case.dtype not in PRECISION:
            raise Unsupported(f"no {case.dtype}")
        mask = inputs.seen if inputs.bias is None else inputs.bias
        if inputs.bias is not None and inputs.seen is not None:
            raise Unsupported("no boolean mask beside a bias")
        if mask is not None and case.shape.causal:
            raise Unsupported("no mask beside causal")
        heads = [inputs.query, inputs.key, inputs.value]
        if case.layout == "blhd":  # its tensors have no strides: the graph transposes them
            heads = [array.swapaxes(1, 2) for array in heads]
        arrays = [*heads, *([] if mask is None else [mask])]
        request = self._compile(case, arrays).create_infer_request()
        tensors = [self._tensor(array) for array in arrays]
        for place, tensor in enumerate(tensors):
            request.set_input_tensor(place, tensor)

        def run() -> Any:
            request.infer()  # its inputs are set, its output is not copied
            return request.get_output_tensor(0)

        def read(result: Any) -> list[NDArray[Any]]:
            data = result.data
            if case.dtype == "bfloat16":  # OpenVINO returns these bits as float16
                data = data.view(numpy_dtype("bfloat16"))
            return [data.astype(np.float32)]

        # the tensors share the arrays' memory without keeping it alive
        return [Way("ScaledDotProductAttention", run, read, held=(arrays, tensors))]

    def _tensor(self, array: NDArray[Any]) -> Any:
        if array.dtype.name == "bfloat16":
            kind = self._openvino.Type.bf16
            return self._openvino.Tensor(array.view(np.uint16), array.shape, kind)
        return self._openvino.Tensor(np.ascontiguousarray(array), shared_memory=True)

    def _compile(self, case: Case, arrays: list[NDArray[Any]]) -> Any:
        ops, shape = self._ops, case.shape
        parameters = [ops.parameter(list(a.shape), self._type(a)) for a in arrays]
        query, key, value = parameters[:3]
        if case.layout == "blhd":
            query, key, value = (ops.transpose(one, [0, 2, 1, 3]) for one in (query, key, value))
        if shape.Hkv != shape.H:
            key, value = (self._repeat(heads, case) for heads in (key, value))
        node = ops.scaled_dot_product_attention(
            query, key, value, *parameters[3:], causal=shape.causal
        )
        model = self._openvino.Model([node], parameters, "attention")
        settings = {
            "INFERENCE_NUM_THREADS": self._threads,
            "INFERENCE_PRECISION_HINT": PRECISION[case.dtype],
            "PERFORMANCE_HINT": "LATENCY",
        }
        return self._openvino.Core().compile_model(model, "CPU", settings)

    def _type(self, array: NDArray[Any]) -> Any:
        kinds = {"float32": "f32", "float16": "f16", "bfloat16": "bf16", "bool": "boolean"}
        return getattr(self._openvino.Type, kinds[array.dtype.name])

    def _repeat(self, heads: Any, case: Case) -> Any:
        """Each key/value head once for every query head of its group."""
        ops, shape = self._ops, case.shape
        group = shape.H // shape.Hkv
        sizes = [shape.B, shape.Hkv, group, shape.Lk, shape.D]
        wide = ops.broadcast(ops.unsqueeze(heads, [2]), sizes, broadcast_spec="BIDIRECTIONAL")
        return ops.reshape(wide, [shape.B, shape.H, shape.Lk, shape.D], special_zero=False)


def create(threads: int) -> OpenVino:
    return OpenVino(threads)
