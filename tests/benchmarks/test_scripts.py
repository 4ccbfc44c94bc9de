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
from heedful.benchmark.draw import drawn_cases
from heedful.benchmark.layout import Layout
from heedful.benchmark.report import level
from heedful.benchmark.shapes import SHAPES, Case
from heedful.benchmark.worker import encode_case

FOLDER = Path(__file__).parents[2] / "benchmarks"
SCRIPTS = sorted(FOLDER.glob("*.py"))

pytestmark = [pytest.mark.once, pytest.mark.slow]


def run(script: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return start(FOLDER / script, *words)


def run_program(program: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return start("-c", program, *words)


def start(*words: str | Path) -> subprocess.CompletedProcess[str]:
    source = str(Path(heedful.__file__).parents[1])
    path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"},
    )


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


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_explains_itself(script: Path) -> None:
    done = run(script.name, "--help")
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout


def test_the_goals_are_measured_judged_and_listed(tmp_path: Path) -> None:
    file = tmp_path / "goals.json"
    done = run(
        "goals.py",
        *("--quick", "--only", "overhead", "masks", "--shapes", "overhead", "window_2k"),
        *("--libraries", "heedful", "numpy", "--json", file),
    )
    assert done.returncode == 0, done.stderr
    written_ = json.loads(file.read_text(encoding="utf-8"))
    assert [one["case"]["backward"] for one in written_["comparisons"]] == [False, True]
    assert written_["machine"]["level"] == level()
    assert written_["command"].startswith("python benchmarks/goals.py --quick")
    lines = {line["what"].split()[0]: line for line in written_["lines"]}
    assert list(lines) == ["overhead", "import", "window_2k"]
    assert lines["overhead"]["holds"] is None  # torch was not asked
    assert "torch" in lines["overhead"]["reason"]
    assert lines["import"]["holds"] in (True, False)
    assert " x open_2k float32" in lines["window_2k"]["figure"]
    last = done.stdout.split("written:")[0].strip().splitlines()[-1]
    assert last.endswith("of 3 goals hold; 2 cannot be judged here")


def test_amx_is_checked_on_its_model() -> None:
    done = run("amx_check.py", "--quick")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "bfloat16 tiles-model" in done.stdout
    assert "same bits with (1, 2) threads" in done.stdout
    assert "tiles and their model: the same bits" in done.stdout
    assert done.stdout.strip().endswith("all right")


def test_every_script_of_goals_is_part_of_the_whole() -> None:
    whole = (FOLDER / "goals.py").read_text(encoding="utf-8")
    own_end = {"bench_sweep", "bench_scaling"}
    scripts = {path.stem for path in FOLDER.glob("bench_*.py")} - own_end
    assert {name for name in scripts if f"{name}.TOPIC" not in whole} == set()


def test_a_goal_that_is_missed_fails_a_strict_run() -> None:
    words = ("--only", "overhead", "--quick", "--libraries", "heedful", "numpy")
    program = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import bench_overhead, goals;"
        "bench_overhead.IMPORT_GOAL = float(sys.argv.pop(1));"
        "sys.exit(goals.run_topics('test', goals.TOPICS))"
    )
    for goal, code in (("1e9", 0), ("0", 1)):
        done = run_program(program, FOLDER, goal, *words, "--strict")
        assert done.returncode == code, done.stderr


def test_memory_beyond_inputs_and_outputs_is_measured() -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import bench_memory;"
        "bench_memory.LENGTHS = (1024, 4096); from heedful.benchmark.harness import Harness;"
        "harness = Harness(['heedful', 'numpy'], 2);"
        "print(*(line for case in bench_memory.CASES"
        " for line in bench_memory.memory_lines(harness, case)), sep='\\n')"
    )
    done = run_program(program, FOLDER)
    assert done.returncode == 0, done.stderr
    sizes: dict[str, list[float]] = {"heedful": [], "numpy": []}
    for words in map(str.split, done.stdout.splitlines()):
        if words and words[0] in sizes:
            sizes[words[0]].append(float(words[1]))
    assert len(sizes["numpy"]) == 4  # each layout with and without gradients, the longest alone
    assert min(sizes["numpy"]) > 4 * 4096**2 / 1e6  # a matrix of weights at least
    assert len(sizes["heedful"]) == 8
    assert max(sizes["heedful"]) < 0.5 * min(sizes["numpy"])
    assert sum(line.startswith(("holds", "MISSED")) for line in done.stdout.splitlines()) == 8


def test_the_sweep_checks_compares_and_counts(tmp_path: Path) -> None:
    file = tmp_path / "sweep.json"
    names = ["drawn_02", "drawn_16", "drawn_24"]
    words = ("--quick", "--shapes", *names, "--libraries", "heedful", "numpy", "--json", file)
    done = run("bench_sweep.py", *words)
    assert done.returncode == 0, done.stderr
    assert "3 of 3 the same bits for 1, 2, 3 threads and in both layouts" in done.stdout
    assert "of 3 at least as fast as the best other, goal 3: " in done.stdout
    assert "state of the machine: " in done.stdout
    written_ = json.loads(file.read_text(encoding="utf-8"))
    assert [one["case"]["shape"]["name"] for one in written_["comparisons"]] == names
    assert written_["sweep"]["same_bits"] == [True] * 3
    drawn = {case.shape.name: case.layout for case in drawn_cases()}
    layouts = [one["case"]["layout"] for one in written_["comparisons"]]
    assert layouts == [drawn[name] for name in names]
    assert set(layouts) == {"bhld", "blhd"}


