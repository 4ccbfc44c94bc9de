"""What restrictions cost: structure in proportion to what it keeps, a mask or bias little."""

import sys

from heedful.benchmark.command import run_goals
from heedful.benchmark.report import Goal, OwnGoal
from heedful.benchmark.shapes import MASKS, SHAPES, Case, make_inputs

OPEN = Case(SHAPES["open_2k"])
DENSE = 1 / 1.15  # of the speed without: at most 15 % more time
TILES = 0.75  # of the ideal speed-up: tiles at the border are computed whole


def kept(case: Case) -> float:
    """The share of all pairs that may attend."""
    if case.shape.causal:
        return 0.5
    seen = make_inputs(case).seen
    return 1.0 if seen is None else float(seen.mean())


GOALS = {Case(shape): Goal() for shape in MASKS}

OWN_GOALS = [
    *(OwnGoal(Case(SHAPES[name]), OPEN, DENSE) for name in ("bias_2k", "mask_2k")),
    *(
        OwnGoal(Case(SHAPES[name]), OPEN, TILES / kept(Case(SHAPES[name])))
        for name in ("causal_2k", "window_2k", "lengths_2k")
    ),
]

if __name__ == "__main__":
    sys.exit(run_goals(__doc__, GOALS, OWN_GOALS))
