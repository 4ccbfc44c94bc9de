"""The command line of the benchmarks: `python -m heedful bench` and every script in benchmarks/."""

import argparse
import json
import os
import shlex
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from heedful._printable import printable
from heedful.benchmark import peers
from heedful.benchmark.shapes import DECODE, FORWARD, SHAPES, Case

DESCRIPTION = (
    "Check every library's result against float64, then time them alternately, "
    "each in a process of its own."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that select cases; see add_run_arguments for those of the run itself."""
    parser.add_argument(
        "--shapes", nargs="+", choices=sorted(SHAPES), metavar="NAME",
        default=[shape.name for shape in (*FORWARD, *DECODE)],
        help=f"what to measure: {', '.join(SHAPES)} (default: all but overhead)",
    )  # fmt: skip
    parser.add_argument(
        "--dtype", choices=("float32", "float64", "float16", "bfloat16"), default="float32"
    )
    parser.add_argument(
        "--backward", action="store_true", help="with the gradients of query, key and value"
    )
    parser.add_argument(
        "--dropout", type=_probability, default=0.0, metavar="P", help="dropout on weights"
    )
    add_run_arguments(parser)


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--libraries", nargs="+", metavar="NAME",
        choices=list(peers.MODULES), default=list(peers.MODULES),
        help=f"out of {', '.join(peers.MODULES)} (default: all that are installed)",
    )  # fmt: skip
    parser.add_argument(
        "--rounds", type=_positive_int, default=7, help="rounds of each library (default: 7)"
    )
    parser.add_argument(
        "--seconds", type=_positive_float, default=0.3, help="length of a round (default: 0.3)"
    )
    parser.add_argument(
        "--threads", type=_positive_int, default=_cores(), help="default: all cores"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write everything measured to FILE"
    )


def run(arguments: argparse.Namespace) -> int:
    cases = [
        Case(SHAPES[name], arguments.dtype, arguments.backward, arguments.dropout)
        for name in arguments.shapes
    ]
    return run_cases(arguments, cases)


def run_cases(arguments: argparse.Namespace, cases: Sequence[Case]) -> int:
    """Measure, print each case, write the JSON; the exit code: 1 for a wrong result of heedful."""
    from heedful.benchmark import harness, report

    where = report.machine()
    comparisons = []
    if find_spec("ml_dtypes") is None and any(case.dtype == "bfloat16" for case in cases):
        print("bfloat16 is left out: ml_dtypes is not installed")
        cases = [case for case in cases if case.dtype != "bfloat16"]
    if not cases:
        print("nothing is left to measure", file=sys.stderr)
        return 1
    with harness.Harness(
        arguments.libraries, arguments.threads, arguments.rounds, arguments.seconds
    ) as measuring:
        print(report.introduction(measuring, where), flush=True)
        for case in cases:
            comparison = measuring.compare(case)
            comparisons.append(comparison)
            print("\n" + report.table(comparison, measuring.peak.meaning), flush=True)
        if arguments.json is not None:
            written = report.as_json(measuring, where, command_line(), comparisons)
            arguments.json.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
            print(f"\nwritten: {printable(str(arguments.json))}")
    return int(any("heedful" in comparison.wrong for comparison in comparisons))


def command_line() -> str:
    """The command that reproduces this run."""
    words = sys.argv[1:]
    script = Path(sys.argv[0])
    if script.name == "__main__.py" or script.stem == "heedful":  # as a module, or pip's script
        return shlex.join(["python", "-m", "heedful", *words])
    return shlex.join(["python", f"{script.parent.name}/{script.name}", *words])


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _positive_int(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1 on, got {text}")
    return number


def _positive_float(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a positive number, got {text}")
    return number


def _probability(text: str) -> float:
    number = float(text)
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError(f"expected 0 or more and less than 1, got {text}")
    return number
