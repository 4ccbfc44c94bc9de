"""The fast run names every package and every public name, and a new test is in it by itself."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from types import CodeType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import pytest
from fast_selection import FAST_ITEMS, fast_items

import heedful.layers
import heedful.training

pytestmark = pytest.mark.once

PUBLIC = {
    f"{package.__name__}.{name}": getattr(package, name)
    for package in (heedful, heedful.layers, heedful.training)
    for name in package.__all__
    if not name.startswith("__")
}
# returned by functions, or used in annotations; never constructed directly
RETURNED = {
    "heedful.AdditiveGradients", "heedful.layers.DecoderCache", "heedful.layers.Spans",
    "heedful.training.History",
}  # fmt: skip
ANNOTATED = {f"heedful.training.{name}" for name in ("Loss", "Optimizer", "Schedule")}


def importable(package: str) -> bool:
    """Whether the package of others that it integrates, if any, is installed."""
    try:
        importlib.import_module(package)
    except ModuleNotFoundError as error:
        if (error.name or "heedful").startswith("heedful"):
            raise
        return False
    return True


PACKAGES = [
    module.name
    for module in pkgutil.walk_packages(heedful.__path__, "heedful.")
    if module.ispkg and importable(module.name)
]


def names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names_in(constant)


def named_by(function: FunctionType) -> Iterator[Any]:
    """Functions, classes and modules in the code of a function; tables that it reads are not."""
    names = set(names_in(function.__code__))
    kinds = (FunctionType, type, ModuleType)
    found = [function.__globals__[name] for name in names if name in function.__globals__]
    found += [sys.modules[name] for name in names if name in sys.modules]
    yield from (one for one in found if isinstance(one, kinds))
    for module in (one for one in found if isinstance(one, ModuleType)):
        yield from (vars(module)[name] for name in names if name in vars(module))
    yield from (cell.cell_contents for cell in function.__closure__ or ())


def held_by(one: Any) -> Iterable[Any]:
    """What a parameter of a test consists of, and what is named by code of the tests."""
    if isinstance(one, FunctionType):
        return named_by(one) if not one.__module__.startswith("heedful") else ()
    if isinstance(one, MethodType):
        return (one.__func__,)
    if isinstance(one, partial):
        return (one.func, *one.args, *one.keywords.values())
    if isinstance(one, (list, tuple, set)):
        return one
    if isinstance(one, dict):
        return one.values()
    return (type(one),)


def reached(items: Iterable[pytest.Item]) -> list[Any]:
    found: dict[int, Any] = {}
    waiting: list[Any] = []
    for item in items:
        waiting.append(item.function)
        waiting += item.callspec.params.values() if hasattr(item, "callspec") else ()
    while waiting:
        one = waiting.pop()
        if id(one) not in found:
            found[id(one)] = one
            waiting += held_by(one)
    return list(found.values())


@pytest.fixture
def everything(request: pytest.FixtureRequest) -> list[Any]:
    if request.config.args != request.config.getini("testpaths"):
        pytest.skip("only part of the suite was collected")
    return reached(request.config.stash[FAST_ITEMS])


def test_every_public_name_is_in_the_fast_run(everything: list[Any]) -> None:
    identities = {id(one) for one in everything}
    missing = {name for name, one in PUBLIC.items() if id(one) not in identities}
    assert sorted(missing - RETURNED - ANNOTATED) == []


def test_every_package_is_in_the_fast_run(everything: list[Any]) -> None:
    places = {
        one.__name__ if isinstance(one, ModuleType) else one.__module__
        for one in everything
        if isinstance(one, (ModuleType, FunctionType, type))
    }
    missing = {
        package for package in PACKAGES
        if not any(f"{place}.".startswith(f"{package}.") for place in places)
    }  # fmt: skip
    assert not missing


class Item(SimpleNamespace):
    """A case as fast_items sees it."""

    __hash__ = object.__hash__

    def get_closest_marker(self, name: str) -> Any:
        return name == self.marked or None


def item(name: str, marked: str = "", **parameters: Any) -> Any:
    return Item(nodeid=name, marked=marked, callspec=SimpleNamespace(params=parameters))


def test_every_test_and_every_value_has_a_case() -> None:
    table = (1,), (2,), (3,)
    collected = [
        *[item(f"first[{n}-{kind}]", case=table[n], kind=kind) for kind in "ab" for n in range(3)],
        *[item(f"second[{n}]", case=table[n]) for n in range(3)],
        item("plain"),
        item("slow", marked="slow"),
    ]  # fmt: skip
    found = [case.nodeid for case in fast_items(collected)]
    assert found == ["first[0-a]", "first[2-a]", "first[0-b]", "second[1]", "plain"]
