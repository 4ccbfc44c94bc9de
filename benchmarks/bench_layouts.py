"""Keys and values whose rows are not adjacent, (B, L, H, D) in memory, against contiguous heads."""

from heedful.benchmark.goal import OwnGoal
from heedful.benchmark.shapes import DECODE, FORWARD, MASKS, PADDED, Case
from heedful.benchmark.topic import Topic, main

LONGER = 1.05  # as much time at most

CASES = [
    *(Case(shape) for shape in (*FORWARD, *MASKS, PADDED)),
    *(Case(shape, backward=True) for shape in (*FORWARD, PADDED)),
    *(Case(shape, dtype) for shape in DECODE for dtype in ("float32", "bfloat16", "float16")),
]
OWN_GOALS = [
    OwnGoal(other, case, 1 / LONGER) for case in CASES for other in case.laid_out(["blhd"])
]

TOPIC = Topic("layouts", __doc__, own_goals=OWN_GOALS)

if __name__ == "__main__":
    main(TOPIC)
