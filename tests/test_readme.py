"""README and pages name what exists, and all of it; test_documentation runs their examples."""

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
OVERVIEW = (ROOT / "docs" / "overview.md").read_text(encoding="utf-8")
EXAMPLES = (ROOT / "docs" / "examples.md").read_text(encoding="utf-8")

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
    missing = [name for name in functions if f"`{name}`" not in OVERVIEW]
    assert not missing


def test_every_function_of_the_packages_is_named() -> None:
    for package in (heedful.layers, heedful.training):
        functions = [
            name for name in package.__all__
            if name[0].islower() and callable(getattr(package, name))
        ]  # fmt: skip
        assert functions
        assert not [name for name in functions if f"`{name}`" not in OVERVIEW]


def test_every_example_is_linked() -> None:
    folder = ROOT / "examples"
    paths = [*folder.glob("*.py"), *folder.glob("*/__main__.py")]
    names = [path.relative_to(folder) for path in paths]
    assert not [name for name in names if f"](../examples/{name})" not in EXAMPLES]


def test_the_picture_is_the_one_that_the_main_job_draws(tmp_path: Path) -> None:
    """To the eye: in squares of 6 × 6 pixels another font or hinting is off by 0.004, one other
    image by 0.03."""
    image = pytest.importorskip("matplotlib.image")
    drawn = tmp_path / "digits.png"
    command = [sys.executable, "-m", "heedful", "digits", "--picture", str(drawn)]
    subprocess.run(command, timeout=300, check=True, capture_output=True)
    [path] = re.findall(r"!\[[^\]\n]+\]\(([^)\s]+)\)", README)
    shown, now = (image.imread(one)[..., :3] for one in (ROOT / path, drawn))
    assert shown.shape == now.shape
    height, width, _ = shown.shape
    squares = (shown - now).reshape(height // 6, 6, width // 6, 6, 3).mean((1, 3))
    assert abs(squares).mean() < 0.012


def test_the_tables_of_times_are_those_of_the_committed_runs() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "speed_tables.py"), "--check"]
    assert subprocess.run(command, timeout=300, check=False).returncode == 0
