"""A race: entries that are timed alternately, and their times."""

import dataclasses
import statistics
from collections.abc import Sequence

from heedful.benchmark.shapes import Case


@dataclasses.dataclass(frozen=True)
class Entry:
    """One library on one case with a number of threads."""

    case: Case
    library: str
    threads: int


@dataclasses.dataclass
class Runner:
    """A checked entry, and the seconds of its calls."""

    entry: Entry
    slot: int  # its index in the worker
    ways: dict[int, tuple[str, float]]  # number: name and error, of the ways with a right result
    times: dict[int, list[list[float]]]  # number: for every round the seconds of single calls

    def keep_fastest(self) -> None:
        """Keep the fastest way; the others are not measured any more."""
        fastest = min(self.times, key=lambda way: min(map(statistics.median, self.times[way])))
        self.times = {fastest: self.times[fastest]}

    @property
    def way(self) -> int:
        return next(iter(self.times))

    @property
    def seconds(self) -> list[float]:
        """Of all calls in the best way."""
        return [second for turn in self.times[self.way] for second in turn]

    @property
    def turns(self) -> list[float]:
        """The median of every round."""
        return [statistics.median(turn) for turn in self.times[self.way]]


@dataclasses.dataclass(frozen=True)
class Race:
    """The times of all rounds, and the machine's peak between them."""

    runners: dict[Entry, Runner]
    left_out: dict[Entry, str]  # why
    wrong: dict[Entry, str]  # what was wrong with the result
    gflops: dict[int, list[float]]  # threads: the peak before every round
    bandwidth: dict[int, list[float]]  # threads: GB/s before every round; empty if unknown

    def ratio(self, entry: Entry, other: Entry) -> float | None:
        """Speed relative to the other entry: the median over the rounds.

        Both are timed next to each other in a round, so a drift of the machine's speed affects
        both.
        """
        if entry not in self.runners or other not in self.runners:
            return None
        turns = zip(self.runners[entry].turns, self.runners[other].turns, strict=False)
        return statistics.median(slow / fast for fast, slow in turns)

    def fraction(self, entry: Entry) -> float | None:
        """Its speed as a fraction of the machine's; None if unknown."""
        if entry not in self.runners:
            return None
        median = statistics.median(self.runners[entry].seconds)
        threads = entry.threads
        return entry.case.fraction(median, self.peak_gflops(threads), self.peak_bandwidth(threads))

    def gain(self, threads: int, alone: int) -> float:
        """The speed-up of the machine's own peak with the threads over that with fewer."""
        rounds = zip(self.gflops[threads], self.gflops[alone], strict=True)
        return statistics.median(all_threads / few for all_threads, few in rounds)

    def peak_gflops(self, threads: int) -> float:
        return statistics.median(self.gflops[threads])

    def peak_bandwidth(self, threads: int) -> float | None:
        return statistics.median(self.bandwidth[threads]) if self.bandwidth[threads] else None


def rotated(runners: Sequence[Runner], turn: int) -> list[Runner]:
    """Runners with another one first in each round."""
    first = turn % len(runners) if runners else 0
    return [*runners[first:], *runners[:first]]