def test_the_sweep_demands_that_nearly_all_shapes_are_ahead() -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import bench_sweep;"
        "from types import SimpleNamespace as Of; bench_sweep.forced_level = str;"
        "swept = lambda *ratios: [Of(comparison=Of(ratio=ratio)) for ratio in ratios];"
        "print(bench_sweep.enough_ahead(swept(*[1.2] * 57, *[0.96] * 3)),"
        " bench_sweep.enough_ahead(swept(*[1.2] * 56, *[0.96] * 4)),"
        " bench_sweep.enough_ahead(swept(*[1.2] * 56, *[0.96] * 2, None, None)))"
    )
    done = run_program(program, FOLDER)
    assert done.stdout.split() == ["True", "False", "True"], done.stderr


TOPICS = {
    "forward": ("swin_49", ["heedful", "numpy"]),
    "backward": ("tiny_32", ["heedful"]),
    "dtypes": ("tiny_32", ["heedful"]),
    "layouts": ("tiny_32", ["heedful"]),
    "threads": ("gpt2_1k", ["heedful"]),
}


@pytest.mark.parametrize("topic", TOPICS)
def test_topics_of_attention_are_measured_in_both_layouts(topic: str, tmp_path: Path) -> None:
    shape, libraries = TOPICS[topic]
    file = tmp_path / "goals.json"
    words = ("--quick", "--only", topic, "--shapes", shape, "--libraries", *libraries)
    done = run("goals.py", *words, "--threads", "2", "--json", file)
    assert done.returncode == 0, done.stderr
    lines = json.loads(file.read_text(encoding="utf-8"))["lines"]
    second = [line for line in lines if "(B, L, H, D)" in line["what"]]
    first = [line for line in lines if line not in second]
    if topic == "layouts":
        assert first == []
        assert {line["goal"] for line in second} == {"≥ 0.952 x (B, H, L, D)"}
    else:
        assert [line["what"] + ", (B, L, H, D)" for line in first] == [
            line["what"] for line in second
        ] or topic == "threads"
        assert [line["goal"] for line in first] == [line["goal"] for line in second]
    states = {line["state"] for line in lines if line["holds"] is not None}
    assert states <= {"undisturbed", "shared", "unknown"}
    assert max(map(len, done.stdout.split("written:")[0].splitlines())) <= 120


def test_the_goals_of_every_topic_hold_in_both_layouts() -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import goals;"
        "from heedful.benchmark.layout import LAYOUTS\n"
        "for topic in goals.TOPICS:\n"
        "    one = [*topic.goals, *topic.cases]\n"
        "    found = [laid.layout for case in one for laid in case.laid_out(LAYOUTS)]\n"
        "    own = [goal for one in topic.own_goals for goal in one.laid_out(LAYOUTS)]\n"
        "    pairs = [f'{goal.case.layout}/{goal.other.layout}' for goal in own]\n"
        "    print(topic.name, *(f'{n}:{(found + pairs).count(n)}'"
        " for n in sorted({*found, *pairs})))"
    )
    done = run_program(program, FOLDER)
    assert done.returncode == 0, done.stderr
    counts = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}
    assert counts["forward"] == ["bhld:11", "blhd:11"]
    assert counts["backward"] == ["bhld:13", "blhd:13"]
    assert counts["dtypes"] == ["bhld:6", "bhld/bhld:25", "blhd:6", "blhd/blhd:25"]
    assert counts["decode"] == ["bhld:6", "bhld/bhld:2", "blhd:6", "blhd/blhd:2"]
    assert counts["masks"] == ["bhld/bhld:5", "blhd/blhd:5"]
    assert counts["varlen"] == ["bhld/bhld:4", "blhd/blhd:4"]
    assert counts["threads"] == ["bhld:6", "blhd:4"]  # one head is contiguous either way
    assert counts["memory"] == ["bhld:2", "blhd:2"]
    assert counts["overhead"] == ["bhld:2"]
    assert counts["layouts"] == ["blhd/bhld:36"]


def test_a_run_may_choose_its_layouts(tmp_path: Path) -> None:
    file = tmp_path / "goals.json"
    words = ("--quick", "--shapes", "tiny_32", "--libraries", "heedful", "--json", file)
    done = run("bench_forward.py", *words, "--layouts", "blhd")
    assert done.returncode == 0, done.stderr
    (comparison,) = json.loads(file.read_text(encoding="utf-8"))["comparisons"]
    assert comparison["case"]["layout"] == "blhd"


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
    text = fill(tmp_path / "page.md", tmp_path, "medians", "float32", "losses", "goals", "sweep")
    assert "Some CPU, 2 threads, level v3; heedful 0.1, torch 2.13, jax 0.10" in text
    row = "| llama_2k: 1, 32/8, 2048×2048, 128, causal, bfloat16 | 2 | 5.1 | 8.1 | **2.55** |"
    assert text.count(row) == 1  # not in the table of float32
    assert text.count("No such measurement is committed yet.") == 3
    assert "No other library is faster in any of the committed measurements" in text


def test_the_table_of_the_readme_has_a_column_for_the_second_layout(tmp_path: Path) -> None:
    run_ = written({"heedful": 0.002, "torch": 0.0051}, dtype="float32")
    other = written({"heedful": 0.004, "torch": 0.0052}, dtype="float32", layout="blhd")
    run_["comparisons"] += other["comparisons"]
    (tmp_path / "run.json").write_text(json.dumps(run_), encoding="utf-8")
    name = "llama_2k: 1, 32/8, 2048×2048, 128, causal"
    text = fill(tmp_path / "page.md", tmp_path, "float32")
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
