"""PyTorch's scaled_dot_product_attention, with autograd for the gradients."""

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful.benchmark.peers._library import Unsupported, Way, refuse_ragged
from heedful.benchmark.shapes import Case, Inputs


class Torch:
    name = "torch"

    def __init__(self, threads: int) -> None:
        self._torch: Any = import_module("torch")
        self._torch.set_num_threads(threads)
        self.version = str(self._torch.__version__)

    def ways(self, case: Case, inputs: Inputs) -> list[Way]:
        refuse_ragged(case)
        torch, shape = self._torch, case.shape
        attend = torch.nn.functional.scaled_dot_product_attention
        query, key, value, dout = (
            self._tensor(array).requires_grad_(case.backward)
            for array in (inputs.query, inputs.key, inputs.value, inputs.dout)
        )
        dout = dout.detach()
        options: dict[str, Any] = {"dropout_p": case.dropout_p}
        if shape.Hkv != shape.H:
            options["enable_gqa"] = True
        options.update(self._restrictions(case, inputs))

        def forward() -> Any:
            return [attend(query, key, value, **options)]

        def copied() -> Any:
            arrays = (tensor.contiguous() for tensor in (query, key, value))
            return attend(*arrays, **options)

        def with_gradients(out: Any) -> Any:
            return [out.detach(), *torch.autograd.grad(out, (query, key, value), dout)]

        def forward_backward() -> Any:
            return with_gradients(attend(query, key, value, **options))

        def read(results: Any) -> list[NDArray[Any]]:
            return [
                result.float().numpy() if case.dtype == "bfloat16" else result.numpy()
                for result in results
            ]

        transposed = case.layout == "blhd"  # read in place, or copied within the time
        if case.backward:
            ways = [Way("SDPA", forward_backward, read)]
            if transposed:
                ways.append(Way("SDPA, copied", lambda: with_gradients(copied()), read))
            return ways
        ways = [Way("SDPA", forward, read, mode=torch.inference_mode)]
        if transposed:
            ways.append(Way("SDPA, copied", lambda: [copied()], read, mode=torch.inference_mode))
        if shape.Hkv != shape.H and set(options) == {"dropout_p", "enable_gqa"}:
            # without a mask the queries of a group can be rows of one head, so that each key is
            # read once, which torch does not do by itself
            def grouped() -> Any:
                stacked = query.reshape(shape.B, shape.Hkv, -1, shape.D)  # a view if contiguous
                return [attend(stacked, key, value).reshape(query.shape)]

            ways.append(Way("SDPA, grouped", grouped, read, mode=torch.inference_mode))
        return ways

    def _restrictions(self, case: Case, inputs: Inputs) -> dict[str, Any]:
        seen = inputs.seen
        if case.shape.causal and seen is None and inputs.bias is None:
            return {"is_causal": True}
        if case.shape.causal:  # torch does not accept both: one combined mask
            causal = np.tri(case.shape.Lq, case.shape.Lk, dtype=bool)[None, None]
            seen = causal if seen is None else seen & causal
        if inputs.bias is None:
            return {} if seen is None else {"attn_mask": self._torch.from_numpy(seen)}
        if seen is not None:
            raise Unsupported("no boolean mask beside a bias")
        return {"attn_mask": self._tensor(inputs.bias)}

    def _tensor(self, array: NDArray[Any]) -> Any:
        if array.dtype.name == "bfloat16":
            return self._torch.from_numpy(array.view(np.int16)).view(self._torch.bfloat16)
        return self._torch.from_numpy(array)


def create(threads: int) -> Torch:
    return Torch(threads)
