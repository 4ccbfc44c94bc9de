"""Layers and training beside PyTorch: encoder, decoder step, training step, MiniLM, memory.

Sentences are compared with the package sentence-transformers.
"""

import dataclasses
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import heedful
from heedful.benchmark.goal import Line, at_least, forced_level
from heedful.benchmark.harness import Harness
from heedful.benchmark.layer_cases import CASES, Case, Way, ways_of
from heedful.benchmark.memory import highest
from heedful.benchmark.process import WorkerDied, WorkerProcess
from heedful.benchmark.topic import Topic, main

LIBRARIES = ("heedful", "torch")
ALLOWED = 1e-4  # difference of the two, relative to the largest number
STEPS = 3  # of a training until its losses are compared
SAMPLE = 4096  # numbers of a result that are compared
TRIALS = 2  # rounds in which all ways of a library run; then only the fastest
PROGRAM = (str(Path(__file__)), "--worker")


# --- a process for each library


def work(library: str, threads: int) -> None:
    """The worker's side: commands come in as lines of JSON, answers go out."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not come between the answers

    def answer(**fields: Any) -> None:
        channel.write(json.dumps(fields) + "\n")
        channel.flush()

    answer(version="")
    set_threads(library, threads)
    ways: dict[str, Way] = {}
    for line in iter(sys.stdin.readline, ""):
        command = json.loads(line)
        case = Case(**{**command["case"], "sizes": tuple(command["case"]["sizes"])})
        if command["do"] == "prepare":
            try:
                ways = ways_of(library, case)
                answer(results={name: sample(case, way) for name, way in ways.items()})
            except ImportError as error:
                answer(missing=str(error))
        elif command["do"] == "memory":
            answer(bytes=step_memory(library, case))
        else:
            way = ways[command["way"]]
            way()  # wakes the threads
            times: list[float] = []
            while not times or sum(times) < command["seconds"]:
                start = time.perf_counter()
                way()
                times.append(time.perf_counter() - start)
            time.sleep(0.25)  # until its threads do not spin any more
            answer(times=times)


def set_threads(library: str, threads: int) -> None:
    heedful.set_num_threads(threads)
    if library == "torch":
        import torch

        torch.set_num_threads(threads)


def sample(case: Case, way: Way) -> list[float]:
    """Numbers from all over the result: of a training its losses, none where it draws dropout."""
    if case.kind == "train":
        return [float(way()) for _ in range(STEPS)] if not case.rate else []
    flat = way().ravel()
    places = np.linspace(0, flat.size - 1, min(SAMPLE, flat.size)).astype(int)
    return [float(number) for number in flat[places]]


def step_memory(library: str, case: Case) -> int:
    """Bytes beyond what a training of tiny size took: model, optimizer and activations."""
    for way in ways_of(library, dataclasses.replace(case, sizes=(8, 64, 48, 6, 48, 1))).values():
        way()

    def train() -> None:
        for way in ways_of(library, case).values():
            for _ in range(STEPS):
                way()

    return highest(train)


# --- judging


def layer_lines(harness: Harness) -> Iterator[Line]:
    workers: dict[str, WorkerProcess] = {}
    try:
        for name in LIBRARIES:
            if name in harness.libraries:
                workers[name] = WorkerProcess(name, harness.threads, PROGRAM)
        for case in CASES:
            yield from lines_of(harness, workers, case)
        for case in CASES:
            if case.memory:
                yield memory_line(harness, case)
    finally:
        for worker in workers.values():
            worker.close()


def lines_of(harness: Harness, workers: dict[str, WorkerProcess], case: Case) -> Iterator[Line]:
    """Let both compute the case, compare, let them take turns, judge."""
    results, reason = {}, "" if "torch" in workers else "torch was not measured"
    for name, worker in workers.items():
        answer = worker.ask("prepare", case=dataclasses.asdict(case))
        if "missing" in answer and name == "heedful":
            yield Line(case.what, "a result", "–", None, reason=answer["missing"])
            return
        if "missing" in answer:
            reason = answer["missing"]
        else:
            results[name] = answer["results"]
    if "heedful" not in results:
        return
    (own,) = results["heedful"].values()
    for way, theirs in results.get("torch", {}).items():
        if (off := difference(own, theirs)) > ALLOWED:
            yield Line(case.what, f"difference ≤ {ALLOWED}", f"{off:.1e} from {way}", False)
            return
    ways = {name: list(found) for name, found in results.items()}
    times: dict[tuple[str, str], list[float]] = {(n, w): [] for n in ways for w in ways[n]}
    peaks = []
    for turn in range(harness.rounds):
        peaks.append(harness.peak.gflops(harness.threads))
        for name in ways:
            if turn == TRIALS:
                medians = {way: statistics.median(times[name, way]) for way in ways[name]}
                ways[name] = [min(ways[name], key=medians.__getitem__)]
            for way in ways[name]:
                command = {"case": dataclasses.asdict(case), "way": way}
                found = workers[name].ask("turn", seconds=harness.seconds, **command)["times"]
                times[name, way].append(statistics.median(found))
    best = {name: times[name, min(ways[name], key=lambda w: min(times[name, w]))] for name in ways}
    yield from judged(harness, case, best, ways, peaks, forced_level() or reason)


def judged(
    harness: Harness, case: Case, times: dict[str, list[float]], ways: dict[str, list[str]],
    peaks: list[float], reason: str,
) -> Iterator[Line]:  # fmt: skip
    medians = {name: statistics.median(turns) for name, turns in times.items()}
    limit = ", ".join(
        f"{name}{f' {way}' if (way := ways[name][0]) else ''} {1e3 * seconds:.3g} ms"
        for name, seconds in medians.items()
    )
    ratio = None
    if "torch" in times:
        pairs = zip(times["torch"], times["heedful"], strict=True)
        ratio = statistics.median(slow / fast for slow, fast in pairs)
    reason = reason or ("" if case.ratio else "no goal")
    yield at_least(case.what, case.ratio or 1.0, ratio, "x torch", limit, reason)
    if case.share is not None and case.operations is not None:
        reached = case.operations / medians["heedful"] * 1e-9 / statistics.median(peaks)
        yield at_least(case.what, case.share, reached, f"of the {harness.peak.meaning}")


def difference(own: list[float], theirs: list[float]) -> float:
    first, second = np.array(own), np.array(theirs)
    if first.shape != second.shape:
        return float("inf")
    largest = abs(second).max(initial=0)
    return float(abs(first - second).max() / largest) if largest else 0.0


def memory_line(harness: Harness, case: Case) -> Line:
    """Each in a fresh process."""
    what, taken = f"memory of a {case.what}", {}
    for name in [name for name in LIBRARIES if name in harness.libraries]:
        worker = WorkerProcess(name, harness.threads, PROGRAM)
        try:
            taken[name] = worker.ask("memory", case=dataclasses.asdict(case))["bytes"]
        except WorkerDied as error:
            return Line(what, "≤ torch", "–", None, reason=str(error))
        finally:
            worker.close()
    figures = ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in taken.items())
    if len(taken) < len(LIBRARIES):
        return Line(what, "≤ torch", figures, None, reason="torch was not measured")
    share = taken["heedful"] / taken["torch"]
    return Line(what, "≤ 1 x torch", f"{share:.2f} x torch", share <= 1, figures)


TOPIC = Topic("layers", __doc__, other=layer_lines)

if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(sys.argv[2], int(sys.argv[3]))
    else:
        main(TOPIC)
