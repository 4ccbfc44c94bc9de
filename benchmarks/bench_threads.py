"""How much faster all threads are than one, beside how much the processor's own peak gains."""

import argparse
import sys

from heedful.benchmark.command import add_run_arguments
from heedful.benchmark.harness import Harness
from heedful.benchmark.shapes import SHAPES, Case, Shape

GOAL = 0.93  # of the gain of the peak
CASES = (
    Case(SHAPES["sq4096_d128"]),
    Case(Shape("one_head_4k", 1, 1, 1, 4096, 4096, 64)),
    Case(SHAPES["gpt2_1k"]),
    Case(SHAPES["gpt2_1k"], backward=True),
    Case(Shape("one_head_4k", 1, 1, 1, 4096, 4096, 64), backward=True),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a goal is missed")
    add_run_arguments(parser)
    arguments = parser.parse_args()
    missed = False
    with (
        Harness(["heedful"], 1, arguments.rounds, arguments.seconds) as one,
        Harness(["heedful"], arguments.threads, arguments.rounds, arguments.seconds) as all_threads,
    ):
        for case in CASES:
            alone, together = one.compare(case), all_threads.compare(case)
            if alone.own is None or together.own is None:
                print(f"{case}: not measured, {alone.left_out or alone.wrong or together.wrong}")
                missed = True
                continue
            gain = alone.own.median / together.own.median
            possible = together.peak_gflops / alone.peak_gflops
            good = gain >= GOAL * possible
            missed |= not good
            print(
                f"{case}\n  {arguments.threads} threads are {gain:.2f} x as fast as one, "
                f"the processor's peak {possible:.2f} x\n"
                f"  goal {'reached' if good else 'MISSED'}: {gain / possible:.2f} of that, "
                f"wanted {GOAL}",
                flush=True,
            )
    return int(arguments.strict and missed)


if __name__ == "__main__":
    sys.exit(main())
