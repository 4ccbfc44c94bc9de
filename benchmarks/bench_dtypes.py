"""The 16-bit types against the other libraries, and against heedful's own float32."""

import heedful
from heedful.benchmark.goal import Goal, OwnGoal
from heedful.benchmark.shapes import FORWARD, SHAPES, Case
from heedful.benchmark.topic import Topic, main

NAMES = ("sq4096_d128", "gpt2_1k", "vit_b")

# bfloat16 has instructions of its own on some processors, for tiles (AMX, which torch uses, too) or
# for pairs (AVX512-BF16); else it is computed in float32, as float16 is
WAY = heedful.show_config(mode="dicts")["bfloat16"]
EQUAL = 0.97  # what counts as no slower: within the spread of repeated measurements

GOALS = {
    Case(SHAPES[name], dtype): Goal(ratio=1.2 if dtype == "bfloat16" and WAY == "tiles" else 1.3)
    for name in NAMES
    for dtype in ("bfloat16", "float16")
}


def factor(name: str, dtype: str, backward: bool) -> float:
    """Of the speed in float32."""
    if dtype == "float16":
        return 0.9
    return 1.6 if WAY == "pairs" and name in NAMES and not backward else EQUAL


OWN_GOALS = [
    OwnGoal(
        Case(shape, dtype, backward), Case(shape, backward=backward),
        factor(shape.name, dtype, backward),
    )
    for shape in FORWARD
    for dtype, backward in (("bfloat16", False), ("float16", False), ("bfloat16", True))
    if dtype == "bfloat16" or shape.name in NAMES
]  # fmt: skip

TOPIC = Topic("dtypes", __doc__, GOALS, OWN_GOALS)

if __name__ == "__main__":
    main(TOPIC)
