"""A race: entries that are timed alternately, and their times."""

import dataclasses
import statistics
from collections.abc import Sequence

from heedful.benchmark.shapes import Case
from heedful.benchmark.state import UNKNOWN, State, choose_rounds


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
    # number: for every round the seconds of single calls; none in a round that it did not need
    times: dict[int, list[list[float]]]

    def keep_fastest(self) -> None:
        """Keep the fastest way; the others are not measured any more."""
        fastest = min(
            self.times, key=lambda way: min(map(statistics.median, filter(None, self.times[way])))
        )
        self.times = {fastest: self.times[fastest]}

    def keep_rounds(self, rounds: Sequence[int]) -> None:
        """Forget the others, unless it was timed in none of these."""
        kept = {
            way: [turns[n] for n in rounds if n < len(turns)] for way, turns in self.times.items()
        }
        if all(any(turns) for turns in kept.values()):
            self.times = kept

    @property
    def way(self) -> int:
        return next(iter(self.times))

    @property
    def seconds(self) -> list[float]:
        """Of all calls in the best way."""
        return [second for turn in self.times[self.way] for second in turn]

    @property
    def turns(self) -> list[float | None]:
        """The median of every round."""
        return [statistics.median(turn) if turn else None for turn in self.times[self.way]]


@dataclasses.dataclass(frozen=True)
class Race:
    """The times of all rounds, and the machine's peak between them."""

    runners: dict[Entry, Runner]
    left_out: dict[Entry, str]  # why
    wrong: dict[Entry, str]  # what was wrong with the result
    gflops: dict[int, list[float]]  # threads: the peak before every round
    bandwidth: dict[int, list[float]]  # threads: GB/s before every round; empty if unknown
    state: State = UNKNOWN  # of the machine in these rounds

    def ratio(self, entry: Entry, other: Entry) -> float | None:
        """Speed relative to the other entry: the median over the rounds.

        Both are timed next to each other in a round, so a drift of the machine's speed affects
        both.
        """
        if entry not in self.runners or other not in self.runners:
            return None
        turns = zip(self.runners[entry].turns, self.runners[other].turns, strict=False)
        ratios = [slow / fast for fast, slow in turns if fast is not None and slow is not None]
        return statistics.median(ratios) if ratios else None

    def in_one_state(self, nops: Sequence[float | None], best: float) -> "Race":
        """The race of the rounds that saw the same; nops: what the core had left in every round."""
        state, rounds = choose_rounds(nops, best)
        for runner in self.runners.values():
            runner.keep_rounds(rounds)
        gflops, bandwidth = (
            {
                threads: [turns[n] for n in rounds if n < len(turns)]
                for threads, turns in one.items()
            }
            for one in (self.gflops, self.bandwidth)
        )
        return dataclasses.replace(self, gflops=gflops, bandwidth=bandwidth, state=state)

    def median(self, entry: Entry) -> float:
        """Seconds of a call."""
        return statistics.median(self.runners[entry].seconds)

    def fraction(self, entry: Entry) -> float | None:
        """Its speed as a fraction of the machine's; None if unknown."""
        if entry not in self.runners:
            return None
        threads = entry.threads
        return entry.case.fraction(
            self.median(entry), self.peak_gflops(threads), self.peak_bandwidth(threads)
        )

    def gain(self, threads: int, alone: int, memory: bool = False) -> float | None:
        """The speed-up of the machine's own limit with the threads over that with fewer.

        The peak or the memory bandwidth; None if unknown.
        """
        limit = self.bandwidth if memory else self.gflops
        rounds = zip(limit[threads], limit[alone], strict=True)
        return statistics.median([more / few for more, few in rounds]) if limit[alone] else None

    def peak_gflops(self, threads: int) -> float:
        return statistics.median(self.gflops[threads])

    def peak_bandwidth(self, threads: int) -> float | None:
        return statistics.median(self.bandwidth[threads]) if self.bandwidth[threads] else None


def rotated(runners: Sequence[Runner], turn: int) -> list[Runner]:
    """Runners with another one first in each round."""
    first = turn % len(runners) if runners else 0
    return [*runners[first:], *runners[:first]]
