"""The speed-up of all threads over one, compared with that of the processor's own peak."""

from collections.abc import Iterator

from heedful.benchmark.goal import Line, at_least
from heedful.benchmark.harness import Harness
from heedful.benchmark.race import Entry
from heedful.benchmark.shapes import ONE_HEAD, SHAPES, Case
from heedful.benchmark.topic import Topic, main

GOAL = 0.93  # of the gain of the peak
CASES = [
    Case(shape, backward=backward)
    for backward in (False, True)
    for shape in (SHAPES["sq4096_d128"], ONE_HEAD, SHAPES["gpt2_1k"])
]


def scaling_lines(harness: Harness, case: Case) -> Iterator[Line]:
    """One thread and all of them take turns."""
    what = f"{case}, {harness.threads} threads against 1"
    unit = "of the peak's own gain"
    if harness.threads == 1:
        yield at_least(what, GOAL, None, unit, reason="there is one thread")
        return
    together, alone = (Entry(case, "heedful", threads) for threads in (harness.threads, 1))
    race = harness.race([together, alone])
    gain, possible = race.ratio(together, alone), race.gain(harness.threads, 1)
    if gain is None:
        reasons = {**race.left_out, **race.wrong}
        yield Line(what, f"≥ {GOAL:g} {unit}", "–", False, reason=str(list(reasons.values())))
        return
    limit = f"{gain:.2f} x as fast, the peak {possible:.2f} x"
    yield at_least(what, GOAL, gain / possible, unit, limit).seen_in(race.state)


TOPIC = Topic("threads", __doc__, cases=CASES, judge=scaling_lines)

if __name__ == "__main__":
    main(TOPIC)
