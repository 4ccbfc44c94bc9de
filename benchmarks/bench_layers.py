"""Layers and training compared with PyTorch: encoder, decoder step, training step, MiniLM, memory.

Sentences are compared with the package sentence-transformers.
"""

import dataclasses
from collections.abc import Iterator
from functools import partial

import numpy as np

from heedful.benchmark.channel import Answer
from heedful.benchmark.goal import Line, at_least, forced_level, fraction_line
from heedful.benchmark.harness import Harness
from heedful.benchmark.layer_cases import CASES, Case, Way, ways_of
from heedful.benchmark.memory import highest
from heedful.benchmark.process import WorkerDied
from heedful.benchmark.script import ScriptProcess, ScriptWorker, script_processes, take_turns
from heedful.benchmark.topic import Topic, main

LIBRARIES = ("heedful", "torch")
ALLOWED = 1e-4  # difference of the two, relative to the largest element
STEPS = 3  # of a training until its losses are compared
SAMPLE = 4096  # elements of a result that are compared


# --- a process for each library


class Worker(ScriptWorker):
    """Calls one case in the ways that a library has."""

    def prepare(self, case: Answer) -> Answer:
        asked = decoded(case)
        try:
            ways = ways_of(self.library, asked)
        except ImportError as error:
            return {"missing": str(error)}
        self.calls = dict(ways)
        return {"results": {name: sample(asked, way) for name, way in ways.items()}}

    def memory(self, case: Answer) -> Answer:
        return {"bytes": step_memory(self.library, decoded(case))}


def decoded(fields: Answer) -> Case:
    return Case(**{**fields, "sizes": tuple(fields["sizes"])})


def sample(case: Case, way: Way) -> list[float]:
    """Elements spread over the result; losses of a training, none where it has dropout."""
    if case.kind == "train":
        return [float(way()) for _ in range(STEPS)] if not case.rate else []
    flat = way().ravel()
    places = np.linspace(0, flat.size - 1, min(SAMPLE, flat.size)).astype(int)
    return [float(number) for number in flat[places]]


def step_memory(library: str, case: Case) -> int:
    """Bytes beyond those of a tiny training: model, optimizer and activations."""
    for way in ways_of(library, dataclasses.replace(case, sizes=(8, 64, 48, 6, 48, 1))).values():
        way()

    def train() -> None:
        for way in ways_of(library, case).values():
            for _ in range(STEPS):
                way()

    return highest(train)


# --- judging


def layer_lines(harness: Harness) -> Iterator[Line]:
    with script_processes(__file__, harness, LIBRARIES) as processes:
        for case in CASES:
            yield from lines_of(harness, processes, case)
    for case in CASES:
        if case.memory:
            yield memory_line(harness, case)


def lines_of(harness: Harness, processes: dict[str, ScriptProcess], case: Case) -> Iterator[Line]:
    """Compute the case in both, compare the results, time them in turns, judge."""
    results, reason = {}, forced_level()
    for name, process in processes.items():
        answer = process.ask("prepare", case=dataclasses.asdict(case))
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
    ways = {"heedful": partial(processes["heedful"].turn, way="")}
    for way, theirs in results.get("torch", {}).items():
        if (off := difference(own, theirs)) > ALLOWED:
            yield Line(case.what, f"difference ≤ {ALLOWED}", f"{off:.1e} from {way}", False)
            return
        ways[f"torch {way}"] = partial(processes["torch"].turn, way=way)
    turns = take_turns(harness, ways)
    # of the ways of torch the fastest counts
    best = min((name for name in ways if name != "heedful"), key=turns.seconds, default="torch")
    reason = reason or ("" if case.ratio else "no goal")
    ratio = turns.ratio("heedful", best)
    line = at_least(case.what, case.ratio or 1.0, ratio, "x torch", str(turns), reason)
    yield line.seen_in(turns.state)
    if case.fraction is not None and case.operations is not None:
        fraction = turns.fraction("heedful", case.operations)
        name = harness.peak.meaning
        yield fraction_line(case.what, case.fraction, fraction, name, turns.state)


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
        process = ScriptProcess(__file__, name, harness.threads)
        try:
            taken[name] = process.ask("memory", case=dataclasses.asdict(case))["bytes"]
        except WorkerDied as error:
            return Line(what, "≤ torch", "–", None, reason=str(error))
        finally:
            process.close()
    figures = ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in taken.items())
    if len(taken) < len(LIBRARIES):
        return Line(what, "≤ torch", figures, None, reason="torch was not measured")
    share = taken["heedful"] / taken["torch"]
    return Line(what, "≤ 1 x torch", f"{share:.2f} x torch", share <= 1, figures)


TOPIC = Topic("layers", __doc__, other=layer_lines)

if __name__ == "__main__":
    main(TOPIC, Worker)
