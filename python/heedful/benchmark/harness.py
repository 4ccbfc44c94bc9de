"""Check every result against float64, then time the libraries alternately."""

import dataclasses
import statistics
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import numpy as np

from heedful.benchmark import oracle, peers
from heedful.benchmark.peak import MachinePeak
from heedful.benchmark.process import WorkerDied, WorkerProcess
from heedful.benchmark.race import Entry, Race, Runner, rotated
from heedful.benchmark.shapes import Case, make_inputs
from heedful.benchmark.state import UNKNOWN, State, is_undisturbed, worse
from heedful.benchmark.worker import encode_case

SLOPE = 0.1  # with dropout: tolerance of the projection of the result on the exact output, about 1
SLOW, ENOUGH = 1.0, 3  # a call of more than a second is repeated at most three times
TRIALS = 2  # rounds in which all ways of a library run; after them only the fastest


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
    """All libraries on one case, heedful first, and the machine's own speed at the same time."""

    case: Case
    measured: list[Measured]
    left_out: dict[str, str]  # library: why
    wrong: dict[str, str]  # library: what was wrong with its result
    peak_gflops: float
    peak_bandwidth: float | None  # GB/s
    state: State = UNKNOWN  # of the machine in the rounds that count

    @property
    def own(self) -> Measured | None:
        return self.of("heedful")

    @property
    def best_peer(self) -> Measured | None:
        others = [one for one in self.measured if one.library != "heedful"]
        return min(others, key=lambda one: one.median, default=None)

    @property
    def ratio(self) -> float | None:
        """The speed of heedful relative to the best peer."""
        if self.own is None or self.best_peer is None:
            return None
        return self.best_peer.median / self.own.median

    def fraction(self, one: Measured) -> float | None:
        """Its speed as a fraction of the machine's; None if unknown."""
        return self.case.fraction(one.median, self.peak_gflops, self.peak_bandwidth)

    def of(self, library: str) -> Measured | None:
        return next((one for one in self.measured if one.library == library), None)

    def as_dict(self) -> dict[str, Any]:
        return {
            "case": encode_case(self.case),
            "text": str(self.case),
            "measured": [dataclasses.asdict(one) for one in self.measured],
            "left_out": self.left_out,
            "wrong": self.wrong,
            "peak_gflops": self.peak_gflops,
            "peak_bandwidth": self.peak_bandwidth,
            "state": dataclasses.asdict(self.state),
        }


