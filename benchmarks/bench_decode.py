"""One new query against a long key/value cache: bound by how fast keys and values are read."""

import sys

from heedful.benchmark.command import run_goals
from heedful.benchmark.report import Goal, OwnGoal
from heedful.benchmark.shapes import DECODE, Case

GOALS = {
    Case(shape, dtype): Goal(ratio=2.0, share=0.75 if dtype == "float32" else None)
    for dtype in ("float32", "bfloat16", "float16")
    for shape in DECODE
}

OWN_GOALS = [
    OwnGoal(Case(shape, "bfloat16"), Case(shape), 2.0) for shape in DECODE
]  # half the bytes

if __name__ == "__main__":
    sys.exit(run_goals(__doc__, GOALS, OWN_GOALS))
