"""Who takes turns at the clock, and the times that came out."""

import dataclasses
import statistics
from collections.abc import Sequence

from heedful.benchmark.shapes import Case


@dataclasses.dataclass(frozen=True)
class Entry:
    """One library on one case with that many threads."""

    case: Case
    library: str
    threads: int


@dataclasses.dataclass
class Runner:
    """An entry that was checked, and the seconds of its calls."""

    entry: Entry
    slot: int  # where its worker keeps it
    ways: dict[int, tuple[str, float]]  # number: name and error, of the ways that are right
    times: dict[int, list[list[float]]]  # number: for every turn the seconds of single calls

    def keep_fastest(self) -> None:
        """The best way is what counts, and nothing else is measured from here on."""
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
        """The median of every turn."""
        return [statistics.median(turn) for turn in self.times[self.way]]


@dataclasses.dataclass(frozen=True)
class Race:
    """What the turns gave, and what the machine itself could do between them."""

    runners: dict[Entry, Runner]
    left_out: dict[Entry, str]  # why
    wrong: dict[Entry, str]  # what was wrong with the result
    gflops: dict[int, list[float]]  # threads: the peak before every round
    bandwidth: dict[int, list[float]]  # threads: GB/s before every round; empty if not known

    def ratio(self, entry: Entry, other: Entry) -> float | None:
        """How many times as fast as the other the entry is: the median over the rounds.

        Both stand side by side in a round, so a machine that changes its speed from one minute to
        the next changes both.
        """
        if entry not in self.runners or other not in self.runners:
            return None
        turns = zip(self.runners[entry].turns, self.runners[other].turns, strict=False)
        return statistics.median(slow / fast for fast, slow in turns)

    def share(self, entry: Entry) -> float | None:
        """Its speed as a share of the machine's; None where that cannot be told."""
        if entry not in self.runners:
            return None
        median = statistics.median(self.runners[entry].seconds)
        threads = entry.threads
        return entry.case.share(median, self.peak_gflops(threads), self.peak_bandwidth(threads))

    def gain(self, threads: int, alone: int) -> float:
        """How many times as much the machine itself does with the threads as with fewer."""
        rounds = zip(self.gflops[threads], self.gflops[alone], strict=True)
        return statistics.median(all_threads / few for all_threads, few in rounds)

    def peak_gflops(self, threads: int) -> float:
        return statistics.median(self.gflops[threads])

    def peak_bandwidth(self, threads: int) -> float | None:
        return statistics.median(self.bandwidth[threads]) if self.bandwidth[threads] else None


def rotated(runners: Sequence[Runner], turn: int) -> list[Runner]:
    """Another one begins each round."""
    first = turn % len(runners) if runners else 0
    return [*runners[first:], *runners[:first]]
