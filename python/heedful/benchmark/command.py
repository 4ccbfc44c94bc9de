"""The command line of the benchmarks: `python -m heedful bench` and every script in benchmarks/."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heedful._printable import printable
from heedful.benchmark import peers, processor
from heedful.benchmark.layout import LAYOUTS
from heedful.benchmark.shapes import DECODE, FORWARD, SHAPES, Case

if TYPE_CHECKING:
    from heedful.benchmark.harness import Harness

DESCRIPTION = (
    "Check every library's result against float64, then time them alternately, "
    "each in a process of its own."
)


DEFAULT = [shape.name for shape in (*FORWARD, *DECODE)]
CURVE = ["sq4096_d128", "gpt2_1k", "vit_b", "tiny_32", "one_head_4k"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m heedful bench`."""
    parser.add_argument(
        "--shapes", nargs="+", choices=sorted(SHAPES), metavar="NAME",
        help=f"what to measure: {', '.join(SHAPES)} (default: {', '.join(DEFAULT)})",
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
    add_layouts_argument(parser)
    _add_race_arguments(parser)
    parser.add_argument(
        "--threads", nargs="+", type=_positive_int, default=[processor.cores()], metavar="NUMBER",
        help="default: all cores; several numbers: the speed over them, by default "
        f"of heedful alone for {', '.join(CURVE)}",
    )  # fmt: skip


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of every script."""
    _add_race_arguments(parser)
    parser.add_argument(
        "--threads", type=_positive_int, default=processor.cores(), help="default: all cores"
    )
    parser.set_defaults(libraries=list(peers.MODULES))


def _add_race_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--libraries", nargs="+", metavar="NAME", choices=list(peers.MODULES),
        help=f"out of {', '.join(peers.MODULES)} (default: all that are installed)",
    )  # fmt: skip
    parser.add_argument(
        "--rounds", type=_positive_int, default=7, help="rounds of each library (default: 7)"
    )
    parser.add_argument(
        "--seconds", type=_positive_float, default=0.3, help="length of a round (default: 0.3)"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write everything measured to FILE"
    )


def add_layouts_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--layouts", nargs="+", choices=LAYOUTS, default=list(LAYOUTS),
        help="axes in memory: bhld, contiguous; blhd, projections split into heads (default: both)",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Measure, print each case, write the JSON; the exit code: 1 for a wrong result of heedful."""
    from heedful.benchmark import harness, report

    threads = _possible(arguments.threads)
    curve = len(arguments.threads) > 1
    cases = _cases(arguments, CURVE if curve else DEFAULT)
    if not cases or not threads:
        print("nothing is left to measure", file=sys.stderr)
        return 1
    libraries = arguments.libraries or (["heedful"] if curve else list(peers.MODULES))
    where = report.machine()
    with harness.Harness(libraries, threads[-1], arguments.rounds, arguments.seconds) as measuring:
        print(report.introduction(measuring, where), flush=True)
        measured: dict[str, list[dict[str, Any]]] = {}
        if curve:
            measured["curves"], wrong = _curves(measuring, cases, threads)
        else:
            measured["comparisons"], wrong = _comparisons(measuring, cases)
        if arguments.json is not None:
            written = report.as_json(measuring, where, command_line(), []) | measured
            arguments.json.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
            print(f"\nwritten: {printable(str(arguments.json))}")
    return int(wrong)


def _possible(threads: Sequence[int]) -> list[int]:
    """The numbers of threads to measure, in order: more than there are cores only if alone."""
    cores = processor.cores()
    asked = sorted(set(threads))
    found = [count for count in asked if count <= cores or len(threads) == 1]
    if left_out := [str(count) for count in asked if count not in found]:
        print(
            f"left out: {', '.join(left_out)} threads, more than the {cores} cores of this machine"
        )
    return found


def _cases(arguments: argparse.Namespace, shapes: Sequence[str]) -> list[Case]:
    plain = [
        Case(SHAPES[name], arguments.dtype, arguments.backward, arguments.dropout)
        for name in arguments.shapes or shapes
    ]
    if arguments.dtype == "bfloat16" and find_spec("ml_dtypes") is None:
        print("bfloat16 is left out: ml_dtypes is not installed")
        return []
    return [laid_out for case in plain for laid_out in case.laid_out(arguments.layouts)]


def _comparisons(measuring: Harness, cases: Sequence[Case]) -> tuple[list[dict[str, Any]], bool]:
    from heedful.benchmark import report

    found, wrong = [], False
    for case in cases:
        comparison = measuring.compare(case)
        print("\n" + report.table(comparison, measuring.peak.meaning), flush=True)
        found.append(comparison.as_dict())
        wrong |= "heedful" in comparison.wrong
    return found, wrong


def _curves(
    measuring: Harness, cases: Sequence[Case], threads: Sequence[int]
) -> tuple[list[dict[str, Any]], bool]:
    from heedful.benchmark import thread_curve

    found, wrong = [], False
    for case in cases:
        curve = thread_curve.measure(measuring, case, threads)
        print(f"\n{curve}", flush=True)
        found.append(curve.as_dict())
        wrong |= curve.wrong
    return found, wrong


def command_line() -> str:
    """The command that reproduces this run."""
    words = sys.argv[1:]
    script = Path(sys.argv[0])
    if script.name == "__main__.py" or script.stem == "heedful":  # as a module, or pip's script
        return shlex.join(["python", "-m", "heedful", *words])
    return shlex.join(["python", f"{script.parent.name}/{script.name}", *words])


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
