"""A tiny call, where all the time is dispatch; and the time that `import heedful` takes."""

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

from heedful.benchmark.goal import Goal, Line
from heedful.benchmark.harness import Harness
from heedful.benchmark.shapes import OVERHEAD, Case
from heedful.benchmark.topic import Topic, main

GOALS = {
    Case(OVERHEAD[0], backward=backward): Goal(ratio=1.0, against="torch")
    for backward in (False, True)
}
IMPORT_GOAL = 1.5  # times `import numpy`


def import_seconds(rounds: int = 15) -> dict[str, float]:
    """Median time of an interpreter importing the module, less that of one importing nothing."""
    programs = {"nothing": "pass", "numpy": "import numpy", "heedful": "import heedful"}
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, program in programs.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], check=True)
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(measured) for name, measured in seconds.items()}
    return {name: medians[name] - medians["nothing"] for name in ("numpy", "heedful")}


def import_line(harness: Harness) -> Iterator[Line]:
    seconds = import_seconds()
    ratio = seconds["heedful"] / seconds["numpy"]
    yield Line(
        f"import heedful, {1e3 * seconds['heedful']:.0f} ms",
        f"≤ {IMPORT_GOAL} x import numpy",
        f"{ratio:.2f} x {1e3 * seconds['numpy']:.0f} ms",
        ratio <= IMPORT_GOAL,
    )


TOPIC = Topic("overhead", __doc__, GOALS, other=import_line)

if __name__ == "__main__":
    main(TOPIC)
