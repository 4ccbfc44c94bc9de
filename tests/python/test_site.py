"""The documentation site: notebooks run, examples of pages hold, the reference is complete."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from page_examples import assert_examples_hold

from heedful import integrations

pytestmark = pytest.mark.once

DOCS = Path(__file__).parents[2] / "docs"
NEEDED = {"torch_and_transformers": ("torch", "transformers"), "several_machines": ("dask",)}
CELL = re.compile(r"^```\{code-cell\} python\n(.*?)^```", re.S | re.M)
RUN = "import sys; exec(compile(sys.stdin.read(), 'notebook', 'exec'))"
# the page of the reference that lists what a module has
MODULES = {
    "heedful": "functions",
    **{f"heedful.{name}": name for name in ("layers", "models", "training", "explain", "pruning")},
    "heedful.layers.steps": "layers",
    "heedful.explain.plot": "explain",
    "heedful.explain.html": "explain",
    "heedful.testing": "testing",
    "heedful.data": "testing",
    **{f"heedful.integrations.{name}": "integrations" for name in integrations.__all__},
}
NOTEBOOKS = sorted(path.stem for path in (DOCS / "tutorials").glob("*.md") if path.stem != "index")


def cells(name: str) -> str:
    found = CELL.findall((DOCS / f"tutorials/{name}.md").read_text(encoding="utf-8"))
    assert found
    return "\n".join(found)


def run(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN], input=cells(name), capture_output=True, text=True,
        env=dict(os.environ, MPLBACKEND="agg"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NOTEBOOKS if name not in NEEDED])
def test_the_cells_of_a_notebook_run(name: str) -> None:
    run(name)


@pytest.mark.slow
@pytest.mark.peer
@pytest.mark.parametrize("name", NEEDED)
def test_the_cells_of_a_notebook_with_other_libraries_run(name: str) -> None:
    for library in NEEDED[name]:
        pytest.importorskip(library)
    run(name)


@pytest.mark.parametrize("page", ["padding", "saving", "threads", "reading_attention"])
def test_the_examples_of_a_page_hold(page: str) -> None:
    assert_examples_hold(DOCS / f"how_to/{page}.md")


def test_the_examples_of_the_first_page_hold() -> None:
    assert_examples_hold(DOCS / "index.md")


@pytest.mark.parametrize("module", MODULES)
def test_the_reference_has_every_public_name(module: str) -> None:
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        pytest.skip(f"{module} needs {error.name}")
    text = (DOCS / f"reference/{MODULES[module]}.md").read_text(encoding="utf-8")
    section = text.partition(f".. currentmodule:: {module}\n")[2].partition("```")[0]
    listed = set(re.findall(r"^   (\w+)$", section, re.M))
    public = {
        name
        for name in found.__all__
        if not name.startswith("__") and type(getattr(found, name)).__name__ != "module"
    }
    assert listed == public
