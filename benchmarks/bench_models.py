"""Whole models: transformers with eager and sdpa attention, and heedful.models.

Random weights, the widths and depths of real models. transformers saves each model, heedful loads
the same files in a process of its own; the logits of both are compared before anything is timed.
Prompts are read into a cache, with the logits of the last token alone; decoding is the mean of 32
steps after a prompt, without the prompt. heedful computes in float32, with weights of float32, of
bfloat16 and of int8; all are compared with sdpa in float32. The memory is the peak of heedful's
process from loading to the last token, above what it had before. With --threads 1 the times are
those of the processor.

Attention is a part of a model: its share of the time is printed beside the ratio, as PyTorch's sdpa
has it and as heedful does. So are the dense products of heedful: their share, and of a prompt their
speed in percent of the peak of multiply-adds, of decoding that of the memory's. What is missing to
the whole limit is all that better products could gain.
"""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from dense_products import DenseProducts
from model_cases import MODELS, STEPS, Model, parts
from model_libraries import Heedful, Transformers, nothing
from timed_calls import CLOCK

from heedful.benchmark.channel import Answer, rest
from heedful.benchmark.goal import Line, at_least
from heedful.benchmark.harness import Harness
from heedful.benchmark.script import (
    ScriptProcess,
    ScriptWorker,
    Turns,
    script_processes,
    take_turns,
)
from heedful.benchmark.topic import Topic, main

# error of logits relative to the largest
ALLOWED = {"sdpa": 1e-4, "heedful": 1e-4, "bfloat16": 0.1, "int8": 0.3}
TIMEOUT = 900.0  # seconds: models are made, saved and loaded
PROMPT, DECODING = 1.3, 1.5  # goals


class Worker(ScriptWorker):
    """transformers ("torch") or heedful; both answer the same questions."""

    def __init__(self, library: str, threads: int) -> None:
        super().__init__(library, threads)
        CLOCK[0] = time.process_time if threads == 1 else time.perf_counter
        if library == "torch":
            import transformers

            transformers.utils.logging.disable_progress_bar()
            self.version = transformers.__version__
            self.own: Any = Transformers()
        else:
            self.own = Heedful()

    def load(self, given: Answer, folder: str, asked: list[str]) -> Answer:
        """Saves or loads the model of a case, and prepares what is asked of it."""
        case = Model(**{**given, "prompts": tuple(given["prompts"])})
        self.own.load(case, folder, asked)
        self.calls = {
            f"{way} {what}": self.own.call(way, what, case)
            for what in asked for way in self.own.ways
        }  # fmt: skip
        return {"calls": list(self.calls)}

    def first(self, way: str) -> Answer:
        """Logits of the last tokens, the first 64 of each."""
        found = np.asarray(self.calls[way]())
        return {"logits": found[..., :64].reshape(-1).tolist()}

    def turn(self, way: str, seconds: float) -> Answer:
        times: list[float] = []
        call, whole = self.calls[way], 0.0
        while whole < seconds:
            start = CLOCK[0]()
            step = call()  # decoding measures its steps alone, whose prompt takes as long
            took = CLOCK[0]() - start
            whole += took
            times.append(step if isinstance(step, float) else took)
        rest()
        return {"times": times}

    def time_steps(self) -> Answer:
        """From now on decoding returns seconds."""
        for name in self.calls:
            if name.endswith("decoding"):
                self.calls[name] = partial(self.calls[name], timed=True)
        return {}

    def share(self, way: str) -> Answer:
        """Attention's part of a call, the median of three if they are short."""
        shares: list[float] = []
        begun = time.perf_counter()
        while len(shares) < 3 and (not shares or time.perf_counter() - begun < 1):
            with self.own.attention_timed(way.split()[0]) as spent:
                whole = self._seconds(way, partial(spent.__setitem__, 0, 0.0))
                shares.append(spent[0] / whole)
        return {"share": statistics.median(shares)}

    def dense(self, way: str) -> Answer:
        """Of the dense products of a call of heedful's."""
        with DenseProducts() as spent:
            whole = self._seconds(way, spent.restart)
        return {"seconds": spent.spent[0], "whole": whole, "operations": spent.operations,
                "bytes": spent.weight_bytes}  # fmt: skip

    def _seconds(self, way: str, begin: Callable[[], None]) -> float:
        """Of a call, of decoding without the prompt; `begin` is called where they begin."""
        self.own.begin = begin
        start = CLOCK[0]()
        step = self.calls[way]()
        took = CLOCK[0]() - start
        self.own.begin = nothing
        return STEPS * step if isinstance(step, float) else took

    def memory(self) -> Answer:
        return self.own.peak()


