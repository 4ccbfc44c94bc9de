"""GRU, LSTM and Conv1d compared with PyTorch's: inference, a training step, one position.

One position with weights of bfloat16 and of int8 is compared with heedful's own float32.
"""

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from heedful.benchmark.channel import Answer
from heedful.benchmark.goal import Line, at_least, forced_level
from heedful.benchmark.harness import Harness
from heedful.benchmark.script import ScriptProcess, ScriptWorker, script_processes, take_turns
from heedful.benchmark.topic import Topic, main
from heedful.layers import GRU, LSTM, Conv1d

LIBRARIES = ("heedful", "torch")
ALLOWED = 1e-4  # difference of the two, relative to the largest element
TAPS = 5  # of convolutions
NARROW = ("bfloat16", "int8")


@dataclasses.dataclass(frozen=True)
class Case:
    kind: str  # GRU, LSTM or Conv1d
    trains: bool
    sizes: tuple[int, ...]  # B, L, width of x, H
    ratio: float | None = 1.0  # to torch

    def __str__(self) -> str:
        what = "training step" if self.trains else "inference"
        return f"{self.kind} {what} B, L, E, H = {', '.join(map(str, self.sizes))}"


SIZES = ((32, 100, 128, 256), (64, 50, 64, 64), (1, 100, 256, 256), (8, 200, 512, 512))
CASES = [
    *(Case(kind, trains, sizes) for kind in ("GRU", "LSTM") for trains in (False, True)
      for sizes in SIZES),
    *(Case(kind, False, (1, 1, 256, 256)) for kind in ("GRU", "LSTM")),
    *(Case("Conv1d", trains, sizes) for trains in (False, True)
      for sizes in ((8, 1000, 256, 256), (32, 200, 64, 128))),
]  # fmt: skip


def call_of(library: str, case: Case) -> Callable[[], Any]:
    """One call; it returns y, and for a training the gradient of x."""
    batch, length, inputs, width = case.sizes
    rng = np.random.default_rng(7)
    x = rng.standard_normal((batch, length, inputs), dtype=np.float32)
    if case.kind == "Conv1d":
        layer: Any = Conv1d(inputs, width, TAPS, padding="same", rng=0)
    else:
        layer = {"GRU": GRU, "LSTM": LSTM}[case.kind](inputs, width, rng=0)
    dy = rng.standard_normal((batch, length, width), dtype=np.float32)
    if library == "torch":
        return torch_call(case, layer.state_dict(), x, dy)

    def train() -> Any:
        layer.zero_grad()
        _, backward = layer.forward(x)
        return backward(dy)

    return train if case.trains else lambda: layer(x)


def torch_call(case: Case, state: Any, x: Any, dy: Any) -> Callable[[], Any]:
    import torch

    inputs, width = case.sizes[2:]
    is_convolution = case.kind == "Conv1d"
    if is_convolution:
        module: Any = torch.nn.Conv1d(inputs, width, TAPS, padding="same")
        x, dy = (np.ascontiguousarray(one.swapaxes(1, 2)) for one in (x, dy))
    else:
        module = getattr(torch.nn, case.kind)(inputs, width, batch_first=True)
    module.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
    given, gradient = torch.from_numpy(x).requires_grad_(case.trains), torch.from_numpy(dy)

    def shown(array: Any) -> Any:
        found = array.detach().numpy()
        return found.swapaxes(1, 2) if is_convolution else found

    def infer() -> Any:
        with torch.inference_mode():
            y = module(given)
        return shown(y if is_convolution else y[0])

    def train() -> Any:
        module.zero_grad()
        given.grad = None
        y = module(given)
        (y if is_convolution else y[0]).backward(gradient)
        return shown(given.grad)

    return train if case.trains else infer


class Worker(ScriptWorker):
    """Calls one case repeatedly."""

    def prepare_narrow(self, kind: str, width: int) -> Answer:
        """One position, with the weights in each form."""
        x = np.random.default_rng(7).standard_normal((1, 1, width), dtype=np.float32)
        self.calls = {}
        for form in ("float32", *NARROW):
            layer: Any = {"GRU": GRU, "LSTM": LSTM}[kind](width, width, rng=0)
            self.calls[form] = partial(layer if form == "float32" else layer.quantize(form), x)
        return {}

    def prepare(self, case: Answer) -> Answer:
        try:
            call = call_of(self.library, Case(**{**case, "sizes": tuple(case["sizes"])}))
        except ImportError as error:
            return {"missing": str(error)}
        self.calls = {"": call}
        found = np.ascontiguousarray(call()).ravel()
        return {"result": [float(one) for one in found[:: max(found.size // 4096, 1)]]}


def recurrent_lines(harness: Harness) -> Iterator[Line]:
    with script_processes(__file__, harness, LIBRARIES) as processes:
        for case in CASES:
            yield from lines_of(harness, processes, case)
        for kind in ("GRU", "LSTM"):
            yield from narrow_lines(harness, processes["heedful"], kind, 1024)


def narrow_lines(harness: Harness, process: ScriptProcess, kind: str, width: int) -> Iterator[Line]:
    process.ask("prepare_narrow", kind=kind, width=width)
    ways = ("float32", *NARROW)
    turns = take_turns(harness, {way: partial(process.turn, way=way) for way in ways})
    for form in NARROW:
        what = f"{kind} one position E, H = {width}, {width}, {form} weights"
        line = at_least(what, 1.0, turns.ratio(form, "float32"), "x float32", str(turns), "")
        yield line.seen_in(turns.state)


def lines_of(harness: Harness, processes: dict[str, ScriptProcess], case: Case) -> Iterator[Line]:
    """Compare the results, time them in turns, judge."""
    found, reason = {}, forced_level()
    for name, process in processes.items():
        answer = process.ask("prepare", case=dataclasses.asdict(case))
        if "missing" in answer:
            reason = answer["missing"]
        else:
            found[name] = np.array(answer["result"])
    if "heedful" not in found:
        return
    if "torch" in found:
        off = abs(found["heedful"] - found["torch"]).max() / abs(found["torch"]).max()
        if not off <= ALLOWED:
            yield Line(str(case), f"difference ≤ {ALLOWED}", f"{off:.1e}", False)
            return
    turns = take_turns(harness, {name: partial(processes[name].turn, way="") for name in found})
    ratio = turns.ratio("heedful", "torch")
    line = at_least(str(case), case.ratio or 1.0, ratio, "x torch", str(turns), reason)
    yield line.seen_in(turns.state)


TOPIC = Topic("recurrent", __doc__, other=recurrent_lines)

if __name__ == "__main__":
    main(TOPIC, Worker)