class Harness:
    """The worker processes of one run. Used with `with`, so that none is left behind."""

    threads: int
    rounds: int
    seconds: float

    def __init__(
        self, libraries: Sequence[str], threads: int, rounds: int = 7, seconds: float = 0.3
    ) -> None:
        self.threads, self.rounds, self.seconds = threads, rounds, seconds
        self.absent: dict[str, str] = {}
        self.versions: dict[str, str] = {}
        self._workers: dict[tuple[str, int], WorkerProcess] = {}
        self.peak: MachinePeak = MachinePeak()
        for name in libraries:
            if missing := peers.missing(name):
                self.absent[name] = f"not installed ({', '.join(missing)})"
            else:
                self._start(name, threads)

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

    @property
    def libraries(self) -> list[str]:
        """The running libraries, in the order in which they were requested."""
        return list(self.versions)

    def compare(
        self,
        case: Case,
        libraries: Sequence[str] | None = None,
        rounds: int | None = None,
        threads: int | None = None,
    ) -> Comparison:
        """All libraries, or the given ones, on one case."""
        names = [name for name in self.libraries if libraries is None or name in libraries]
        count = threads or self.threads
        race = self.race([Entry(case, name, count) for name in names], rounds)
        return Comparison(
            case,
            [_summary(runner) for runner in race.runners.values()],
            {entry.library: reason for entry, reason in race.left_out.items()},
            {entry.library: reason for entry, reason in race.wrong.items()},
            race.peak_gflops(count),
            race.peak_bandwidth(count),
            race.state,
        )

    def race(self, entries: Sequence[Entry], rounds: int | None = None) -> Race:
        """Prepare and check all entries, then time those with a right result alternately."""
        threads = sorted({entry.threads for entry in entries} or {self.threads})
        race = Race({}, {}, {}, {n: [] for n in threads}, {n: [] for n in threads})
        self._check(entries, race)
        nops = [self.peak.nops(threads[-1])]  # before every round, and after the last
        for turn in range(rounds or self.rounds):
            for count in threads:
                race.gflops[count].append(self.peak.gflops(count))
                if (read := self.peak.bandwidth(count)) is not None:
                    race.bandwidth[count].append(read)
            for runner in rotated(list(race.runners.values()), turn):
                if runner.entry in race.runners:  # its process may have died meanwhile
                    self._take_turn(runner, turn, race, nops)
            nops.append(self.peak.nops(threads[-1]))
        race = race.in_one_state([*map(worse, nops, nops[1:])], self.peak.best_nops)
        for runner in race.runners.values():
            runner.keep_fastest()
        return race

    def _check(self, entries: Sequence[Entry], race: Race) -> None:
        """Keep the ways with a right result; report the others."""
        self._forget()
        expected: dict[Case, tuple[oracle.Sample, list[oracle.Array]]] = {}
        for slot, entry in enumerate(entries):
            case = entry.case
            if case not in expected:
                sample = oracle.choose_sample(case)
                expected[case] = sample, oracle.expected(case, make_inputs(case), sample)
            sample, right = expected[case]
            answer = self._ask(
                entry, race, "prepare",
                slot=slot, case=encode_case(case), sample=dataclasses.asdict(sample),
            )  # fmt: skip
            ways = {}
            for number, way in enumerate(answer.get("ways", [])):
                error, allowed = _judge(case, [np.asarray(rows) for rows in way["rows"]], right)
                if error <= allowed:
                    ways[number] = (way["name"], error)
                else:
                    off = f"{way['name']} is off by {error:.1e}, allowed {allowed:.0e}"
                    race.wrong[entry] = off
            if ways:
                race.runners[entry] = Runner(entry, slot, ways, {number: [] for number in ways})

    def _forget(self) -> None:
        """Release the cases of earlier races; a worker that died is restarted when needed."""
        for place, worker in list(self._workers.items()):
            try:
                worker.ask("forget")
            except WorkerDied:
                self._workers.pop(place).close()

    def _take_turn(
        self, runner: Runner, turn: int, race: Race, nops: Sequence[float | None]
    ) -> None:
        if turn == TRIALS:
            runner.keep_fastest()
        needed = self._is_needed(runner, nops)
        for way, turns in runner.times.items():
            if not needed:
                turns.append([])
                continue
            answer = self._ask(
                runner.entry, race, "turn", slot=runner.slot, way=way, seconds=self.seconds
            )
            if "times" not in answer:
                race.runners.pop(runner.entry, None)
                return
            turns.append(answer["times"])

    def _is_needed(self, runner: Runner, nops: Sequence[float | None]) -> bool:
        """Whether it has not enough slow calls yet, in rounds no worse than this one."""
        good = [is_undisturbed(one, self.peak.best_nops) for one in map(worse, nops, nops[1:])]
        if not is_undisturbed(nops[-1], self.peak.best_nops):
            good = [True] * len(good)
        for turns in runner.times.values():
            counted = [turn for turn, fits in zip(turns, good, strict=True) if fits and turn]
            if sum(map(len, counted)) < ENOUGH or min(map(min, counted)) <= SLOW:
                return True
        return False

    def same_bits(self, cases: Sequence[Case], threads: Sequence[int]) -> bool:
        """Whether heedful's results are the same bits in all cases with each number of threads."""
        found: set[str] = set()
        for case in cases:
            entry, race = Entry(case, "heedful", self.threads), Race({}, {}, {}, {}, {})
            answer = self._ask(
                entry, race, "digests", case=encode_case(case), threads=list(threads)
            )
            found.update(answer.get("digests", ["", "no answer"]))
        return len(found) == 1

    def memory(self, case: Case, libraries: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Peak memory of each library, each in a fresh process."""
        answers = {}
        for name in [name for name in self.libraries if name in libraries]:
            if (name, self.threads) in self._workers:
                self._workers.pop((name, self.threads)).close()
            entry = Entry(case, name, self.threads)
            race = Race({}, {}, {}, {}, {})
            answer = self._ask(entry, race, "memory", case=encode_case(case), timeout=900.0)
            answers[name] = answer or {"failed": race.left_out[entry]}
        return answers

    def _start(self, name: str, threads: int) -> WorkerProcess | None:
        try:
            worker = self._workers[name, threads] = WorkerProcess(name, threads)
        except WorkerDied as reason:
            self.absent[name] = f"does not start: {reason}"
            self.versions.pop(name, None)
            return None
        self.versions.setdefault(name, worker.version)
        return worker

    def _ask(self, entry: Entry, race: Race, do: str, **arguments: Any) -> dict[str, Any]:
        """The worker's answer; empty, with the reason recorded, if there is none."""
        place = (entry.library, entry.threads)
        worker = self._workers.get(place) or self._start(*place)
        if worker is None:
            race.left_out[entry] = self.absent[entry.library]
            return {}
        try:
            answer = worker.ask(do, **arguments)
        except WorkerDied as reason:  # the next command starts a new process
            self._workers.pop(place).close()
            for lost in [one for one in race.runners if (one.library, one.threads) == place]:
                race.left_out[lost] = str(reason)
                del race.runners[lost]
            race.left_out[entry] = str(reason)
            return {}
        for word in ("unsupported", "failed"):
            if word in answer:
                race.left_out[entry] = answer[word]
                return {}
        return answer


def _judge(case: Case, rows: list[oracle.Array], right: list[oracle.Array]) -> tuple[float, float]:
    """The error of the rows, and its tolerance."""
    if case.dropout_p:  # each library drops different weights
        return abs(oracle.slope(rows, right) - 1), SLOPE
    return oracle.error(rows, right), oracle.TOLERANCE[case.dtype]


def _summary(runner: Runner) -> Measured:
    seconds = runner.seconds
    label, error = runner.ways[runner.way]
    median = statistics.median(seconds)
    low, _, high = statistics.quantiles(seconds, n=4) if len(seconds) > 1 else (median,) * 3
    spread = (high - low) / median
    name = runner.entry.library
    return Measured(name, label, error, min(seconds), median, spread, len(seconds))
