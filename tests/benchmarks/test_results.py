"""What is made of results: curves, comparisons of two runs, and tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from benchmark_scripts import run

from heedful.benchmark.layout import Layout
from heedful.benchmark.shapes import SHAPES, Case
from heedful.benchmark.worker import encode_case

pytestmark = [pytest.mark.once, pytest.mark.slow]


def written(
    seconds: dict[str, float],
    peak: float = 100.0,
    dtype: str = "bfloat16",
    layout: Layout = "bhld",
) -> dict[str, Any]:
    """A run of one case, as the benchmarks write it."""
    case = Case(SHAPES["llama_2k"], dtype, layout=layout)
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
        "machine": {"processor": "Some CPU", "level": "v3", "cores": 16},
        "threads": 2,
        "versions": {"heedful": "0.1", "torch": "2.13", "jax": "0.10"},
        "comparisons": [comparison],
    }


def test_curves_are_drawn_from_what_was_measured(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    file = tmp_path / "scaling.json"
    words = ("--json", file, "--docs", tmp_path / "docs")
    measuring = ("--quick", "--only", "threads", "--threads", "1", "--libraries", "heedful")
    done = run("bench_scaling.py", *measuring, *words)
    assert done.returncode == 0, done.stderr
    picture = tmp_path / "docs" / "speed-threads.svg"
    first = picture.read_bytes()
    picture.unlink()
    assert run("bench_scaling.py", "--draw-only", *words).returncode == 0
    assert picture.read_bytes() == first
    points = json.loads(file.read_text(encoding="utf-8"))["series"]["threads"]["points"]
    assert [(one["value"], one["case"]["backward"]) for one in points] == [(1, False), (1, True)]


def test_compare_tells_the_new_speed_as_a_multiple_of_the_old(tmp_path: Path) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text(json.dumps(written({"heedful": 0.003})), encoding="utf-8")
    new.write_text(json.dumps(written({"heedful": 0.002}, peak=200.0)), encoding="utf-8")
    done = run("compare.py", old, new, "--fail-below", "1.4")
    assert done.returncode == 0, done.stderr
    assert "1.50 x    0.75 x  llama_2k" in done.stdout  # the machine was twice as fast
    assert run("compare.py", new, old, "--fail-below", "0.9").returncode == 1
    assert run("compare.py", old, new, "--library", "torch").returncode == 2


def test_compare_warns_where_the_machine_was_in_another_state(tmp_path: Path) -> None:
    files = []
    for word in ("undisturbed", "shared"):
        run_ = written({"heedful": 0.003})
        run_["comparisons"][0]["state"] = {"word": word}
        files.append(tmp_path / f"{word}.json")
        files[-1].write_text(json.dumps(run_), encoding="utf-8")
    assert "forward  (undisturbed, now shared)\n" in run("compare.py", *files).stdout
    assert "shared)" not in run("compare.py", files[1], files[1]).stdout


def test_compare_tells_the_layouts_apart_and_reads_files_that_know_one(tmp_path: Path) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    first, second = written({"heedful": 0.002}), written({"heedful": 0.001}, layout="blhd")
    del first["comparisons"][0]["case"]["layout"]  # as it was written before there were layouts
    old.write_text(json.dumps(first), encoding="utf-8")
    first["comparisons"] += second["comparisons"]
    new.write_text(json.dumps(first), encoding="utf-8")
    done = run("compare.py", old, new)
    assert done.stdout.count("llama_2k") == 1
    assert "1.00 x    1.00 x  llama_2k" in done.stdout
    assert run("compare.py", new, new).stdout.count("llama_2k") == 2


def fill(page: Path, results: Path, *names: str) -> str:
    """A page with places for these tables, filled; checked to be out of date only before."""
    marks = [(f"<!-- speed {name}: written by benchmarks/speed_tables.py -->",
              f"<!-- speed {name}: end -->") for name in names]  # fmt: skip
    text = "\n".join(f"{begin}\noutdated\n{end}" for begin, end in marks)
    page.write_text(f"before\n{text}\nafter\n", encoding="utf-8")
    words = ("--pages", page, "--results", results)
    assert run("speed_tables.py", *words, "--check").returncode == 1
    assert run("speed_tables.py", *words).returncode == 0
    assert run("speed_tables.py", *words, "--check").returncode == 0
    filled = page.read_text(encoding="utf-8")
    assert filled.startswith("before\n")
    assert filled.endswith("\nafter\n")
    assert "outdated" not in filled
    return filled


def test_the_table_of_the_readme_holds_medians_and_the_ratio(tmp_path: Path) -> None:
    run_ = written({"heedful": 0.002, "torch": 0.0051, "jax": 0.0081})
    (tmp_path / "run.json").write_text(json.dumps(run_), encoding="utf-8")
    text = fill(tmp_path / "page.md", tmp_path, "medians", "shortlist", "losses", "goals", "sweep")
    assert "Some CPU, 2 threads, level v3; heedful 0.1, torch 2.13, jax 0.10" in text
    row = "| llama_2k: 1, 32/8, 2048×2048, 128, causal, bfloat16 | 2 | 5.1 | 8.1 | **2.55** |"
    assert text.count(row) == 1  # not in the short list
    assert text.count("No such measurement is committed yet.") == 3
    assert "No other library is faster in any of the committed measurements" in text


def test_the_table_of_the_readme_has_a_column_for_the_second_layout(tmp_path: Path) -> None:
    run_ = written({"heedful": 0.002, "torch": 0.0051}, dtype="float32")
    other = written({"heedful": 0.004, "torch": 0.0052}, dtype="float32", layout="blhd")
    run_["comparisons"] += other["comparisons"]
    (tmp_path / "run.json").write_text(json.dumps(run_), encoding="utf-8")
    name = "llama_2k: 1, 32/8, 2048×2048, 128, causal"
    text = fill(tmp_path / "page.md", tmp_path, "shortlist")
    assert "| best other / heedful | in (B, L, H, D) |\n" in text
    assert f"| {name} | 2 | 5.1 | – | **2.55** | **1.30** |" in text
    assert text.count("llama_2k") == 1
    text = fill(tmp_path / "page.md", tmp_path, "medians")
    assert f"| {name} | 2 | 5.1 | – | **2.55** |" in text
    assert f"| {name}, (B, L, H, D) | 4 | 5.2 | – | **1.30** |" in text


def test_goals_name_the_state_of_the_machine(tmp_path: Path) -> None:
    run_ = written({"heedful": 0.002})
    line = {"topic": "forward", "what": "llama_2k", "goal": "≥ 3 x", "figure": "2.55 x torch",
            "reason": "", "holds": True}  # fmt: skip
    run_["lines"] = [
        {**line, "limit": "70% of the peak", "state": "undisturbed"},
        {**line, "limit": "", "state": "shared"},
    ]
    (tmp_path / "goals.json").write_text(json.dumps(run_), encoding="utf-8")
    text = fill(tmp_path / "page.md", tmp_path, "goals")
    assert "| 2.55 x torch | 70% of the peak; undisturbed | holds |" in text
    assert "| 2.55 x torch | shared | holds |" in text


def test_the_page_about_speed_hides_no_loss(tmp_path: Path) -> None:
    goals = written({"heedful": 0.002, "torch": 0.0051})
    line = {"topic": "forward", "what": "llama_2k", "goal": "≥ 3 x", "figure": "2.55 x torch",
            "limit": "70% of the peak", "reason": ""}  # fmt: skip
    goals["lines"] = [{**line, "holds": False}, {**line, "holds": None, "reason": "a | b"}]
    sweep = written({"heedful": 0.002, "torch": 0.0018, "onnxruntime": 0.001})
    sweep["sweep"] = {"limit": 0.95, "threads": [1, 2, 3], "same_bits": [True]}
    scaling = {**written({}), "comparisons": []}
    point = {**written({"heedful": 4, "torch": 3})["comparisons"][0], "threads": 1}
    scaling["series"] = {"threads": {"fixed": "B = 1", "points": [point]}}
    for name, run_ in {"goals": goals, "sweep": sweep, "scaling": scaling}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(run_), encoding="utf-8")
    text = fill(tmp_path / "page.md", tmp_path, "goals", "sweep", "losses", "pictures")
    assert "**0 of 1 goals hold; 1 cannot be judged here.**" in text
    assert "| forward | llama_2k | ≥ 3 x | 2.55 x torch | 70% of the peak | **MISSED** |" in text
    assert "not judged: a \\| b |" in text
    assert "Of 1 shapes, 0 are at least 0.95 times as fast" in text
    assert "(speed-threads.svg)" in text
    assert "drawn on 16 cores." in text
    lost = text[text.index("| case | faster |") :]
    label = "llama_2k: 1, 32/8, 2048×2048, 128, causal, bfloat16"
    assert f"| {label} | onnxruntime | 0.50 |" in lost
    assert f"| {label}, 1 thread | torch | 0.75 |" in lost
    assert lost.count("| torch |") + lost.count("| onnxruntime |") == 2  # the goal was no loss
