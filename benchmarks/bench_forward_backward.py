"""float32 attention with the gradients of query, key and value, without and with dropout."""

from heedful.benchmark.goal import Goal
from heedful.benchmark.shapes import FORWARD, SHAPES, Case
from heedful.benchmark.topic import Topic, main

LONG = "sq4096_d128"
# twice torch's speed would pass the peak where torch is above 45 % of it
BELOW = (0.45, 2.0)
AGAINST_TORCH = Goal(1.5, "torch", below=BELOW)
DROPOUT = Goal(ratio=5.0, against="torch")  # which materialises the weights for it

GOALS = {
    Case(SHAPES[LONG], backward=True): Goal(1.5, "torch", {"v4": 0.75, "v3": 0.75}, BELOW),
    **{Case(shape, backward=True): AGAINST_TORCH for shape in FORWARD if shape.name != LONG},
    Case(SHAPES[LONG], backward=True, dropout_p=0.1): DROPOUT,
    Case(SHAPES["gpt2_1k"], backward=True, dropout_p=0.1): DROPOUT,
}

TOPIC = Topic("backward", __doc__, GOALS)

if __name__ == "__main__":
    main(TOPIC)
