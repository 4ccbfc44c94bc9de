"""float32 attention forward on the shapes of real models, against every installed library."""

import sys

from heedful.benchmark.command import run_goals
from heedful.benchmark.report import Goal
from heedful.benchmark.shapes import SHAPES, Case

GOALS = {
    Case(SHAPES["sq4096_d128"]): Goal(ratio=1.1, share=0.90),  # a peer is above 70 % of the peak
    Case(SHAPES["sd_4096_d40"]): Goal(ratio=1.2),
    Case(SHAPES["bert_384_pad"]): Goal(ratio=1.2),
    Case(SHAPES["vit_b"]): Goal(ratio=1.2),
    Case(SHAPES["gpt2_1k"]): Goal(ratio=1.2, share=0.78),
    Case(SHAPES["llama_2k"]): Goal(ratio=1.2),
    Case(SHAPES["additive_1k"]): Goal(ratio=1.1),  # a peer is above 70 % of the peak
    Case(SHAPES["long_8k"]): Goal(ratio=1.2),
    Case(SHAPES["tiny_32"]): Goal(ratio=1.2),
}

if __name__ == "__main__":
    sys.exit(run_goals(__doc__, GOALS))
