"""Sequences packed one after another against the same ones in a padded batch."""

import dataclasses

from heedful.benchmark.goal import OwnGoal
from heedful.benchmark.shapes import PACKED, PADDED, Case, kept
from heedful.benchmark.topic import Topic, main

# the same batch if every sequence had the full length
FULL = dataclasses.replace(PADDED, name="full_512", padding=None, ragged="")
EQUAL = 0.97  # what counts as no slower: within the spread of repeated measurements

OWN_GOALS = [
    goal
    for backward in (False, True)
    for packed in [Case(PACKED, backward=backward)]
    for goal in (
        # padded, with the lengths given, so that only the useful part is computed
        OwnGoal(packed, Case(PADDED, backward=backward), EQUAL),
        # the useful part at the speed of full sequences
        OwnGoal(packed, Case(FULL, backward=backward), EQUAL / kept(packed)),
    )
]

TOPIC = Topic("varlen", __doc__, own_goals=OWN_GOALS)

if __name__ == "__main__":
    main(TOPIC)
