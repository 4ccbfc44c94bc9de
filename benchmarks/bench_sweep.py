"""Random shapes: 60 drawn from a fixed seed, compared with torch and onnxruntime.

Each is measured in a layout that is drawn, too. Every result is checked, and heedful's must be the
same bits for 1, 2 and 3 threads in both layouts. A shape near the limit is measured again with
three times as many rounds, whichever side of it it is on.
A whole run takes 10 to 15 minutes on two cores.
"""

import argparse
import dataclasses
import json
import math
import sys
from collections import Counter

from heedful.benchmark import report
from heedful.benchmark.command import add_layouts_argument, add_run_arguments, command_line
from heedful.benchmark.draw import SEED, drawn_cases
from heedful.benchmark.goal import WORDS, forced_level
from heedful.benchmark.harness import Comparison, Harness
from heedful.benchmark.layout import LAYOUTS
from heedful.benchmark.shapes import Case
from heedful.benchmark.topic import QUICK

LIMIT = 0.95  # as fast as the best of the others, at least
AHEAD = 0.95  # of the shapes at least as fast as the best of the others: 57 of 60
NEAR = (0.85, 1.05)  # a ratio that is measured again
LIBRARIES = ("heedful", "torch", "onnxruntime")
THREADS = (1, 2, 3)  # that the bits must not depend on


@dataclasses.dataclass(frozen=True)
class Swept:
    """One shape."""

    comparison: Comparison
    same_bits: bool

    @property
    def fault(self) -> str:
        """What is wrong with it, if anything."""
        found = self.comparison
        if found.own is None:
            return str({**found.left_out, **found.wrong}.get("heedful", "not measured"))
        if not self.same_bits:
            return f"other bits with other numbers of threads out of {THREADS} or another layout"
        if not forced_level() and found.ratio is not None and found.ratio < LIMIT:
            return f"less than {LIMIT} x"
        return ""

    def __str__(self) -> str:
        found = self.comparison
        times = [
            "–" if one is None else report.duration(one.median)
            for one in (found.own, *map(found.of, LIBRARIES[1:]))
        ]
        ratio = "      –" if found.ratio is None else f"{found.ratio:7.2f}"
        fraction = None if found.own is None else found.fraction(found.own)
        limit = "" if fraction is None else f"{fraction:.0%}"
        cells = "".join(f"{cell:>12}" for cell in times)
        return f"{ratio}{cells}{limit:>6}  {found.case}{'  ' * bool(self.fault)}{self.fault}"


def in_every_layout(case: Case) -> list[Case]:
    return dataclasses.replace(case, layout="bhld").laid_out(LAYOUTS)


def sweep(harness: Harness, cases: list[Case]) -> list[Swept]:
    found = []
    names = "".join(f"{name:>12}" for name in LIBRARIES)
    print(f"\n{'ratio':>7}{names}{'peak':>6}  shape", flush=True)
    for case in cases:
        comparison = harness.compare(case)
        if comparison.ratio is not None and NEAR[0] <= comparison.ratio < NEAR[1]:
            comparison = harness.compare(case, rounds=3 * harness.rounds)
        one = Swept(comparison, harness.same_bits(in_every_layout(case), THREADS))
        print(one, flush=True)
        found.append(one)
    return found


def ratios(swept: list[Swept]) -> list[tuple[float, Swept]]:
    """Those that were compared, lowest ratio first."""
    judged = [(ratio, one) for one in swept if (ratio := one.comparison.ratio) is not None]
    return sorted(judged, key=lambda pair: pair[0])


def enough_ahead(swept: list[Swept]) -> bool:
    """Whether nearly all are at least as fast as the best other; True where that is not judged."""
    judged = ratios(swept)
    return bool(forced_level()) or sum(r >= 1 for r, _ in judged) >= AHEAD * len(judged)


def summary(swept: list[Swept]) -> str:
    """The lowest ratios first, then how many of all hold."""
    judged = ratios(swept)
    lines = ["\nThe worst:", *(str(one) for _, one in judged[:10]), ""]
    ahead = sum(ratio >= 1 for ratio, _ in judged)
    good = sum(ratio >= LIMIT for ratio, _ in judged)
    same = sum(one.same_bits for one in swept)
    wanted = math.ceil(AHEAD * len(judged))
    verdict = WORDS[None if forced_level() else enough_ahead(swept)]
    threads = ", ".join(map(str, THREADS))
    states = Counter(one.comparison.state.word for one in swept)
    lines += [
        f"{ahead} of {len(judged)} at least as fast as the best other, goal {wanted}: {verdict}",
        f"{good} of {len(judged)} at least {LIMIT} x",
        f"{same} of {len(swept)} the same bits for {threads} threads and in both layouts",
        f"{sum(bool(one.fault) for one in swept)} of {len(swept)} do not hold",
        f"state of the machine: {', '.join(f'{word} {n}' for word, n in states.items())}",
    ]
    if forced_level():
        lines.append(f"ratios are not judged: {forced_level()}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    drawn = {case.shape.name: case for case in drawn_cases()}
    parser.add_argument("--shapes", nargs="+", choices=list(drawn), metavar="NAME",
                        default=list(drawn), help="only these, drawn_00 and so on")  # fmt: skip
    add_layouts_argument(parser)
    parser.add_argument("--quick", action="store_true", help="few and short turns")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a shape fails")
    add_run_arguments(parser)
    parser.set_defaults(libraries=list(LIBRARIES), rounds=5, seconds=0.1)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.seconds = QUICK["rounds"], QUICK["seconds"]
    where = report.machine()
    with Harness(
        arguments.libraries, arguments.threads, arguments.rounds, arguments.seconds
    ) as harness:
        print(report.introduction(harness, where))
        cases = [drawn[name] for name in arguments.shapes]
        swept = sweep(harness, [case for case in cases if case.layout in arguments.layouts])
        print(summary(swept))
        if arguments.json is not None:
            comparisons = [one.comparison for one in swept]
            written = report.as_json(harness, where, command_line(), comparisons)
            written["sweep"] = {
                "seed": SEED,
                "limit": LIMIT,
                "ahead": AHEAD,
                "threads": THREADS,
                "layouts": LAYOUTS,
                "same_bits": [one.same_bits for one in swept],
                "faults": [one.fault for one in swept],
            }
            arguments.json.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    wrong = any(one.comparison.own is None or not one.same_bits for one in swept)
    missed = any(one.fault for one in swept) or not enough_ahead(swept)
    return int(wrong or (arguments.strict and missed))


if __name__ == "__main__":
    sys.exit(main())