def model_lines(harness: Harness, name: str, part: str) -> Iterator[Line]:
    with script_processes(__file__, harness, ["torch", "heedful"]) as processes:
        if len(processes) < 2:
            yield Line("whole models", "≥ sdpa", "–", None, reason="torch was not asked")
            return
        case = MODELS[name]
        yield from case_lines(harness, processes, case, parts(case)[part])


def case_lines(
    harness: Harness, processes: dict[str, ScriptProcess], case: Model, asked: list[str]
) -> Iterator[Line]:
    theirs, ours = processes["torch"], processes["heedful"]
    with tempfile.TemporaryDirectory() as folder:
        for process in (theirs, ours):
            given = dataclasses.asdict(case)
            process.ask("load", timeout=TIMEOUT, given=given, folder=folder, asked=asked)
        file_bytes = sum(path.stat().st_size for path in Path(folder).glob("*.safetensors"))
    for what in asked:
        wrong = wrong_logits(theirs, ours, case, what)
        if wrong is not None:
            yield wrong
            return
    if "decoding" in asked:
        theirs.ask("time_steps")
        ours.ask("time_steps")
    for what in asked:
        yield from speed_lines(harness, theirs, ours, case, what)
    for way, peak in ours.ask("memory").items():
        size = file_bytes if way == "heedful" else file_bytes / 2
        yield Line(
            f"{case.what}, {'float32' if way == 'heedful' else way}: peak memory from loading to "
            "the last token", f"its weights, {size / 2**20:.0f} MiB, and the cache",
            f"{peak / 2**20:.0f} MiB", None, reason="activations and the cache are in it",
        )  # fmt: skip


def wrong_logits(theirs: ScriptProcess, ours: ScriptProcess, case: Model, what: str) -> Line | None:
    """The first way whose logits are not those of eager attention."""

    def first(process: ScriptProcess, way: str) -> np.ndarray:
        return np.array(process.ask("first", timeout=TIMEOUT, way=f"{way} {what}")["logits"])

    wanted = first(theirs, "eager")
    for way, allowed in ALLOWED.items():
        found = first(theirs if way == "sdpa" else ours, way)
        error = np.abs(found - wanted).max() / np.abs(wanted).max()
        if not error <= allowed:
            return Line(f"{case.what}, {what}: {way} and eager", f"error ≤ {allowed:g}",
                        f"{error:.1e}", False)  # fmt: skip
    return None


def speed_lines(
    harness: Harness, theirs: ScriptProcess, ours: ScriptProcess, case: Model, what: str
) -> Iterator[Line]:
    """All forms of heedful's weights, compared with sdpa."""
    calls = {way: partial(theirs.turn, way=f"{way} {what}") for way in ("eager", "sdpa")}
    calls |= {way: partial(ours.turn, way=f"{way} {what}") for way in Heedful.ways}
    turns = take_turns(harness, calls)
    wanted = DECODING if what == "decoding" else PROMPT
    shares = " and ".join(
        f"{process.ask('share', timeout=TIMEOUT, way=f'{way} {what}')['share']:.0%} of {way}'s time"
        for way, process in (("sdpa", theirs), ("heedful", ours))
    )
    for way in Heedful.ways:
        form = "float32" if way == "heedful" else way
        found = f"{turns.ratio(way, 'eager'):.2f} x eager"
        if way == "heedful":
            found += f", {turns.listed('eager', 'sdpa', way)}; attention: {shares}"
        else:
            found += f", {turns.ratio(way, 'heedful'):.2f} x float32, {turns.listed(way)}"
        dense = dense_share(harness, ours, turns, way, what)
        yield at_least(
            f"{case.what}, {what}, {form} weights", wanted, turns.ratio(way, "sdpa"), "x sdpa",
            f"{found}; {dense}",
        ).seen_in(turns.state)  # fmt: skip


def dense_share(harness: Harness, ours: ScriptProcess, turns: Turns, way: str, what: str) -> str:
    """The dense products' part of the time, and their speed beside the machine's."""
    found = ours.ask("dense", timeout=TIMEOUT, way=f"{way} {what}")
    share = f"dense products: {found['seconds'] / found['whole']:.0%} of the time"
    if what == "decoding":
        limit, name = harness.peak.bandwidth(harness.threads), "bandwidth"
        speed = found["bytes"] / found["seconds"] * 1e-9
    else:
        limit, name = statistics.median(turns.gflops), "FMA peak"
        speed = found["operations"] / found["seconds"] * 1e-9
    return share if limit is None else f"{share}, at {speed / limit:.0%} of the {name}"


TOPICS = [
    Topic(f"models-{name}-{part}", __doc__, other=partial(model_lines, name=name, part=part))
    for name, case in MODELS.items()
    for part in parts(case)
]

if __name__ == "__main__":
    main(TOPICS, Worker)
