"""Check every library's result against float64, then let them take turns at the clock."""

import dataclasses
import statistics
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any

import numpy as np

from heedful.benchmark import oracle, peers
from heedful.benchmark.peak import MachinePeak
from heedful.benchmark.process import WorkerDied, WorkerProcess
from heedful.benchmark.shapes import Case, make_inputs
from heedful.benchmark.worker import encode_case

SLOPE = 0.1  # with dropout: how far from 1 the part of the exact output in the result may be
SLOW, ENOUGH = 1.0, 3  # a call of more than a second need not be repeated more than three times


@dataclasses.dataclass(frozen=True)
class Measured:
    """One library on one case. Times in seconds, of single calls."""

    library: str
    way: str
    error: float  # against float64, relative to the largest entry
    best: float
    median: float
    spread: float  # between the quartiles, relative to the median
    calls: int


@dataclasses.dataclass(frozen=True)
class Comparison:
    """All libraries on one case, heedful first, and the machine's own speed in the same minutes."""

    case: Case
    measured: list[Measured]
    left_out: dict[str, str]  # library: why
    wrong: dict[str, str]  # library: what was wrong with its result
    peak_gflops: float
    peak_bandwidth: float | None  # GB/s

    @property
    def own(self) -> Measured | None:
        return next((one for one in self.measured if one.library == "heedful"), None)

    @property
    def best_peer(self) -> Measured | None:
        others = [one for one in self.measured if one.library != "heedful"]
        return min(others, key=lambda one: one.median, default=None)

    @property
    def ratio(self) -> float | None:
        """How many times as fast as the best peer heedful is."""
        if self.own is None or self.best_peer is None:
            return None
        return self.best_peer.median / self.own.median

    def as_dict(self) -> dict[str, Any]:
        return {
            "case": encode_case(self.case),
            "text": str(self.case),
            "measured": [dataclasses.asdict(one) for one in self.measured],
            "left_out": self.left_out,
            "wrong": self.wrong,
            "peak_gflops": self.peak_gflops,
            "peak_bandwidth": self.peak_bandwidth,
        }


class Harness:
    """The worker processes of one run. Used with `with`, so that none is left behind."""

    def __init__(
        self, libraries: Sequence[str], threads: int, rounds: int = 7, seconds: float = 0.3
    ) -> None:
        self.threads, self.rounds, self.seconds = threads, rounds, seconds
        self.absent: dict[str, str] = {}
        self.versions: dict[str, str] = {}
        self._workers: dict[str, WorkerProcess] = {}
        self.peak = MachinePeak(threads)
        for name in libraries:
            if missing := peers.missing(name):
                self.absent[name] = f"not installed ({', '.join(missing)})"
            else:
                self._start(name)

    def __enter__(self) -> "Harness":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self._workers.values():
            worker.close()
        self.peak.close()

    def _start(self, name: str) -> None:
        try:
            self._workers[name] = WorkerProcess(name, self.threads)
        except WorkerDied as reason:
            self.absent[name] = f"does not start: {reason}"
        else:
            self.versions[name] = self._workers[name].version

    def compare(self, case: Case) -> Comparison:
        """Prepare and check the case in every library, then time those whose result is right."""
        left_out: dict[str, str] = {}
        wrong: dict[str, str] = {}
        ways = self._checked_ways(case, left_out, wrong)
        times: dict[str, dict[int, list[float]]] = {
            name: {w: [] for w in ways[name]} for name in ways
        }
        gflops, bandwidth = [], []
        for turn in range(self.rounds):
            gflops.append(self.peak.gflops())
            bandwidth.append(self.peak.bandwidth())
            for name in _rotated(list(times), turn):
                self._take_turn(name, times, left_out)
        measured = [_summary(name, times[name], ways[name]) for name in ways if name in times]
        read = [one for one in bandwidth if one is not None]
        return Comparison(
            case,
            measured,
            left_out,
            wrong,
            statistics.median(gflops),
            statistics.median(read) if read else None,
        )

    def _checked_ways(
        self, case: Case, left_out: dict[str, str], wrong: dict[str, str]
    ) -> dict[str, dict[int, tuple[str, float]]]:
        """For each library the numbers of its right ways, with their names and errors."""
        sample = oracle.choose_sample(case)
        right = oracle.expected(case, make_inputs(case), sample)
        ways: dict[str, dict[int, tuple[str, float]]] = {}
        for name in list(self._workers):
            answer = self._ask(
                name, left_out, "prepare", case=encode_case(case), sample=dataclasses.asdict(sample)
            )
            for number, way in enumerate(answer.get("ways", [])):
                rows = [np.asarray(array) for array in way["rows"]]
                error, allowed = _judge(case, rows, right)
                if error <= allowed:
                    ways.setdefault(name, {})[number] = (way["name"], error)
                else:
                    wrong[name] = f"{way['name']} is off by {error:.1e}, allowed {allowed:.0e}"
        return ways

    def _take_turn(
        self, name: str, times: dict[str, dict[int, list[float]]], left_out: dict[str, str]
    ) -> None:
        if all(len(seconds) >= ENOUGH and min(seconds) > SLOW for seconds in times[name].values()):
            return
        for way in list(times[name]):
            answer = self._ask(name, left_out, "turn", way=way, seconds=self.seconds)
            if "times" not in answer:
                del times[name]
                return
            times[name][way] += answer["times"]
        if len(times[name]) > 1:  # from now on only the fastest way
            fastest = min(times[name], key=lambda way: min(times[name][way]))
            times[name] = {fastest: times[name][fastest]}

    def memory(self, case: Case) -> dict[str, dict[str, Any]]:
        """What each library answers to the question of memory, each in a fresh process."""
        answers = {}
        for name in list(self._workers):
            self._workers.pop(name).close()
            self._start(name)
            left_out: dict[str, str] = {}
            answer = self._ask(name, left_out, "memory", case=encode_case(case), patience=900.0)
            answers[name] = answer or {"failed": left_out[name]}
        return answers

    def _ask(
        self, name: str, left_out: dict[str, str], do: str, **arguments: Any
    ) -> dict[str, Any]:
        """The worker's answer; empty, with the reason noted, when there is none."""
        try:
            answer = self._workers[name].ask(do, **arguments)
        except WorkerDied as reason:
            left_out[name] = str(reason)
            self._workers.pop(name).close()
            self._start(name)  # the next case gets a new process
            return {}
        for word in ("unsupported", "failed"):
            if word in answer:
                left_out[name] = answer[word]
                return {}
        return answer


def _judge(case: Case, rows: list[oracle.Array], right: list[oracle.Array]) -> tuple[float, float]:
    """How wrong the rows are, and how wrong they may be."""
    if case.dropout_p:  # which weights were dropped is each library's own affair
        return abs(oracle.slope(rows, right) - 1), SLOPE
    return oracle.error(rows, right), oracle.TOLERANCE[case.dtype]


def _rotated(names: list[str], turn: int) -> Iterable[str]:
    first = turn % len(names) if names else 0
    return names[first:] + names[:first]


def _summary(
    name: str, times: dict[int, list[float]], ways: dict[int, tuple[str, float]]
) -> Measured:
    way = min(times, key=lambda number: min(times[number]))
    seconds = times[way]
    label, error = ways[way]
    median = statistics.median(seconds)
    low, _, high = statistics.quantiles(seconds, n=4) if len(seconds) > 1 else (median,) * 3
    return Measured(name, label, error, min(seconds), median, (high - low) / median, len(seconds))
