"""Speed over length, depth, batch and threads, drawn as curves into docs/.

Measures every installed library, writes benchmarks/results/scaling.json and draws docs/speed-*.svg
from it (with matplotlib). `--draw-only` draws what was measured before. About 15 minutes.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import curves

from heedful.benchmark import report
from heedful.benchmark.command import add_run_arguments, command_line
from heedful.benchmark.harness import Harness
from heedful.benchmark.shapes import Case, Shape
from heedful.benchmark.topic import QUICK

ROOT = Path(__file__).parents[1]
MATRIX = 1.2e9  # bytes of scores up to which libraries that hold them all are measured
MATERIALISING = ("jax", "numpy")

# what is on the axis, what stays fixed, and the values
SERIES = {
    "length": ("B = 1, H = 8, D = 64", (16, 64, 128, 256, 512, 1024, 2048, 4096, 8192)),
    "depth": ("B = 1, H = 8, L = 1024", (8, 16, 32, 40, 64, 80, 96, 128, 192, 256)),
    "batch": ("H = 12, L = 197, D = 64", (1, 2, 4, 8, 16, 32)),
    "threads": ("B = 1, H = 8, L = 2048, D = 64", ()),  # from 1 to those requested
}


def shape_at(quantity: str, value: int) -> Shape:
    name = f"{quantity}_{value}"
    if quantity == "length":
        return Shape(name, 1, 8, 8, value, value, 64)
    if quantity == "depth":
        return Shape(name, 1, 8, 8, 1024, 1024, value)
    if quantity == "batch":
        return Shape(name, value, 12, 12, 197, 197, 64)
    return Shape(name, 1, 8, 8, 2048, 2048, 64)


def thread_counts(highest: int) -> list[int]:
    """All up to four, then doubling, and the highest."""
    counts = {n for n in (1, 2, 3, 4, 8, 16, 32, 64, 128, 256) if n < highest}
    return sorted({*counts, highest})


def measure(harness: Harness, quantity: str, values: list[int]) -> list[dict[str, Any]]:
    """The points of both curves of one quantity."""
    found = []
    for backward in (False, True):
        for value in values:
            case = Case(shape_at(quantity, value), backward=backward)
            libraries = list(harness.libraries)
            if 4.0 * case.shape.B * case.shape.H * case.shape.Lq * case.shape.Lk > MATRIX:
                libraries = [name for name in libraries if name not in MATERIALISING]
            threads = value if quantity == "threads" else harness.threads
            comparison = harness.compare(case, libraries, threads=threads)
            print("\n" + report.table(comparison, harness.peak.meaning), flush=True)
            found.append({"value": value, "threads": threads, **comparison.as_dict()})
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    names = list(SERIES)
    parser.add_argument(
        "--only", nargs="+", choices=names, default=names, help="draw what was measured before, too"
    )
    parser.add_argument("--quick", action="store_true", help="few and short turns")
    parser.add_argument("--draw-only", action="store_true", help="measure nothing")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="where pictures go")
    add_run_arguments(parser)
    results = ROOT / "benchmarks" / "results" / "scaling.json"
    parser.set_defaults(json=results, rounds=4, seconds=0.1)
    arguments = parser.parse_args()
    if arguments.draw_only:
        run = json.loads(arguments.json.read_text(encoding="utf-8"))
    else:
        if arguments.quick:
            arguments.rounds, arguments.seconds = QUICK["rounds"], QUICK["seconds"]
        run = measured(arguments)
        arguments.json.write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    for path in curves.draw(run, arguments.docs):
        print(f"drawn: {path}")
    return 0


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    where = report.machine()
    with Harness(
        arguments.libraries, arguments.threads, arguments.rounds, arguments.seconds
    ) as harness:
        print(report.introduction(harness, where))
        series = {}
        for name in arguments.only:
            fixed, values = SERIES[name]
            numbers = list(values) or thread_counts(arguments.threads)
            series[name] = {"fixed": fixed, "points": measure(harness, name, numbers)}
        return {**report.as_json(harness, where, command_line(), []), "series": series}


if __name__ == "__main__":
    sys.exit(main())
