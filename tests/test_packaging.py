"""Settings of pyproject.toml and the workflows for wheels, the index and releases."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

tomllib = pytest.importorskip("tomllib")  # Python 3.11 and newer

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
LINK = re.compile(r"\[[^\]\n]+\]\(([^)\s]+)\)")


def page(pyproject: str) -> str:
    """The README as the index shows it."""
    hook = tomllib.loads(pyproject)["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    text = README
    for substitution in hook["substitutions"]:
        text = re.sub(substitution["pattern"], substitution["replacement"], text)
    return text


def test_no_link_on_the_index_s_page_leads_nowhere() -> None:
    assert len(LINK.findall(README)) > 20
    shown = page(PYPROJECT)
    assert [link for link in LINK.findall(shown) if not link.startswith("https://")] == []
    assert "| run something | Examples |\n" in shown
    assert "![" not in shown


def test_a_release_makes_them_absolute_and_names_the_project_s_pages() -> None:
    with_address = runpy.run_path(str(ROOT / "release" / "write_address.py"))["with_address"]
    address = "https://code.example/owner/name"
    released = with_address(PYPROJECT, address, "v1.2.3")
    links = LINK.findall(page(released))
    assert len(links) == len(LINK.findall(README))
    for link in links:
        path = re.sub(f"^{address}/(blob|raw)/v1.2.3/", "", link)
        assert path != link
        assert (ROOT / path).exists(), link
    assert f"]({address}/raw/v1.2.3/docs/digits.png)\n\nheedful computes" in page(released)
    urls = tomllib.loads(released)["project"]["urls"]
    assert urls["Changelog"] == f"{address}/blob/v1.2.3/CHANGELOG.md"
    assert all(url.startswith(address) for url in urls.values())
    with pytest.raises(ValueError, match="one place"):
        with_address(released, address, "v1.2.3")


# whoever uses an adapter has the framework, and nobody all of them
FRAMEWORKS = {"autograd", "dask", "jax", "keras", "mpi", "onnx", "sklearn", "transformers"}


def test_all_is_every_extra_of_users_but_other_frameworks() -> None:
    extras = tomllib.loads(PYPROJECT)["project"]["optional-dependencies"]
    [everything] = extras["all"]
    own = set(extras) - {"all", "bench", "test"} - FRAMEWORKS
    assert set(re.split(r"[\[\],]", everything)[1:-1]) == own


def test_wheels_are_built_for_the_pythons_that_are_named() -> None:
    settings = tomllib.loads(PYPROJECT)
    named = re.findall(r"Python :: 3\.(\d+)", "\n".join(settings["project"]["classifiers"]))
    assert settings["tool"]["cibuildwheel"]["build"] == [f"cp3{minor}-*" for minor in named]


def test_hooks_before_a_commit_use_the_versions_of_the_linters() -> None:
    lint = tomllib.loads(PYPROJECT)["dependency-groups"]["lint"]
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    needed = ", ".join(re.findall(r"additional_dependencies: \[(.*)\]", hooks)).split(", ")
    assert sorted(set(needed)) == sorted(lint)


def test_every_action_is_pinned_by_its_commit_with_the_version_beside_it() -> None:
    for workflow in (ROOT / ".github" / "workflows").glob("*.yml"):
        for used in re.findall(r"uses: (.*)", workflow.read_text(encoding="utf-8")):
            assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", used), used
