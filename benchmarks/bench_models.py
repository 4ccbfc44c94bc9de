"""Whole models: transformers with eager and sdpa attention, and heedful.models.

Random weights, the widths and depths of real models. transformers saves each model, heedful loads
the same files in a process of its own; the logits of both are compared before anything is timed.
Prompts are read into a cache, with the logits of the last token alone; decoding is the mean of 32
steps after a prompt, without the prompt. heedful computes in float32, with weights of float32 and
of bfloat16. The memory is the peak of heedful's process from loading to the last token, above what
it had before. With --threads 1 the times are those of the processor.

Attention is a part of a model: its share of the time is printed beside the ratio, as PyTorch's sdpa
has it and as heedful does.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from model_cases import MODELS, STEPS, Model, works
from model_libraries import Heedful, Transformers, nothing
from timed_calls import CLOCK

from heedful.benchmark.channel import Answer, rest
from heedful.benchmark.goal import Line, at_least
from heedful.benchmark.harness import Harness
from heedful.benchmark.script import ScriptProcess, ScriptWorker, script_processes, take_turns
from heedful.benchmark.topic import Topic, main

# error of logits relative to the largest
ALLOWED = {"sdpa": 1e-4, "heedful": 1e-4, "bfloat16": 0.1}
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

    def load(self, given: Answer, folder: str) -> Answer:
        """Saves or loads the model of a case."""
        case = Model(**{**given, "prompts": tuple(given["prompts"])})
        self.own.load(case, folder)
        self.calls = {
            f"{way} {what}": self.own.call(way, what, case)
            for what in works(case) for way in self.own.ways
        }  # fmt: skip
        return {"calls": list(self.calls)}

    def first(self, way: str) -> Answer:
        """Logits of the last tokens, the first 64 of each."""
        found = np.asarray(self.calls[way]())
        return {"logits": found[..., :64].reshape(-1).tolist()}

    def turn(self, way: str, seconds: float) -> Answer:
        times: list[float] = []
        call = self.calls[way]
        while not times or sum(times) < seconds:
            start = CLOCK[0]()
            spent = call()  # decoding measures its steps alone
            spent = spent if isinstance(spent, float) else CLOCK[0]() - start
            times.append(spent)
        rest()
        return {"times": times}

    def time_steps(self) -> Answer:
        """From now on decoding returns seconds."""
        for name in self.calls:
            if name.endswith("decoding"):
                self.calls[name] = partial(self.calls[name], timed=True)
        return {}

    def share(self, way: str) -> Answer:
        """Attention's part of a call, the median of three."""
        shares = []
        for _ in range(3):
            with self.own.attention_timed(way.split()[0]) as spent:
                self.own.begin = partial(spent.__setitem__, 0, 0.0)
                start = CLOCK[0]()
                whole = self.calls[way]()
                steps = STEPS * whole if isinstance(whole, float) else None
                shares.append(spent[0] / (steps or CLOCK[0]() - start))
                self.own.begin = nothing
        return {"share": sorted(shares)[1]}

    def memory(self) -> Answer:
        return self.own.peak()


def model_lines(harness: Harness) -> Iterator[Line]:
    with script_processes(__file__, harness, ["torch", "heedful"]) as processes:
        if len(processes) < 2:
            yield Line("whole models", "≥ sdpa", "–", None, reason="torch was not asked")
            return
        for case in MODELS:
            yield from case_lines(harness, processes, case)


def case_lines(
    harness: Harness, processes: dict[str, ScriptProcess], case: Model
) -> Iterator[Line]:
    theirs, ours = processes["torch"], processes["heedful"]
    with tempfile.TemporaryDirectory() as folder:
        for process in (theirs, ours):
            process.ask("load", timeout=TIMEOUT, given=dataclasses.asdict(case), folder=folder)
        file_bytes = sum(path.stat().st_size for path in Path(folder).glob("*.safetensors"))
    for what in works(case):
        wrong = wrong_logits(theirs, ours, case, what)
        if wrong is not None:
            yield wrong
            return
    if "decoding" in works(case):
        theirs.ask("time_steps")
        ours.ask("time_steps")
    for what in works(case):
        yield speed_line(harness, theirs, ours, case, what)
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


def speed_line(
    harness: Harness, theirs: ScriptProcess, ours: ScriptProcess, case: Model, what: str
) -> Line:
    turns = take_turns(harness, {
        "eager": partial(theirs.turn, way=f"eager {what}"),
        "sdpa": partial(theirs.turn, way=f"sdpa {what}"),
        "heedful": partial(ours.turn, way=f"heedful {what}"),
        "bfloat16": partial(ours.turn, way=f"bfloat16 {what}"),
    })  # fmt: skip
    shares = []
    for way, process in (("sdpa", theirs), ("heedful", ours)):
        share = process.ask("share", timeout=TIMEOUT, way=f"{way} {what}")["share"]
        shares.append(f"{way} {share:.0%}")
    eager, narrow = turns.ratio("heedful", "eager"), turns.ratio("bfloat16", "sdpa")
    found = (f"{eager:.2f} x eager; with bfloat16 weights {narrow:.2f} x sdpa; {turns}; "
             f"attention: {', '.join(shares)} of the time")  # fmt: skip
    return at_least(
        f"{case.what}, {what}", DECODING if what == "decoding" else PROMPT,
        turns.ratio("heedful", "sdpa"), "x sdpa", found, "",
    ).seen_in(turns.state)  # fmt: skip


TOPIC = Topic("models", __doc__, other=model_lines)

if __name__ == "__main__":
    main(TOPIC, Worker)
