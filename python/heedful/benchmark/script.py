"""Benchmarks other than attention: scripts whose worker computes a case in each library."""

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
from heedful.benchmark.state import UNKNOWN, State, choose_rounds, worse

if TYPE_CHECKING:
    from heedful.benchmark.harness import Harness


class ScriptWorker:
    """One library in its process; a script adds the preparation of its calls."""

    version = ""

    def __init__(self, library: str, threads: int) -> None:
        self.library = library
        self.calls: dict[str, Callable[[], object]] = {}  # ways to compute the prepared case
        heedful.set_num_threads(threads)
        if library == "torch":
            import torch

            torch.set_num_threads(threads)

    def turn(self, way: str, seconds: float) -> Answer:
        """The times of single calls for about `seconds`, after a call that wakes the threads."""
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
    """A process for each requested library."""
    with contextlib.ExitStack() as stack:
        processes = {}
        for name in libraries:
            if name in harness.libraries:
                processes[name] = ScriptProcess(script, name, harness.threads)
                stack.callback(processes[name].close)
        yield processes


@dataclasses.dataclass(frozen=True)
class Turns:
    """The times of libraries that were timed alternately."""

    times: Mapping[str, list[float]]  # name: the median seconds of every round
    gflops: list[float]  # the machine's peak before every round
    state: State = UNKNOWN  # of the machine in these rounds

    def seconds(self, name: str) -> float:
        return statistics.median(self.times[name])

    def ratio(self, name: str, other: str) -> float | None:
        """Speed relative to the other: the median over the rounds."""
        if name not in self.times or other not in self.times:
            return None
        pairs = zip(self.times[other], self.times[name], strict=True)
        return statistics.median(slow / fast for slow, fast in pairs)

    def fraction(self, name: str, operations: float) -> float:
        """Its speed as a fraction of the machine's peak."""
        return operations / self.seconds(name) * 1e-9 / statistics.median(self.gflops)

    def listed(self, *names: str) -> str:
        """The median times of these."""
        return ", ".join(f"{name} {1e3 * self.seconds(name):.4g} ms" for name in names)

    def __str__(self) -> str:
        return self.listed(*self.times)


def take_turns(harness: Harness, turns: Mapping[str, Callable[[float], list[float]]]) -> Turns:
    """Time each library once in every round; the rounds in one state of the machine count."""
    times: dict[str, list[float]] = {name: [] for name in turns}
    gflops, nops = [], [harness.peak.nops(harness.threads)]
    for _ in range(harness.rounds):
        gflops.append(harness.peak.gflops(harness.threads))
        for name, turn in turns.items():
            times[name].append(statistics.median(turn(harness.seconds)))
        nops.append(harness.peak.nops(harness.threads))
    state, kept = choose_rounds([*map(worse, nops, nops[1:])], harness.peak.best_nops)
    chosen = {name: [seconds[n] for n in kept] for name, seconds in times.items()}
    return Turns(chosen, [gflops[n] for n in kept], state)
