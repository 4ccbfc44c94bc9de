"""The 16-bit types against the other libraries, and against heedful's own float32."""

import heedful
from heedful.benchmark.goal import Goal, OwnGoal
from heedful.benchmark.shapes import SHAPES, Case
from heedful.benchmark.topic import Topic, main

NAMES = ("sq4096_d128", "gpt2_1k", "vit_b")

GOALS = {
    Case(SHAPES[name], dtype): Goal(ratio=1.3)
    for name in NAMES
    for dtype in ("bfloat16", "float16")
}

# bfloat16 has fast instructions of its own on some processors; else it is computed in float32, as
# float16 is
OWN_INSTRUCTIONS = heedful.show_config(mode="dicts")["bfloat16"] in ("pairs", "tiles")
FACTORS = {"bfloat16": 1.6 if OWN_INSTRUCTIONS else 0.9, "float16": 0.9}

OWN_GOALS = [
    OwnGoal(Case(SHAPES[name], dtype), Case(SHAPES[name]), factor)
    for name in NAMES
    for dtype, factor in FACTORS.items()
]

TOPIC = Topic("dtypes", __doc__, GOALS, OWN_GOALS)

if __name__ == "__main__":
    main(TOPIC)
