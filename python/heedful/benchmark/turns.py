"""Calls of one process that take turns: the state of the machine is the same for all of them."""

import statistics
import time
from collections.abc import Callable, Mapping

from heedful.benchmark.goal import Line


def take_turns(
    calls: Mapping[str, Callable[[], object]],
    rounds: int,
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """The median time of a call in every round."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            call()
            times: list[float] = []
            begin = time.perf_counter()
            while time.perf_counter() - begin < seconds / len(calls) or len(times) < 3:
                start = clock()
                call()
                times.append(clock() - start)
            found[name].append(statistics.median(times))
    return found


def clock_of(threads: int) -> Callable[[], float]:
    """For one thread processor time, which other programs hardly disturb."""
    return time.process_time if threads == 1 else time.perf_counter


def times_as_fast(
    what: str, times: Mapping[str, list[float]], fast: str, slow: str, goal: float
) -> Line:
    """How many times as fast one is as another: the median over the rounds, and its range."""
    ratios = [b / a for a, b in zip(times[fast], times[slow], strict=True)]
    ratio = statistics.median(ratios)
    figure = f"{ratio:.2f} x ({min(ratios):.2f} to {max(ratios):.2f})"
    return Line(what, f"≥ {goal} x {slow}", figure, ratio >= goal)


def table(times: Mapping[str, list[float]]) -> str:
    return "\n".join(
        f"  {name:<28} {1e3 * statistics.median(each):9.3f} ms" for name, each in times.items()
    )
