"""Speed over the number of threads, beside that of the machine's own limit."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from heedful.benchmark.harness import Harness
from heedful.benchmark.race import Entry, Race
from heedful.benchmark.shapes import Case
from heedful.benchmark.worker import encode_case


@dataclasses.dataclass(frozen=True)
class Point:
    """One number of threads. Speed-ups are those over the fewest threads."""

    threads: int
    seconds: dict[str, float]  # library: the median
    fraction: float | None  # heedful's of the limit
    speed_up: float | None  # heedful's
    limit_speed_up: float | None


@dataclasses.dataclass(frozen=True)
class ThreadCurve:
    """One case with several numbers of threads, all in one race."""

    case: Case
    race: Race
    threads: list[int]
    libraries: list[str]

    @property
    def points(self) -> list[Point]:
        return [self._point(count) for count in self.threads]

    def _point(self, count: int) -> Point:
        race, fewest = self.race, self.threads[0]
        entries = [Entry(self.case, name, count) for name in self.libraries]
        own = Entry(self.case, "heedful", count)
        return Point(
            count,
            {one.library: race.median(one) for one in entries if one in race.runners},
            race.fraction(own),
            race.ratio(own, Entry(self.case, "heedful", fewest)),
            race.gain(count, fewest, memory=self.case.reads_memory),
        )

    @property
    def wrong(self) -> bool:
        return any(entry.library == "heedful" for entry in self.race.wrong)

    def __str__(self) -> str:
        unit = "GB/s" if self.case.reads_memory else "GFLOP/s"
        limit = "memory" if self.case.reads_memory else "peak"
        others = [name for name in self.libraries if name != "heedful"]
        head = (
            f"  {'threads':>7}{unit:>10}{f'of {limit}':>11}{'speed-up':>10}"
            f"{f'the {limit}':>12}{'of it':>8}" + "".join(f"{name:>12}" for name in others)
        )
        rows = [self._row(point, others) for point in self.points]
        reasons = [
            f"  {entry.library}, {entry.threads} threads: {reason[:60]}"
            for entry, reason in {**self.race.wrong, **self.race.left_out}.items()
        ]
        return "\n".join([f"{self.case}\n  {self.race.state}", head, *rows, *reasons])

    def _row(self, point: Point, others: Sequence[str]) -> str:
        speeds = {name: f"{self.case.rate(t):.1f}" for name, t in point.seconds.items()}
        own, limit = point.speed_up, point.limit_speed_up
        relative = "-" if own is None or limit is None else f"{own / limit:.0%}"
        return (
            f"  {point.threads:>7}{speeds.get('heedful', '-'):>10}"
            f"{'-' if point.fraction is None else f'{point.fraction:.0%}':>11}"
            f"{_times(own):>10}{_times(limit):>12}{relative:>8}"
            + "".join(f"{speeds.get(name, '-'):>12}" for name in others)
        )

    def as_dict(self) -> dict[str, Any]:
        return {
            "case": encode_case(self.case),
            "text": str(self.case),
            "state": dataclasses.asdict(self.race.state),
            "points": [
                {
                    **dataclasses.asdict(point),
                    "peak_gflops": self.race.peak_gflops(point.threads),
                    "peak_bandwidth": self.race.peak_bandwidth(point.threads),
                }
                for point in self.points
            ],
        }


def _times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f} x"


def measure(harness: Harness, case: Case, threads: Sequence[int]) -> ThreadCurve:
    entries = [Entry(case, name, count) for count in threads for name in harness.libraries]
    return ThreadCurve(case, harness.race(entries), sorted(threads), harness.libraries)
