"""A process of its own for one library:  python -m heedful.benchmark.worker LIBRARY THREADS

Commands come in on standard input, answers go out on standard output, as lines of JSON.
"""

import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from heedful.benchmark import memory, oracle, peers
from heedful.benchmark.shapes import Case, Shape, make_inputs

Answer = dict[str, Any]


class Worker:
    """Holds the ways to compute one case and times them on demand."""

    def __init__(self, library: peers.Library) -> None:
        self._library = library
        self._ways: list[peers.Way] = []
        self._last: list[float] = []  # seconds of the latest call of each way

    def prepare(self, case: Answer, sample: Answer) -> Answer:
        """Build the case, compute it once in every way, and hand out the sampled rows."""
        self._ways, self._last = [], []
        asked = decode_case(case)
        try:
            self._ways = self._library.ways(asked, make_inputs(asked))
        except peers.Unsupported as reason:
            return {"unsupported": str(reason)}
        answers = []
        for way in self._ways:
            start = time.perf_counter()
            result = way.run()
            self._last.append(time.perf_counter() - start)
            rows = oracle.take(oracle.Sample(**sample), way.read(result))
            answers.append({"name": way.name, "rows": [array.tolist() for array in rows]})
        return {"ways": answers}

    def turn(self, way: int, seconds: float) -> Answer:
        """Time calls for about that long, then wait until the library's threads are at rest."""
        run = self._ways[way].run
        if self._last[way] < 0.5:
            run()  # wakes the threads, fills the caches
        times: list[float] = []
        spent = 0.0
        while not times or spent + self._last[way] < seconds:
            calls = max(
                1, min(1000, int(2e-4 / max(self._last[way], 1e-9)))
            )  # the clock costs, too
            elapsed = _time(run, calls)
            spent += elapsed
            self._last[way] = elapsed / calls
            times.append(elapsed / calls)
        _rest()
        return {"times": times}

    def memory(self, case: Answer) -> Answer:
        """Peak memory beyond inputs and outputs of the first call of that size."""
        asked = decode_case(case)
        try:
            return memory.measure(self._library, asked)
        except peers.Unsupported as reason:
            return {"unsupported": str(reason)}


def _time(run: Callable[[], object], calls: int) -> float:
    repeated = range(calls)
    start = time.perf_counter()
    for _ in repeated:
        run()
    return time.perf_counter() - start


def _rest(longest: float = 0.6) -> None:
    """Until no thread of this process spins any more: some pools do for 200 ms after their work."""
    end = time.monotonic() + longest
    while time.monotonic() < end:
        before = time.process_time()
        time.sleep(0.02)
        if time.process_time() - before < 0.002:
            return


def encode_case(case: Case) -> Answer:
    return dataclasses.asdict(case)


def decode_case(fields: Answer) -> Case:
    shape = {**fields["shape"]}
    for name in ("padding", "window"):
        shape[name] = None if shape[name] is None else tuple(shape[name])
    return Case(**{**fields, "shape": Shape(**shape)})


def _answers(library: peers.Library, lines: Iterator[str]) -> Iterator[Answer]:
    yield {"version": library.version}
    worker = Worker(library)
    for line in lines:
        command = json.loads(line)
        try:
            yield getattr(worker, command.pop("do"))(**command)
        except Exception as error:  # the harness reports it and goes on
            yield {"failed": f"{type(error).__name__}: {str(error)[:300]}"}


def main() -> None:
    name, threads = sys.argv[1], int(sys.argv[2])
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not come between the answers
    try:
        library = peers.load(name, threads)
    except Exception as error:
        channel.write(json.dumps({"failed": f"{type(error).__name__}: {str(error)[:300]}"}) + "\n")
        return
    for answer in _answers(library, iter(sys.stdin.readline, "")):
        channel.write(json.dumps(answer) + "\n")
        channel.flush()


if __name__ == "__main__":
    main()
