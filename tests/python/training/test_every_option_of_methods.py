"""Every option of fit and its like, and of files of weights: it works, or is refused."""

from __future__ import annotations

from typing import Any

import pytest
from every_option.method_table import ROWS, Row
from every_option.options import documented, in_signature
from every_option.refusals import Refusals

EVERYWHERE = {name for row in ROWS for name in in_signature(row.function)}
OPTIONS = [(row, name) for row in ROWS for name in in_signature(row.function)]


def shown(one: Any) -> str:
    return one.name if isinstance(one, Row) else str(one)


@pytest.mark.parametrize("row", ROWS, ids=shown)
def test_what_is_documented_is_in_the_signature(row: Row) -> None:
    assert set(documented(row.function)) <= set(in_signature(row.function))


@pytest.mark.parametrize(("row", "name"), OPTIONS, ids=shown)
def test_an_option_changes_something(row: Row, name: str) -> None:
    if name not in row.good or name in row.idle:
        return
    needed = {**row.needed, **row.more.get(name, {})}
    assert row.call(**needed) != row.call(**{**needed, name: row.good[name]})


@pytest.mark.parametrize(("row", "name"), OPTIONS, ids=shown)
def test_a_wrong_option_is_refused_in_its_own_name(row: Row, name: str) -> None:
    found = Refusals(row.name, in_signature(row.function), EVERYWHERE)
    needed = {**row.needed, **row.more.get(name, {})}
    for value, kind in row.bad[name]:
        found.check(lambda value=value: row.call(**{**needed, name: value}), kind, name, value)
    found.tell()


@pytest.mark.parametrize("row", ROWS, ids=shown)
def test_an_unknown_option_is_refused(row: Row) -> None:
    with pytest.raises(TypeError, match=rf"{row.name}.*nonsense"):
        row.call(**row.needed, nonsense=1)
