"""PyTorch programs: its own attention, the same on heedful's kernels, and attention on tensors.

All three in one process, on the same tensors, in both orders of memory; heedful's kernels are
activated and restored between turns. Small calls are those that heedful passes back to PyTorch.

Then the processor time of a program whose matrix products are PyTorch's and whose attention is
heedful's, against the sum of both alone: threads that wait by spinning would show in it. It is the
least of several loops of each, in PyTorch's OpenMP team and, beside it, in heedful's own threads.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any

import heedful
from heedful.benchmark.channel import Answer, rest
from heedful.benchmark.goal import Line, at_least
from heedful.benchmark.harness import Harness
from heedful.benchmark.script import ScriptProcess, ScriptWorker, script_processes, take_turns
from heedful.benchmark.topic import Topic, main

WAYS = ("PyTorch", "activated", "attention")
ALLOWED = {"float32": 2e-4, "bfloat16": 0.05}  # error relative to the largest element
MIXED, LOOPS, CALLS = 1.02, 9, 20  # at most so many times the sum; loops of so many calls


@dataclasses.dataclass(frozen=True)
class Case:
    """Sizes, and how many times as fast as PyTorch its call is at least, once activated."""

    goal: float
    B: int
    H: int
    Hkv: int
    Lq: int
    Lk: int
    D: int
    dtype: str = "float32"
    causal: bool = False
    padded: bool = False
    gradients: bool = False

    def __str__(self) -> str:
        heads = f"{self.H}" if self.Hkv == self.H else f"{self.H}/{self.Hkv}"
        words = [
            f"({self.B}, {heads}, {self.Lq}x{self.Lk}, {self.D})", self.dtype,
            *(word for word in ("causal", "padded") if getattr(self, word)),
            *(["with gradients"] if self.gradients else []),
        ]  # fmt: skip
        return ", ".join(words)


CASES = (
    Case(0.6, 1, 4, 4, 4, 4, 8),
    Case(1.0, 1, 12, 12, 128, 128, 64),
    Case(1.3, 16, 12, 12, 384, 384, 64, padded=True),
    Case(1.3, 1, 12, 12, 1024, 1024, 64, causal=True),
    Case(1.0, 1, 32, 8, 2048, 2048, 128, causal=True),
    Case(2.0, 1, 32, 8, 1, 4096, 128),
    Case(2.0, 1, 32, 8, 1, 4096, 128, dtype="bfloat16"),
    Case(1.3, 1, 12, 12, 1024, 1024, 64, causal=True, gradients=True),
    Case(1.3, 1, 12, 12, 1024, 1024, 64, dtype="bfloat16", causal=True, gradients=True),
)


class Worker(ScriptWorker):
    def __init__(self, library: str, threads: int) -> None:
        super().__init__(library, threads)
        import torch

        self.version = str(torch.__version__)

    def prepare(self, number: int, layout: str) -> Answer:
        """Makes the calls of a case; returns the largest error of each relative to float64."""
        import torch

        from heedful.integrations.torch import attention

        case = CASES[number]
        torch.manual_seed(0)
        query, key, value = (
            self._draw(case, heads, length, layout)
            for heads, length in ((case.H, case.Lq), (case.Hkv, case.Lk), (case.Hkv, case.Lk))
        )
        options: dict[str, Any] = {"is_causal": case.causal}
        own: dict[str, Any] = {"causal": case.causal, "align": "upper_left"}
        if case.padded:
            lengths = torch.linspace(case.Lk // 4, case.Lk, case.B).long()
            seen = torch.arange(case.Lk) < lengths[:, None]
            options["attn_mask"] = seen[:, None, None].expand(-1, 1, case.Lq, -1)
            own["kv_lengths"] = lengths
        sdpa = partial(torch.nn.functional.scaled_dot_product_attention, enable_gqa=True)
        ways = {"PyTorch": partial(sdpa, **options), "attention": partial(attention, **own)}
        ways["activated"] = ways["PyTorch"]
        upstream = torch.ones_like(query)

        def call(way: Callable[..., Any]) -> list[Any]:
            if not case.gradients:
                with torch.inference_mode():
                    return [way(query, key, value)]
            out = way(query, key, value)
            return [out.detach(), *torch.autograd.grad(out, (query, key, value), upstream)]

        self.calls = {name: partial(call, ways[name]) for name in WAYS}
        wide = [one.detach().double().requires_grad_(case.gradients) for one in (query, key, value)]
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            out = ways["PyTorch"](*wide)
        true = [out.detach()]
        if case.gradients:
            true += torch.autograd.grad(out, wide, upstream.double())
        return {name: self._error(name, true) for name in WAYS}

    def _draw(self, case: Case, heads: int, length: int, layout: str) -> Any:
        import torch

        shape = (case.B, length, heads, case.D)
        drawn = torch.randn(shape).to(getattr(torch, case.dtype)).transpose(1, 2)
        drawn = drawn.contiguous() if layout == "bhld" else drawn
        return drawn.requires_grad_(case.gradients)

    def _error(self, name: str, true: list[Any]) -> float:
        with self._activated(name):
            found = self.calls[name]()
        return max(
            float((mine.double() - one).abs().max() / one.abs().max())
            for mine, one in zip(found, true, strict=True)
        )

    def _activated(self, name: str) -> Any:
        from heedful.integrations.torch import activate

        return activate() if name == "activated" else nullcontext()

    def turn(self, way: str, seconds: float) -> Answer:
        with self._activated(way):
            return super().turn(way, seconds)

    def mix(self) -> Answer:
        """Milliseconds of the processor: products alone, attention alone, both in turns.

        "own": attention of the same numbers as arrays, on heedful's own threads.
        """
        import torch

        from heedful.integrations.torch import attention

        query, key, value = (torch.randn(1, 12, 512, 64) for _ in range(3))
        arrays = query.numpy(), key.numpy(), value.numpy()
        x, up, down = torch.randn(512, 768), torch.randn(768, 3072), torch.randn(3072, 768)

        def products() -> Any:
            return x @ up @ down

        def attend() -> Any:
            return attention(query, key, value)

        def attend_alone() -> Any:
            return heedful.attention(*arrays)

        loops = {
            "products": [products],
            "attention": [attend],
            "mixed": [products, attend],
            "own": [attend_alone],
            "mixed own": [products, attend_alone],
        }
        least = dict.fromkeys(loops, float("inf"))
        for _ in range(LOOPS):
            for name, calls in loops.items():
                for call in calls:
                    call()
                start = time.process_time()
                for _ in range(CALLS):
                    for call in calls:
                        call()
                least[name] = min(least[name], (time.process_time() - start) * 1e3 / CALLS)
                rest()
        return dict(least)


def torch_lines(harness: Harness) -> Iterator[Line]:
    with script_processes(__file__, harness, ["torch"]) as processes:
        if not processes:
            reason = "torch was not asked"
            yield Line("PyTorch's attention, activated", "≥ PyTorch", "–", None, reason=reason)
            return
        for number, case in enumerate(CASES):
            for layout in ("bhld", "blhd"):
                yield case_line(harness, processes["torch"], number, case, layout)
        found = processes["torch"].ask("mix")
        alone = found["products"] + found["attention"]
        ratio = found["mixed"] / alone
        yield Line(
            "PyTorch's products and heedful's attention in turns, processor time",
            f"≤ {MIXED:g} x the sum of both alone",
            f"{ratio:.3f} x ({found['mixed']:.1f} ms, {alone:.1f} ms)",
            ratio <= MIXED,
        )
        alone = found["products"] + found["own"]
        ratio = found["mixed own"] / alone
        yield Line(
            "the same on heedful's own threads",
            "–",
            f"{ratio:.3f} x ({found['mixed own']:.1f} ms, {alone:.1f} ms)",
            None,
            reason="what the team avoids",
        )


def case_line(
    harness: Harness, process: ScriptProcess, number: int, case: Case, layout: str
) -> Line:
    errors = process.ask("prepare", number=number, layout=layout)
    wrong = [name for name in WAYS if not errors[name] <= ALLOWED[case.dtype]]
    what = f"{case}, {'(B, L, H, D)' if layout == 'blhd' else '(B, H, L, D)'} in memory"
    if wrong:
        return Line(what, "right results", f"{', '.join(wrong)}: {errors}", False)
    turns = take_turns(harness, {name: partial(process.turn, way=name) for name in WAYS})
    other = turns.ratio("attention", "PyTorch")
    line = at_least(f"{what}: activated", case.goal, turns.ratio("activated", "PyTorch"),
                    "x PyTorch", f"attention {other:.2f} x", "")  # fmt: skip
    return dataclasses.replace(line, limit=f"{line.limit}; {turns}").seen_in(turns.state)


TOPIC = Topic("torch", __doc__, other=torch_lines)

if __name__ == "__main__":
    main(TOPIC, Worker)
