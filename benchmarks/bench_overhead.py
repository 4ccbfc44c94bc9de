"""A tiny call, where all the time is dispatch; and the time that `import heedful` takes."""

import statistics
import subprocess
import sys
import time

from heedful.benchmark.command import run_goals
from heedful.benchmark.report import Goal
from heedful.benchmark.shapes import OVERHEAD, Case

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


if __name__ == "__main__":
    code = run_goals(__doc__, GOALS)
    imports = import_seconds()
    ratio = imports["heedful"] / imports["numpy"]
    good = ratio <= IMPORT_GOAL
    for name, seconds in imports.items():
        print(f"import {name:<8} {1e3 * seconds:.0f} ms")
    print(
        f"  goal {'reached' if good else 'MISSED'}: {ratio:.2f} x, wanted {IMPORT_GOAL} x at most"
    )
    sys.exit(code or int("--strict" in sys.argv and not good))
