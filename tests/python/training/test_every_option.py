"""Every option of every class of training: it works, or is refused in its own name."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from every_option.options import in_signature, options_of
from every_option.refusals import PUBLIC, Refusals
from every_option.training_table import ROWS, Row

from heedful import training

EVERYWHERE = {name for row in ROWS for name in in_signature(row.kind)}
OPTIONS = [(row, name) for row in ROWS for name in options_of(row.kind)]


def shown(one: Any) -> str:
    return one.kind.__name__ if isinstance(one, Row) else str(one)


def test_every_class_with_options_has_a_row() -> None:
    without = {"Optimizer", "Loss", "Callback", "History"}  # are not made by themselves
    public = {getattr(training, name) for name in training.__all__ if name not in without}
    kinds = {one for one in public if inspect.isclass(one) and in_signature(one)}
    assert kinds <= {row.kind for row in ROWS}


@pytest.mark.parametrize("row", ROWS, ids=shown)
def test_every_option_is_in_the_signature(row: Row) -> None:
    assert not [one for one in inspect.signature(row.kind).parameters.values()
                if one.kind in (one.VAR_KEYWORD, one.VAR_POSITIONAL)]  # fmt: skip
    assert set(options_of(row.kind)) == set(in_signature(row.kind))


@pytest.mark.parametrize(("row", "name"), OPTIONS, ids=shown)
def test_an_option_changes_something(row: Row, name: str) -> None:
    if name in row.needed:
        return
    more = {"momentum": 0.5} if name == "nesterov" else {}
    plain, other = row.kind(**row.needed, **more), {**row.needed, **more, name: row.good[name]}
    assert row.use(plain) != row.use(row.kind(**other))


@pytest.mark.parametrize(("row", "name"), OPTIONS, ids=shown)
def test_a_wrong_option_is_refused_in_its_own_name(row: Row, name: str) -> None:
    found = Refusals(row.kind.__name__, in_signature(row.kind), EVERYWHERE)
    for value, kind in row.bad[name]:
        found.check(lambda value=value: row.kind(**{**row.needed, name: value}), kind, name, value)
    found.tell()


@pytest.mark.parametrize("row", [row for row in ROWS if in_signature(row.kind)], ids=shown)
def test_an_unknown_option_is_refused_in_the_name_of_the_class(row: Row) -> None:
    with pytest.raises(TypeError, match=r"nonsense") as caught:
        row.kind(**row.needed, nonsense=1)
    named = PUBLIC & set(str(caught.value).replace(".", " ").replace("(", " ").split())
    assert named == {row.kind.__name__}, caught.value
