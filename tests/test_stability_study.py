"""The end of docs/steadier.md: its tables are those of the committed trainings, and a picture."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import heedful

pytest.importorskip("sklearn")
pytestmark = [pytest.mark.slow, pytest.mark.once]

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "examples" / "stability_study.py"
PAGE = ROOT / "docs" / "steadier.md"


def study(folder: Path, *arguments: str) -> str:
    source = str(Path(heedful.__file__).parents[1])
    path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        cwd=folder, capture_output=True, text=True, timeout=300, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page_has_the_tables_of_the_committed_trainings(tmp_path: Path) -> None:
    for file in (PAGE, ROOT / "benchmarks" / "results" / "stability.jsonl"):
        shutil.copy(file, tmp_path)
    assert study(tmp_path, "stability.jsonl", "steadier.md").startswith("0 trainings")
    assert (tmp_path / "steadier.md").read_bytes() == PAGE.read_bytes()


def test_the_page_ends_with_a_picture_that_is_there() -> None:
    *_, last = PAGE.read_text(encoding="utf-8").split("\n\n")
    assert last.startswith("![")
    assert (PAGE.parent / last.strip().removesuffix(")").rpartition("(")[2]).is_file()
