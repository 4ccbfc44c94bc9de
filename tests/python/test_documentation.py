"""Every example in the documentation runs and prints what it says it prints."""

import doctest
import importlib
import inspect
import pkgutil
import pydoc
import re
from pathlib import Path

import pytest

import heedful.layers

README = Path(__file__).parents[2] / "README.md"
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

MODULES = ["heedful"] + [
    module.name
    for module in pkgutil.walk_packages(heedful.__path__, "heedful.")
    if not module.name.endswith("__main__") and "._core._" not in module.name
]


def run(test: doctest.DocTest) -> str:
    """What the examples of one docstring say that is not so; empty where all holds."""
    complaints: list[str] = []
    doctest.DocTestRunner(optionflags=FLAGS, verbose=False).run(test, out=complaints.append)
    return "".join(complaints)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_hold(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "heedful").startswith("heedful"):
            raise
        pytest.skip(f"{name} needs {error.name}")
    for test in doctest.DocTestFinder(exclude_empty=True).find(module):
        assert not run(test)


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


@pytest.mark.parametrize("layer", LAYERS, ids=lambda kind: kind.__name__)
def test_a_layer_states_its_shapes_types_and_threads(layer: type) -> None:
    text = pydoc.plain(pydoc.render_doc(layer))
    if layer is not heedful.layers.Layer:
        assert re.search(r"\(…|\(B,|\(N", f"{layer.__doc__}{inspect.getdoc(layer.compute)}")
        assert "dtype" in text or "type of the layer" in text or "shape and type" in text
    assert "threads may call" in text


def test_the_examples_of_the_readme_hold() -> None:
    lines = README.read_text(encoding="utf-8").splitlines()
    text = "\n".join("" if line.startswith("```") else line for line in lines)
    test = doctest.DocTestParser().get_doctest(text, {}, "README", str(README), 0)
    assert test.examples
    assert not run(test)
