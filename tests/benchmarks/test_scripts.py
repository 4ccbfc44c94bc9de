"""The scripts in benchmarks/ start, and those that read results read them rightly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import heedful
from heedful.benchmark.report import level
from heedful.benchmark.shapes import SHAPES, Case
from heedful.benchmark.worker import encode_case

FOLDER = Path(__file__).parents[2] / "benchmarks"
SCRIPTS = sorted(FOLDER.glob("*.py"))

pytestmark = pytest.mark.once


def run(script: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    source = str(Path(heedful.__file__).parents[1])
    path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, str(FOLDER / script), *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"},
    )


def written(seconds: dict[str, float], peak: float = 100.0) -> dict[str, Any]:
    """A run of one case, as the benchmarks write it."""
    case = Case(SHAPES["llama_2k"], "bfloat16")
    measured = [
        {
            "library": name,
            "way": "way",
            "error": 0.0,
            "best": s,
            "median": s,
            "spread": 0,
            "calls": 1,
        }
        for name, s in seconds.items()
    ]
    comparison = {
        "case": encode_case(case),
        "text": str(case),
        "measured": measured,
        "left_out": {},
        "wrong": {},
        "peak_gflops": peak,
        "peak_bandwidth": 10.0,
    }
    return {
        "command": "python benchmarks/bench.py",
        "date": "2026-01-31",
        "machine": {"processor": "Some CPU", "level": "v3"},
        "threads": 2,
        "versions": {"heedful": "0.1", "torch": "2.13", "jax": "0.10"},
        "comparisons": [comparison],
    }


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_explains_itself(script: Path) -> None:
    done = run(script.name, "--help")
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout


def test_a_benchmark_measures_and_judges_its_goals(tmp_path: Path) -> None:
    file = tmp_path / "overhead.json"
    done = run(
        "bench_overhead.py",
        *("--libraries", "heedful", "numpy", "--rounds", "1", "--seconds", "0.01", "--json", file),
    )
    assert done.returncode == 0, done.stderr
    assert "x, wanted 1.5 x at most" in done.stdout
    run_ = json.loads(file.read_text(encoding="utf-8"))
    assert [one["case"]["backward"] for one in run_["comparisons"]] == [False, True]
    assert run_["machine"]["level"] == level()


def test_memory_beyond_inputs_and_outputs_is_measured() -> None:
    done = run("bench_memory.py", "--length", "4096", "--libraries", "heedful", "numpy")
    assert done.returncode == 0, done.stderr
    forward, backward = done.stdout.split("forward + backward")
    for part in (forward, backward):
        sizes = {
            line.split()[0]: float(line.split()[1])
            for line in part.splitlines()
            if line.strip().startswith(("heedful", "numpy")) and " MB" in line
        }
        assert sizes["numpy"] > 4 * 4096**2 / 1e6  # a matrix of weights at least
        assert sizes["heedful"] < 0.5 * sizes["numpy"]


def test_compare_tells_the_new_speed_as_a_multiple_of_the_old(tmp_path: Path) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text(json.dumps(written({"heedful": 0.003})), encoding="utf-8")
    new.write_text(json.dumps(written({"heedful": 0.002}, peak=200.0)), encoding="utf-8")
    done = run("compare.py", old, new, "--fail-below", "1.4")
    assert done.returncode == 0, done.stderr
    assert "1.50 x    0.75 x  llama_2k" in done.stdout  # the machine was twice as fast
    assert run("compare.py", new, old, "--fail-below", "0.9").returncode == 1
    assert run("compare.py", old, new, "--library", "torch").returncode == 2


def test_the_table_of_the_readme_holds_medians_and_the_ratio(tmp_path: Path) -> None:
    readme, results = tmp_path / "README.md", tmp_path / "results"
    results.mkdir()
    begin, end = "<!-- speed: written by benchmarks/readme_table.py -->", "<!-- speed: end -->"
    readme.write_text(f"before\n{begin}\nold\n{end}\nafter\n", encoding="utf-8")
    run_ = written({"heedful": 0.002, "torch": 0.0051, "jax": 0.0081})
    (results / "run.json").write_text(json.dumps(run_), encoding="utf-8")
    words = ("--readme", readme, "--results", results)
    assert run("readme_table.py", *words, "--check").returncode == 1
    assert run("readme_table.py", *words).returncode == 0
    assert run("readme_table.py", *words, "--check").returncode == 0
    text = readme.read_text(encoding="utf-8")
    assert "Some CPU, 2 threads, level v3; heedful 0.1, torch 2.13, jax 0.10" in text
    assert (
        "| llama_2k: 1, 32/8, 2048×2048, 128, causal, bfloat16 | 2 | 5.1 | 8.1 | **2.55** |" in text
    )
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
