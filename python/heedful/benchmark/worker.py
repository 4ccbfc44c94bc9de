"""A process of its own for one library:  python -m heedful.benchmark.worker LIBRARY THREADS"""

import copy
import dataclasses
import gc
import hashlib
import itertools
import math
import sys
import time

import numpy as np

import heedful
from heedful.benchmark import memory, oracle, peers
from heedful.benchmark.channel import Answer, rest, serve
from heedful.benchmark.shapes import Case, Shape, make_inputs, numpy_dtype

CACHES = 256e6  # bytes: larger than a processor's cache
SMALL = 16e6  # bytes of keys and values that may still be in the cache at the next step


class Timed:
    """One way to compute a case, ready to be called repeatedly."""

    def __init__(self, ways: list[peers.Way]) -> None:
        self._ways = ways  # the same on one or several copies of the inputs
        self._next = itertools.cycle([way.run for way in ways]).__next__
        self._last = 0.0  # seconds of the latest call

    def first(self, sample: oracle.Sample) -> Answer:
        """Call every copy once, and return the sampled rows."""
        for way in self._ways:
            with way.mode():
                start = time.perf_counter()
                result = way.run()
                self._last = time.perf_counter() - start
        rows = oracle.take(sample, way.read(result))
        return {"name": way.name, "rows": [array.tolist() for array in rows]}

    def turn(self, seconds: float) -> list[float]:
        """Time calls for about `seconds`: for each measurement the seconds of a single call."""
        with self._ways[0].mode():
            if self._last < 0.5:
                self._time(1)  # wakes the threads, fills the caches
            times: list[float] = []
            spent = 0.0
            while not times or spent + self._last < seconds:
                # reading the clock costs time: very short calls are timed several at once
                calls = max(1, min(1000, int(2e-4 / max(self._last, 1e-9))))
                elapsed = self._time(calls)
                spent += elapsed
                self._last = elapsed / calls
                times.append(self._last)
        return times

    def _time(self, calls: int) -> float:
        repeated = range(calls)
        if len(self._ways) > 1:
            start = time.perf_counter()
            for _ in repeated:
                self._next()()
            return time.perf_counter() - start
        run = self._ways[0].run
        start = time.perf_counter()
        for _ in repeated:
            run()
        return time.perf_counter() - start


class Worker:
    """Holds the ways to compute some cases and times them on demand."""

    def __init__(self, library: peers.Library) -> None:
        self.version: str = library.version
        self._library = library
        self._slots: dict[int, list[Timed]] = {}

    def forget(self) -> Answer:
        """Release the memory of all cases."""
        self._slots.clear()
        gc.collect()
        return {}

    def prepare(self, slot: int, case: Answer, sample: Answer) -> Answer:
        """Build the case, compute it once in every way, and return the sampled rows."""
        decoded = decode_case(case)
        inputs = make_inputs(decoded)
        copies = [inputs, *(copy.deepcopy(inputs) for _ in range(_copies(decoded) - 1))]
        try:
            ways = [self._library.ways(decoded, one) for one in copies]
        except peers.Unsupported as reason:
            return {"unsupported": str(reason)}
        timed = [Timed(list(same)) for same in zip(*ways, strict=True)]
        answers = [one.first(oracle.Sample(**sample)) for one in timed]
        self._slots[slot] = timed
        return {"ways": answers}

    def turn(self, slot: int, way: int, seconds: float) -> Answer:
        """Time calls for about `seconds`, then wait until the library's threads are idle."""
        times = self._slots[slot][way].turn(seconds)
        rest()
        return {"times": times}

    def digests(self, case: Answer, threads: list[int]) -> Answer:
        """A hash of all results for each number of threads; all equal in heedful."""
        decoded = decode_case(case)
        way = self._library.ways(decoded, make_inputs(decoded))[0]
        found = []
        for count in threads:
            with heedful.num_threads(count):
                results = way.read(way.run())
            bits = hashlib.sha256()
            for array in results:
                bits.update(np.ascontiguousarray(array).tobytes())
            found.append(bits.hexdigest())
        return {"digests": found}

    def memory(self, case: Answer) -> Answer:
        """Peak memory beyond inputs and outputs of the first call of that size."""
        decoded = decode_case(case)
        try:
            return memory.measure(self._library, decoded)
        except peers.Unsupported as reason:
            return {"unsupported": str(reason)}


def _copies(case: Case) -> int:
    """The number of copies of the inputs that calls cycle through.

    A decoding step reads keys and values once, and before the next one on the same layer those of
    all other layers are read. Calls on one copy would find part of it in the processor's cache.
    """
    cache = case.shape.cache_elements * numpy_dtype(case.dtype).itemsize
    return math.ceil(CACHES / cache) if case.reads_memory and cache > SMALL else 1


def encode_case(case: Case) -> Answer:
    return dataclasses.asdict(case)


def decode_case(fields: Answer) -> Case:
    shape = {**fields["shape"]}
    for name in ("padding", "window"):
        shape[name] = None if shape[name] is None else tuple(shape[name])
    return Case(**{**fields, "shape": Shape(**shape)})


if __name__ == "__main__":
    serve(lambda: Worker(peers.load(sys.argv[1], int(sys.argv[2]))))
