"""The cost of restrictions: proportional to the pairs kept, and small for a mask or bias."""

from heedful.benchmark.goal import OwnGoal
from heedful.benchmark.shapes import SHAPES, Case, kept
from heedful.benchmark.topic import Topic, main

OPEN = Case(SHAPES["open_2k"])
DENSE = 1 / 1.15  # of the speed without: at most 15 % more time
TILES = 0.75  # of the ideal speed-up: tiles at the border are computed whole

OWN_GOALS = [
    *(
        OwnGoal(Case(SHAPES[name]), OPEN, TILES / kept(Case(SHAPES[name])))
        for name in ("causal_2k", "window_2k", "lengths_2k")
    ),
    *(OwnGoal(Case(SHAPES[name]), OPEN, DENSE) for name in ("bias_2k", "mask_2k")),
]

TOPIC = Topic("masks", __doc__, own_goals=OWN_GOALS)

if __name__ == "__main__":
    main(TOPIC)
