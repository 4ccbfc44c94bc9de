"""float32 attention forward on the shapes of real models, against every installed library."""

from heedful.benchmark.goal import Goal
from heedful.benchmark.shapes import SHAPES, Case
from heedful.benchmark.topic import Topic, main

GOALS = {
    # a peer is above 70 % of the peak on this shape and on additive_1k: less is left to gain
    Case(SHAPES["sq4096_d128"]): Goal(ratio=1.1, fraction={"v4": 0.90, "v3": 0.85}),
    Case(SHAPES["sd_4096_d40"]): Goal(ratio=1.2),
    Case(SHAPES["bert_384_pad"]): Goal(ratio=1.2),
    Case(SHAPES["vit_b"]): Goal(ratio=1.2, fraction={"v3": 0.68}),
    Case(SHAPES["gpt2_1k"]): Goal(ratio=1.2, fraction={"v4": 0.78, "v3": 0.76}),
    Case(SHAPES["llama_2k"]): Goal(ratio=1.2),
    Case(SHAPES["additive_1k"]): Goal(ratio=1.1),
    Case(SHAPES["long_8k"]): Goal(ratio=1.2),
    Case(SHAPES["tiny_32"]): Goal(ratio=1.2),
    Case(SHAPES["cross_77"]): Goal(ratio=1.2, fraction={"v3": 0.72}),
    Case(SHAPES["swin_49"]): Goal(ratio=1.2, fraction={"v3": 0.46}),
}

TOPIC = Topic("forward", __doc__, GOALS)

if __name__ == "__main__":
    main(TOPIC)
