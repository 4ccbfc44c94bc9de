"""The README names nothing that does not exist. Its examples are run by test_documentation."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import heedful.layers
import heedful.training

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.once


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not missing


def test_every_link_within_a_page_leads_to_a_heading() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        headings = {line.lstrip("# ").lower().replace(" ", "-")
                    for line in text.splitlines() if line.startswith("#")}  # fmt: skip
        assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings, page


def test_every_public_function_is_named() -> None:
    functions = [name for name in heedful.__all__ if name[0].islower()]
    missing = [name for name in functions if f"`{name}`" not in README]
    assert not missing


def test_every_function_of_the_packages_is_named() -> None:
    for package in (heedful.layers, heedful.training):
        functions = [
            name for name in package.__all__
            if name[0].islower() and callable(getattr(package, name))
        ]  # fmt: skip
        assert functions
        assert not [name for name in functions if f"`{name}`" not in README]


def test_every_example_is_linked() -> None:
    missing = [path.name for path in (ROOT / "examples").glob("*.py") if path.name not in README]
    assert not missing


def test_the_tables_of_times_are_those_of_the_committed_runs() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "speed_tables.py"), "--check"]
    assert subprocess.run(command, timeout=60, check=False).returncode == 0
