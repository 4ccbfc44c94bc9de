"""One new query against a long key/value cache: bound by how fast keys and values are read."""

from heedful.benchmark.goal import Goal, OwnGoal
from heedful.benchmark.shapes import DECODE, Case
from heedful.benchmark.topic import Topic, main

BANDWIDTH = dict.fromkeys(("v2", "v3", "v4"), 0.75)

GOALS = {
    Case(shape, dtype): Goal(ratio=2.0, fraction=BANDWIDTH if dtype == "float32" else {})
    for dtype in ("float32", "bfloat16", "float16")
    for shape in DECODE
}

# half the bytes
OWN_GOALS = [OwnGoal(Case(shape, "bfloat16"), Case(shape), 2.0) for shape in DECODE]

TOPIC = Topic("decode", __doc__, GOALS, OWN_GOALS)

if __name__ == "__main__":
    main(TOPIC)
