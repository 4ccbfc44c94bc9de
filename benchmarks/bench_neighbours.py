"""The time of calls beside other busy processes, and alone: all threads, one thread, and torch.

Neighbours are processes that only spin. Single calls are timed, because a neighbour seldom affects
the median: a call that waits for a thread without a processor waits for milliseconds. The mean
measures the throughput of a program that calls repeatedly.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from multiprocessing import get_context

import numpy as np

from heedful.benchmark.goal import Line, at_least
from heedful.benchmark.harness import Harness
from heedful.benchmark.topic import Topic

# (heads, length) of self-attention of depth 64: about 10 µs, 50 µs, 200 µs, 1 ms and 20 ms of work
# for one thread of a processor of 2023
SIZES = {
    "10 us": (2, 40),
    "50 us": (4, 64),
    "200 us": (4, 128),
    "1 ms": (8, 200),
    "20 ms": (8, 900),
}
DEPTH = 64
QUANTILES = (0.5, 0.99)
GOAL = 0.95
UNIT = "x as many calls as on one thread"


def measure(
    library: str, threads: int, heads: int, length: int, seconds: float, pause: float
) -> list[float]:
    """Seconds of every single call in about `seconds`. Runs in a process of the library's own."""
    rng = np.random.default_rng(1)
    query, key, value = (
        rng.standard_normal((1, heads, length, DEPTH)).astype("f") for _ in range(3)
    )
    if library == "torch":
        import torch

        torch.set_num_threads(threads)
        tensors = [torch.from_numpy(array) for array in (query, key, value)]

        def call() -> object:
            return torch.nn.functional.scaled_dot_product_attention(*tensors)
    else:
        import heedful

        heedful.set_num_threads(threads)

        def call() -> object:
            return heedful.attention(query, key, value)

    clock = time.perf_counter
    for _ in range(3):  # starts threads, fills caches
        call()
    times: list[float] = []
    end = clock() + seconds
    while len(times) < 5 or clock() < end:
        if pause:
            until = clock() + pause
            while clock() < until:
                pass
        start = clock()
        call()
        times.append(clock() - start)
    time.sleep(0.02)  # the library's threads may still spin: not during the next turn
    return times


@contextmanager
def neighbours(number: int) -> Iterator[None]:
    """That many processes that spin until the end of the block."""
    with ExitStack() as stack:
        for _ in range(number):
            process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(process.wait)
            stack.callback(process.kill)
        time.sleep(0.2 if number else 0)  # until they have started
        yield


def columns_of(
    columns: Sequence[tuple[str, int]],
    size: str,
    number: int,
    rounds: int = 3,
    seconds: float = 0.15,
    pause: float = 0.0,
) -> list[list[float]]:
    """Seconds of single calls for each (library, threads); they take turns beside `number`."""
    times: list[list[float]] = [[] for _ in columns]
    with ExitStack() as stack:
        processes = [
            stack.enter_context(ProcessPoolExecutor(1, mp_context=get_context("spawn")))
            for _ in columns
        ]
        for process, (library, threads) in zip(processes, columns, strict=True):
            process.submit(measure, library, threads, *SIZES[size], 0, 0).result()  # imports
        stack.enter_context(neighbours(number))
        for turn in range(rounds):
            for place in range(len(columns)):
                column = (place + turn) % len(columns)
                job = processes[column].submit(
                    measure, *columns[column], *SIZES[size], seconds, pause
                )
                times[column] += job.result()
    return times


def neighbour_lines(harness: Harness) -> Iterator[Line]:
    """All threads beside one busy process: no worse than one thread, which waits for none."""
    for size in list(SIZES)[1:]:  # 10 µs are too short for threads
        what = f"{size} of work beside one busy process"
        if harness.threads == 1:
            yield at_least(what, GOAL, None, UNIT, reason="there is one thread")
            continue
        columns = [("heedful", harness.threads), ("heedful", 1)]
        together, alone = columns_of(columns, size, 1, harness.rounds, harness.seconds)
        highest = 1e6 * float(np.quantile(together, 0.99))
        ratio = float(np.mean(alone) / np.mean(together))
        yield at_least(what, GOAL, ratio, UNIT, f"99 % of the calls within {highest:.0f} µs")


TOPIC = Topic("neighbours", __doc__, other=neighbour_lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", choices=SIZES, metavar="SIZE", default=list(SIZES),
                        help=f"out of {', '.join(SIZES)}")  # fmt: skip
    parser.add_argument("--neighbours", nargs="+", type=int, default=[0, 1, 2], metavar="N")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)),
                        help="default: all cores")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=3, help="turns of each column (default: 3)")
    parser.add_argument("--seconds", type=float, default=0.15, help="of a turn (default: 0.15)")
    parser.add_argument("--pause", type=float, default=0.0, metavar="MICROSECONDS",
                        help="other work of the calling thread before each call")  # fmt: skip
    arguments = parser.parse_args()

    columns = [("heedful", arguments.threads), ("heedful", 1)]
    if find_spec("torch") is not None:
        columns.append(("torch", arguments.threads))
    print("microseconds of a call: mean, median, 99 %\n")
    print(
        f"{'neighbours':>10}  {'work':>6}",
        *(f"{f'{name}, {n} thread' + 's' * (n > 1):>28}" for name, n in columns),
    )
    for number in arguments.neighbours:
        for size in arguments.sizes:
            times = columns_of(
                columns, size, number, arguments.rounds, arguments.seconds, 1e-6 * arguments.pause
            )
            cells = (
                1e6 * np.array([np.mean(column), *np.quantile(column, QUANTILES)])
                for column in times
            )
            print(
                f"{number:>10}  {size:>6}",
                *(f"{mean:>10.1f} {median:>8.1f} {high:>8.1f}" for mean, median, high in cells),
                flush=True,
            )


if __name__ == "__main__":
    main()
