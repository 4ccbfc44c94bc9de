"""Layers of PyTorch, before and after `swap`: nn.MultiheadAttention, nn.TransformerEncoderLayer.

Both have the same weights, in one process, and take turns; results, of a training the gradients of
x, are compared first, without dropout, which each draws for itself.
"""

import copy
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from heedful.benchmark.goal import Line
from heedful.benchmark.harness import Harness
from heedful.benchmark.topic import Topic, main
from heedful.benchmark.turns import clock_of, table, take_turns, times_as_fast

ALLOWED = 1e-4  # difference of the two, relative to the largest element
WIDTH, HEADS, HIDDEN, DROPOUT = 768, 12, 3072, 0.1


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    batch: int = 8
    length: int = 197
    weights: bool = False
    trains: bool = False
    encoder: bool = False

    def __str__(self) -> str:
        words = [
            f"{self.name} {self.batch} x {self.length} x {WIDTH}",
            *(["with weights"] if self.weights else []),
            *([f"training, dropout {DROPOUT}"] if self.trains else []),
        ]
        return ", ".join(words)


CASES = (
    Case("MultiheadAttention"),
    Case("MultiheadAttention", weights=True),
    Case("MultiheadAttention", trains=True),
    Case("MultiheadAttention", trains=True, weights=True),
    Case("MultiheadAttention", batch=1, length=1024),
    Case("MultiheadAttention", batch=1, length=1024, weights=True),
    Case("TransformerEncoderLayer", encoder=True),
)


def layer_of(case: Case, dropout: float) -> Any:
    import torch

    torch.manual_seed(0)
    if case.encoder:
        layer: Any = torch.nn.TransformerEncoderLayer(
            WIDTH, HEADS, HIDDEN, dropout, batch_first=True
        )
    else:
        layer = torch.nn.MultiheadAttention(WIDTH, HEADS, dropout, batch_first=True)
    return layer.train(case.trains)


def call_of(case: Case, layer: Any) -> Callable[[], Any]:
    """One call; it returns y, and for a training the gradient of x."""
    import torch

    x = torch.randn(
        case.batch, case.length, WIDTH, generator=torch.Generator().manual_seed(1)
    ).requires_grad_(case.trains)

    def run() -> Any:
        if case.encoder:
            return layer(x)
        return layer(x, x, x, need_weights=case.weights)[0]

    def infer() -> Any:
        with torch.inference_mode():
            return run().numpy()

    def train() -> Any:
        layer.zero_grad()
        x.grad = None
        run().sum().backward()
        return x.grad.numpy()

    return train if case.trains else infer


def layer_lines(harness: Harness) -> Iterator[Line]:
    try:
        import torch
    except ImportError as error:
        print(f"  skipped: {error}")
        return
    import heedful
    from heedful.integrations.torch import swap

    torch.set_num_threads(harness.threads)
    with heedful.num_threads(harness.threads):
        for case in CASES:
            same = layer_of(case, dropout=0.0)
            known, found = (call_of(case, layer)() for layer in (same, swap(copy.deepcopy(same))))
            off = np.abs(found - known).max() / np.abs(known).max()
            if not off <= ALLOWED:
                yield Line(str(case), f"difference ≤ {ALLOWED}", f"{off:.1e}", False)
                continue
            layer = layer_of(case, DROPOUT if case.trains else 0.0)
            calls = {
                "PyTorch": call_of(case, layer),
                "heedful": call_of(case, swap(copy.deepcopy(layer))),
            }
            times = take_turns(calls, harness.rounds, harness.seconds, clock_of(harness.threads))
            print(f"  {case}\n{table(times)}")
            yield times_as_fast(str(case), times, "heedful", "PyTorch", 1.0)


TOPIC = Topic("torch_layers", __doc__, other=layer_lines)

if __name__ == "__main__":
    main(TOPIC)
