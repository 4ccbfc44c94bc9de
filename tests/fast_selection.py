"""The fast run, `pytest -m fast`: one case of each kind, chosen by a rule that needs no upkeep.

Of every test one case; and for every value of every parameter one case that has it, in whichever
test. Tests with a table in common divide it: each begins with the case that shows most of what no
case before it has shown. So a new test and a new row of a table are in the fast run by themselves.
Tests that are marked `slow` are not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable

import pytest

Kind = tuple[str, Hashable]
FAST_ITEMS = pytest.StashKey[list[pytest.Item]]()  # where the configuration keeps them


def kinds(item: pytest.Item) -> set[Kind]:
    """Names and values of the parameters of a case; values that are no plain ones by identity."""
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    return {
        (name, value if isinstance(value, (str, int, float, type(None))) else id(value))
        for name, value in parameters.items()
    }


def fast_items(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """The cases of the fast run among all that were collected, in their order."""
    quick = [item for item in items if item.get_closest_marker("slow") is None]
    cases = defaultdict(list)
    for item in quick:
        cases[item.nodeid.partition("[")[0]].append(item)
    chosen: set[pytest.Item] = set()
    shown: set[Kind] = set()

    def choose(item: pytest.Item) -> None:
        chosen.add(item)
        shown.update(kinds(item))

    for of_one_test in cases.values():
        choose(max(of_one_test, key=lambda item: len(kinds(item) - shown)))
    for item in quick:
        if kinds(item) - shown:
            choose(item)
    return [item for item in quick if item in chosen]
