"""Every option of every layer, in making and in calling: it works or is refused in its own name."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from every_option.layer_table import ROWS, Row
from every_option.options import documented, in_signature, options_of
from every_option.refusals import PUBLIC, Refusals
from every_option.results import of_layer
from every_option.values import ANY_ARRAY, BAD, BIAS, GOOD, ITEM_MASK, MORE, SIZE, TOKENS

from heedful import layers

SHORT = {"items": ITEM_MASK, "any": ANY_ARRAY, "bias": BIAS, "tokens": TOKENS, "size": SIZE}
EVERYWHERE = {
    name for row in ROWS for function in (row.kind, row.kind.compute) for name in
    in_signature(function)
} | {"query", "key", "value", "kv_lengths", "q_lengths"}  # fmt: skip
MAKING = [(row, name) for row in ROWS for name in options_of(row.kind)]
CALLING = [(row, name) for row in ROWS for name in in_signature(row.kind.compute)]


def make(row: Row, **options: Any) -> layers.Layer:
    given = {**row.needed, **options}
    taken = inspect.signature(row.kind).parameters
    seeded = {"rng": 0} if "rng" in taken and "rng" not in given else {}
    known = {name: value for name, value in given.items() if name in taken or name in options}
    return row.kind(**seeded, **known)


def refusals(table: dict[str, Any], name: str) -> Any:
    found = table[name] if name in table else BAD[name]
    return SHORT[found] if isinstance(found, str) else found


def shown(one: Any) -> str:
    return one.kind.__name__ if isinstance(one, Row) else str(one)


def test_every_public_layer_has_a_row() -> None:
    without = {"Layer", "Model", "Sequential"}  # no options of their own
    public = {getattr(layers, name) for name in layers.__all__ if name not in without}
    kinds = {one for one in public if inspect.isclass(one) and issubclass(one, layers.Layer)}
    assert {row.kind for row in ROWS} == kinds, "see tests/every_option/layer_table.py"


@pytest.mark.parametrize("row", ROWS, ids=shown)
def test_what_is_documented_is_in_the_signature_and_the_other_way_round(row: Row) -> None:
    assert sorted(set(documented(row.kind))) == sorted(in_signature(row.kind))


@pytest.mark.parametrize(("row", "name"), MAKING, ids=shown)
def test_an_option_of_making_changes_something(row: Row, name: str) -> None:
    value = row.good.get(name, GOOD.get(name))
    if name in ("kdim", "vdim"):  # the inputs must be others: see below
        return
    if name in row.needed or value is None:
        assert name in row.needed or name in row.good, f"no value of {name} is known here"
        return
    more = MORE.get(name, {})
    plain, changed = make(row, **more), make(row, **more, **{name: value})
    same = of_layer(plain, row.inputs) == of_layer(changed, row.inputs)
    assert same == (name in row.idle)


@pytest.mark.parametrize(("row", "name"), MAKING, ids=shown)
def test_a_wrong_option_of_making_is_refused_in_its_own_name(row: Row, name: str) -> None:
    wrong = Refusals(row.kind.__name__, in_signature(row.kind), EVERYWHERE)
    for value, kind in refusals(row.bad, name):
        wrong.check(lambda value=value: make(row, **{name: value}), kind, name, value)
    wrong.tell()


@pytest.mark.parametrize(("row", "name"), CALLING, ids=shown)
def test_an_option_of_a_call_changes_something(row: Row, name: str) -> None:
    value = row.call_good.get(name, GOOD.get(name))
    if name in row.inputs or name in ("cache", "caches", "in_place") or value is None:
        return
    plain = of_layer(make(row), row.inputs)
    changed = of_layer(make(row), row.inputs, **{name: value})
    assert (plain == changed) == (f"call {name}" in row.idle)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("row", "name"), CALLING, ids=shown)
def test_a_wrong_option_of_a_call_is_refused_in_its_own_name(
    row: Row, name: str, training: bool
) -> None:
    layer = make(row)
    call = layer.forward if training else layer.__call__
    wrong = Refusals(row.kind.__name__, in_signature(row.kind.compute), EVERYWHERE)
    for value, kind in refusals(row.call_bad, name):
        wrong.check(lambda value=value: call(**{**row.inputs, name: value}), kind, name, value)
    wrong.tell()


@pytest.mark.parametrize("row", ROWS, ids=shown)
def test_an_unknown_option_is_refused_in_the_name_of_the_layer(row: Row) -> None:
    with pytest.raises(TypeError, match=r"nonsense") as caught:
        make(row, nonsense=1)
    named = PUBLIC & set(str(caught.value).replace(".", " ").replace(":", " ").split())
    assert named == {row.kind.__name__}, caught.value
    if row.kind is layers.Residual:  # hands options on, and the layer inside answers
        return
    layer = make(row)
    for call in (layer, layer.forward):
        with pytest.raises(TypeError, match=r"nonsense") as caught:
            call(**row.inputs, nonsense=1)
        named = PUBLIC & set(str(caught.value).replace(".", " ").replace(":", " ").split())
        assert named == {row.kind.__name__}, caught.value


def test_widths_of_keys_and_values_are_taken() -> None:
    x, key, value = (np.ones((3, 5, width)) for width in (6, 4, 7))
    layer = layers.MultiHeadAttention(6, 2, kdim=4, vdim=7, rng=0)
    assert layer(x, key, value).shape == (3, 5, 6)
    assert layers.AdditiveAttention(6, kdim=4, rng=0)(x, key).shape == (3, 5, 4)
