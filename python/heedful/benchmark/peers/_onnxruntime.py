"""ONNX Runtime: the standard Attention operator and its own MultiHeadAttention."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful.benchmark.peers._library import Unsupported, Way, refuse_ragged
from heedful.benchmark.shapes import Case, Inputs, Shape, default_scale

Array = NDArray[Any]


class OnnxRuntime:
    name = "onnxruntime"

    def __init__(self, threads: int) -> None:
        self._runtime: Any = import_module("onnxruntime")
        self._onnx: Any = import_module("onnx")
        self._runtime.set_default_logger_severity(3)
        state = self._runtime.capi.onnxruntime_pybind11_state
        self._refusals = (
            state.Fail,
            state.InvalidArgument,
            state.InvalidGraph,
            state.NotImplemented,
        )
        self._threads = threads
        self.version = str(self._runtime.__version__)

    def ways(self, case: Case, inputs: Inputs) -> list[Way]:
        refuse_ragged(case)
        if case.backward:
            raise Unsupported("no gradients")
        if case.dropout_p:
            raise Unsupported("no dropout")
        if case.dtype not in ("float32", "float16"):
            raise Unsupported(f"no attention in {case.dtype} on the CPU")
        if inputs.bias is not None and inputs.seen is not None:
            raise Unsupported("no boolean mask beside a bias")
        found, reasons = [], []
        attention = self._attention if case.layout == "bhld" else self._merged_attention
        for build in (attention, self._multi_head_attention):
            try:
                found.append(build(case, inputs))
            except (Unsupported, *self._refusals) as error:
                reasons.append(str(error).splitlines()[0])
        if not found:
            raise Unsupported("; ".join(reasons))
        return found

    def _attention(self, case: Case, inputs: Inputs) -> Way:
        """The operator of ONNX since opset 23: (B, H, L, D) arrays, grouped heads, any mask."""
        feeds = {"Q": inputs.query, "K": inputs.key, "V": inputs.value}
        return self._standard(case, inputs, feeds, lambda out: out)

    def _merged_attention(self, case: Case, inputs: Inputs) -> Way:
        """The same operator on (B, L, H · D) arrays."""
        shape = case.shape
        heads = {"q_num_heads": shape.H, "kv_num_heads": shape.Hkv}
        return self._standard(case, inputs, _merged_feeds(inputs), _split(shape), **heads)

    def _standard(
        self, case: Case, inputs: Inputs, feeds: dict[str, Array], arrange: Any, **heads: int
    ) -> Way:
        mask = inputs.seen if inputs.bias is None else inputs.bias
        if mask is not None:
            rows = (mask.shape[0], 1, case.shape.Lq, case.shape.Lk)
            feeds["attn_mask"] = np.ascontiguousarray(np.broadcast_to(mask, rows))
        node = self._onnx.helper.make_node(
            "Attention",
            list(feeds),
            ["Y"],
            is_causal=int(case.shape.causal),
            scale=default_scale(case.shape),
            **heads,
        )
        return self._way("Attention", node, feeds, feeds["Q"].shape, arrange)

    def _multi_head_attention(self, case: Case, inputs: Inputs) -> Way:
        """The operator of com.microsoft: (B, L, H · D) arrays, lengths instead of a mask."""
        shape = case.shape
        if shape.Hkv != shape.H:
            raise Unsupported("MultiHeadAttention has no grouped heads")
        if inputs.mask is not None or inputs.window is not None:
            raise Unsupported("MultiHeadAttention has no boolean mask for pairs")

        feeds = _merged_feeds(inputs)
        names = ["Q", "K", "V", "", "", ""]
        if inputs.kv_lengths is not None:
            names[4] = "key_padding_mask"
            feeds["key_padding_mask"] = inputs.kv_lengths.astype(np.int32)
        if inputs.bias is not None:
            names[5] = "attention_bias"
            feeds["attention_bias"] = inputs.bias
        node = self._onnx.helper.make_node(
            "MultiHeadAttention", names, ["Y"], domain="com.microsoft",
            num_heads=shape.H, scale=default_scale(shape), unidirectional=int(shape.causal),
        )  # fmt: skip
        return self._way("MultiHeadAttention", node, feeds, feeds["Q"].shape, _split(shape))

    def _way(self, name: str, node: Any, feeds: dict[str, Array], shape: Any, arrange: Any) -> Way:
        session = self._session(node, feeds, shape)
        binding = session.io_binding()
        values = {
            key: self._runtime.OrtValue.ortvalue_from_numpy(array) for key, array in feeds.items()
        }
        for key, held in values.items():
            binding.bind_ortvalue_input(key, held)
        binding.bind_output("Y")

        def run() -> Any:
            session.run_with_iobinding(binding)
            return binding

        def read(result: Any) -> list[Array]:
            return [arrange(result.copy_outputs_to_cpu()[0])]

        return Way(name, run, read, held=(feeds, values))

    def _session(self, node: Any, feeds: dict[str, Array], shape: Any) -> Any:
        helper = self._onnx.helper
        kinds = {key: helper.np_dtype_to_tensor_dtype(array.dtype) for key, array in feeds.items()}
        graph = helper.make_graph(
            [node],
            "attention",
            [
                helper.make_tensor_value_info(key, kinds[key], array.shape)
                for key, array in feeds.items()
            ],
            [helper.make_tensor_value_info("Y", kinds["Q"], list(shape))],
        )
        domains = [helper.make_opsetid("", 23), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=domains, ir_version=11)
        options = self._runtime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        return self._runtime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )


def _merged_feeds(inputs: Inputs) -> dict[str, Array]:
    """(B, L, H · D): views of (B, L, H, D) memory, else copies made beforehand."""

    def merge(array: Array) -> Array:
        batch, _, length, _ = array.shape
        return np.ascontiguousarray(array.swapaxes(1, 2)).reshape(batch, length, -1)

    return {"Q": merge(inputs.query), "K": merge(inputs.key), "V": merge(inputs.value)}


def _split(shape: Shape) -> Callable[[Array], Array]:
    """(B, L, H · D) as (B, H, L, D)."""

    def split(out: Array) -> Array:
        heads: Array = out.reshape(shape.B, shape.Lq, shape.H, shape.D)
        heads = heads.swapaxes(1, 2)
        return heads

    return split


def create(threads: int) -> OnnxRuntime:
    return OnnxRuntime(threads)
