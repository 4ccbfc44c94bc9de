"""The README names nothing that is not there. Its examples are run by test_documentation."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import heedful

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.once


def test_every_link_leads_to_a_file() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    missing = [link for link in links if "://" not in link and not (ROOT / link).exists()]
    assert not missing


def test_every_public_function_is_named() -> None:
    functions = [name for name in heedful.__all__ if name[0].islower()]
    missing = [name for name in functions if f"`{name}`" not in README]
    assert not missing


def test_every_example_is_linked() -> None:
    missing = [path.name for path in (ROOT / "examples").glob("*.py") if path.name not in README]
    assert not missing


def test_the_table_of_times_is_that_of_the_committed_runs() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "readme_table.py"), "--check"]
    assert subprocess.run(command, timeout=60, check=False).returncode == 0
