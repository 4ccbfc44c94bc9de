"""The 16-bit types against the other libraries, and every type against heedful's own float32."""

import sys

import heedful
from heedful.benchmark.command import run_goals
from heedful.benchmark.report import Goal, OwnGoal
from heedful.benchmark.shapes import SHAPES, Case

NAMES = ("sq4096_d128", "gpt2_1k", "vit_b")

GOALS = {
    Case(SHAPES[name], dtype): Goal(ratio=1.3 if dtype in ("float16", "bfloat16") else None)
    for name in NAMES
    for dtype in ("float32", "float64", "float16", "bfloat16")
}

# bfloat16 has instructions of its own on some processors;
# else it is computed in float32, as float16 is
BFLOAT16_FACTOR = 1.6 if "avx512_bf16" in heedful.show_config()["features"] else 0.9
FACTORS = {"bfloat16": BFLOAT16_FACTOR, "float16": 0.9}

OWN_GOALS = [
    OwnGoal(Case(SHAPES[name], dtype), Case(SHAPES[name]), factor)
    for name in NAMES
    for dtype, factor in FACTORS.items()
]

if __name__ == "__main__":
    sys.exit(run_goals(__doc__, GOALS, OWN_GOALS))
