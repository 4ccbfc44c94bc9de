"""The scripts of benchmarks/, as subprocesses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import heedful

FOLDER = Path(__file__).parents[1] / "benchmarks"


def run(script: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return start(FOLDER / script, *words)


def run_program(
    program: str, *words: str | Path, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    return start("-c", program, *words, timeout=timeout)


def start(*words: str | Path, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    source = str(Path(heedful.__file__).parents[1])
    path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"},
    )
