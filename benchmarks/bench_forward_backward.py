"""float32 attention with the gradients of query, key and value, without and with dropout."""

import sys

from heedful.benchmark.command import run_goals
from heedful.benchmark.report import Goal
from heedful.benchmark.shapes import SHAPES, Case

AGAINST_TORCH = Goal(ratio=2.0, against="torch")
DROPOUT = Goal(ratio=5.0, against="torch")  # which materialises the weights for it

GOALS = {
    Case(SHAPES["sq4096_d128"], backward=True): Goal(ratio=2.0, against="torch", share=0.75),
    **{
        Case(SHAPES[name], backward=True): AGAINST_TORCH
        for name in ("sd_4096_d40", "bert_384_pad", "vit_b", "gpt2_1k", "llama_2k", "additive_1k")
    },
    Case(SHAPES["long_8k"], backward=True): AGAINST_TORCH,
    Case(SHAPES["tiny_32"], backward=True): AGAINST_TORCH,
    Case(SHAPES["sq4096_d128"], backward=True, dropout_p=0.1): DROPOUT,
    Case(SHAPES["gpt2_1k"], backward=True, dropout_p=0.1): DROPOUT,
}

if __name__ == "__main__":
    sys.exit(run_goals(__doc__, GOALS))
