"""Every script in examples/ runs to its end; the scripts check their own claims.

Those that train for long have a ``--short`` or ``--small`` mode, in which they claim less.
Those whose data or packages are not installed say which command installs them, and are skipped.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import heedful

pytestmark = [pytest.mark.once, pytest.mark.slow]

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


def test_there_are_examples() -> None:
    assert EXAMPLES


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda script: script.stem)
def test_an_example_runs_to_its_end(script: Path, tmp_path: Path) -> None:
    source = str(Path(heedful.__file__).parents[1])
    text = script.read_text(encoding="utf-8")
    short = [one for one in ("--short", "--small") if f'"{one}"' in text]
    path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script), *short],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        env={
            **os.environ,
            "PYTHONPATH": path,
            "PYTHONIOENCODING": "utf-8",
            "TMPDIR": str(tmp_path),
        },
    )
    if done.returncode == 1 and re.search(r"^\S+ is missing: (apt-get|pip) \S+", done.stderr):
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert not done.stderr
