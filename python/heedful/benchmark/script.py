"""Benchmarks of what is no case of attention: a script whose worker computes it in each library."""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import heedful
from heedful.benchmark.channel import Answer, rest
from heedful.benchmark.process import WorkerDied, WorkerProcess

if TYPE_CHECKING:
    from heedful.benchmark.harness import Harness


class ScriptWorker:
    """One library in its process; a script adds how its calls are prepared."""

    version = ""

    def __init__(self, library: str, threads: int) -> None:
        self.library = library
        self.calls: dict[str, Callable[[], object]] = {}  # ways to compute what was prepared
        heedful.set_num_threads(threads)
        if library == "torch":
            import torch

            torch.set_num_threads(threads)

    def turn(self, way: str, seconds: float) -> Answer:
        """The times of single calls for about that long, once the threads are awake."""
        call = self.calls[way]
        call()
        times: list[float] = []
        while not times or sum(times) < seconds:
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        rest()
        return {"times": times}


class ScriptProcess(WorkerProcess):
    """The harness's end of a script's worker."""

    def __init__(self, script: str, library: str, threads: int) -> None:
        super().__init__(library, threads, (script, "--worker"))

    def ask(self, do: str, **arguments: Any) -> Answer:
        answer = super().ask(do, **arguments)
        if "failed" in answer:
            raise WorkerDied(f"{self.library}: {answer['failed']}")
        return answer

    def turn(self, seconds: float, way: str = "") -> list[float]:
        """Seconds of single calls."""
        times: list[float] = self.ask("turn", way=way, seconds=seconds)["times"]
        return times


@contextlib.contextmanager
def script_processes(
    script: str, harness: Harness, libraries: Sequence[str]
) -> Iterator[dict[str, ScriptProcess]]:
    """A process for each library that was asked for."""
    with contextlib.ExitStack() as stack:
        processes = {}
        for name in libraries:
            if name in harness.libraries:
                processes[name] = ScriptProcess(script, name, harness.threads)
                stack.callback(processes[name].close)
        yield processes


@dataclasses.dataclass(frozen=True)
class Turns:
    """What came out when libraries took turns."""

    times: Mapping[str, list[float]]  # name: the median seconds of every turn
    gflops: list[float]  # the machine's peak before every round

    def seconds(self, name: str) -> float:
        return statistics.median(self.times[name])

    def ratio(self, name: str, other: str) -> float | None:
        """How many times as fast as the other: the median over the rounds."""
        if name not in self.times or other not in self.times:
            return None
        pairs = zip(self.times[other], self.times[name], strict=True)
        return statistics.median(slow / fast for slow, fast in pairs)

    def share(self, name: str, operations: float) -> float:
        """Of the machine's peak."""
        return operations / self.seconds(name) * 1e-9 / statistics.median(self.gflops)

    def __str__(self) -> str:
        return ", ".join(f"{name} {1e3 * self.seconds(name):.4g} ms" for name in self.times)


def take_turns(harness: Harness, turns: Mapping[str, Callable[[float], list[float]]]) -> Turns:
    """Let each measure in every round."""
    times: dict[str, list[float]] = {name: [] for name in turns}
    gflops = []
    for _ in range(harness.rounds):
        gflops.append(harness.peak.gflops(harness.threads))
        for name, turn in turns.items():
            times[name].append(statistics.median(turn(harness.seconds)))
    return Turns(times, gflops)
