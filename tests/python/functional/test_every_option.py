"""Every option of every function: it changes something, or is refused in its own name."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from every_option.function_table import ELSEWHERE, EVERYWHERE, ROWS, Row, all_of
from every_option.options import documented, in_signature
from every_option.refusals import PUBLIC, Refusals

import heedful

OPTIONS = [(row, name) for row in ROWS for name in in_signature(row.function)]


def shown(one: Any) -> str:
    return one.name if isinstance(one, Row) else str(one)


def test_every_function_with_options_has_a_row() -> None:
    functions = [getattr(heedful, name) for name in heedful.__all__]
    public = {one.__name__ for one in functions if inspect.isfunction(one) and in_signature(one)}
    assert {row.name for row in ROWS} == public


@pytest.mark.parametrize("row", ROWS, ids=shown)
def test_what_is_documented_is_in_the_signature(row: Row) -> None:
    assert set(documented(row.function)) <= set(in_signature(row.function))


@pytest.mark.parametrize(("row", "name"), OPTIONS, ids=shown)
def test_an_option_changes_something(row: Row, name: str) -> None:
    value = row.good.get(name)
    if name in row.needed or name in ELSEWHERE or value is None:
        return
    more = row.more.get(name, {})
    seeded = {"rng": 0} if "rng" in in_signature(row.function) else {}
    plain = {**row.needed, **seeded, **more}
    assert all_of(row.call(**plain)) != all_of(row.call(**{**plain, name: value}))


@pytest.mark.parametrize(("row", "name"), OPTIONS, ids=shown)
def test_a_wrong_option_is_refused_in_its_own_name(row: Row, name: str) -> None:
    found = Refusals(row.name, in_signature(row.function), EVERYWHERE)
    needed = {**row.needed, **row.more.get(name, {})}
    for value, kind in row.bad[name]:
        found.check(lambda value=value: row.call(**{**needed, name: value}), kind, name, value)
    found.tell()


@pytest.mark.parametrize("row", ROWS, ids=shown)
def test_an_unknown_option_is_refused_in_the_name_of_the_function(row: Row) -> None:
    with pytest.raises(TypeError, match="nonsense") as caught:
        row.call(**row.needed, nonsense=1)
    named = PUBLIC & set(str(caught.value).replace("(", " ").split())
    assert named <= {row.name}, caught.value


CACHE = np.ones((1, 2, 3, 4))
CACHE_CASES: list[tuple[str, Any, type[Exception], str]] = [
    ("capacity", lambda: heedful.KVCache(0), ValueError, "capacity"),
    ("capacity_type", lambda: heedful.KVCache(1.5), TypeError, "capacity"),
    ("key", lambda: heedful.KVCache().append(CACHE * 1j, CACHE), TypeError, "key"),
    ("value", lambda: heedful.KVCache().append(CACHE, CACHE * 1j), TypeError, "value"),
    ("lengths", lambda: heedful.KVCache().append(CACHE, CACHE, [4]), ValueError, "lengths"),
    ("lengths_type", lambda: heedful.KVCache().append(CACHE, CACHE, [1.5]), TypeError, "lengths"),
    ("items", lambda: heedful.KVCache().reorder(["a"]), TypeError, "items"),
]


@pytest.mark.parametrize("case", CACHE_CASES, ids=lambda case: case[0])
def test_a_cache_refuses_in_the_name_of_the_argument(case: Any) -> None:
    _, call, kind, name = case
    found = Refusals("KVCache", ["capacity", "key", "value", "lengths", "items"], EVERYWHERE)
    found.check(call, kind, name, "")
    found.tell()
