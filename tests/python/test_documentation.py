"""Every example in the documentation runs and prints what it says it prints."""

import doctest
import importlib
import inspect
import pkgutil
import pydoc
import re
from pathlib import Path

import pytest
from page_examples import assert_examples_hold, complaints

import heedful.layers

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / name
    for name in (
        "README.md",
        "CONTRIBUTING.md",
        "docs/coming_from.md",
        "docs/composition.md",
        "docs/explainable.md",
        "docs/overview.md",
        "docs/steadier.md",
    )
]

MODULES = ["heedful"] + [
    module.name
    for module in pkgutil.walk_packages(heedful.__path__, "heedful.")
    if not module.name.endswith("__main__") and "._core._" not in module.name
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_hold(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "heedful").startswith("heedful"):
            raise
        pytest.skip(f"{name} needs {error.name}")
    for test in doctest.DocTestFinder(exclude_empty=True).find(module):
        assert not complaints(test)


def test_the_public_functions_have_examples() -> None:
    finder = doctest.DocTestFinder()
    without = [
        name
        for name in heedful.__all__
        if callable(entry := getattr(heedful, name))
        and not isinstance(entry, type)
        and not any(test.examples for test in finder.find(entry, name))
    ]
    assert not without


LAYERS = [kind for name in heedful.layers.__all__
          if isinstance(kind := getattr(heedful.layers, name), type)
          and issubclass(kind, heedful.layers.Layer)]  # fmt: skip


@pytest.mark.parametrize(
    "layer", [kind for kind in LAYERS if kind is not heedful.layers.Layer],
    ids=lambda kind: kind.__name__,
)  # fmt: skip
def test_a_layer_states_its_parameters_shapes_types_and_threads(layer: type) -> None:
    """In its own words, not in those that it inherits."""
    own, compute = inspect.cleandoc(layer.__doc__ or ""), inspect.getdoc(layer.compute) or ""
    assert re.search(r"\(…|\(B,|\(N", own + compute)
    assert "dtype" in own
    assert "threads may share it" in own
    given = inspect.signature(layer).parameters
    if given:
        assert "Parameters\n----------" in own
    if any(kind.kind is kind.VAR_KEYWORD for kind in given.values()):
        assert re.search(r"…\n|See|see|Of each", own)  # what they are is said elsewhere
    named = [name for name, kind in given.items() if kind.kind is not kind.VAR_KEYWORD]
    section = own.partition("Parameters\n----------")[2].partition("\n---")[0]
    missing = [name for name in named if not re.search(rf"\b{name}\b", section)]
    assert not missing


def test_the_base_of_layers_states_what_holds_for_all() -> None:
    text = pydoc.plain(pydoc.render_doc(heedful.layers.Layer))
    assert "threads may call" in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_of_a_page_hold(page: Path) -> None:
    assert_examples_hold(page)
