"""The scripts in benchmarks/ start, and those that read results read them rightly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmark_scripts import FOLDER, run, run_program

from heedful.benchmark.draw import drawn_cases
from heedful.benchmark.report import level

# of scripts, which import them
PARTS = {
    "case_rows",
    "curves",
    "dense_products",
    "learning_tasks",
    "losses",
    "model_cases",
    "model_libraries",
    "model_tables",
    "timed_calls",
}
SCRIPTS = sorted(path for path in FOLDER.glob("*.py") if path.stem not in PARTS)

pytestmark = [pytest.mark.once, pytest.mark.slow]


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
    own_end = {"bench_sweep", "bench_scaling", "bench_pruning", "bench_alternatives"}
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


def test_alternatives_are_compared_on_the_same_steps(tmp_path: Path) -> None:
    file = tmp_path / "alternatives.json"
    done = run("bench_alternatives.py", "--quick", "--json", file)
    assert done.returncode == 0, done.stderr
    written_ = json.loads(file.read_text(encoding="utf-8"))
    mixers = ["attention", "linear", "gating", "mlp", "fourier"]
    for task, quality in (("digits", "accuracy, %"), ("characters", "bits per character")):
        models = written_[task]["models"]
        assert [one["mixer"] for one in models] == mixers
        trained = [one for one in models if quality in one]
        counts = [one["parameters"] for one in trained]
        assert max(counts) < 1.02 * min(counts)
        assert all(one["ms per training step"] > 0 for one in trained)
    assert len(trained) == 3  # the others see what they are to predict
    assert [one["length"] for one in written_["lengths"]] == [64, 128]
    assert "not causal" in done.stdout


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


@pytest.mark.peer
def test_whole_models_are_compared_from_the_files_to_the_last_line() -> None:
    pytest.importorskip("transformers")
    small = {
        "BertConfig": {"vocab_size": 1000, "hidden_size": 16, "num_hidden_layers": 2,
                       "num_attention_heads": 2, "intermediate_size": 32},
        "GPT2Config": {"vocab_size": 1000, "n_embd": 16, "n_layer": 2, "n_head": 2},
        "T5Config": {"vocab_size": 1000, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2,
                     "num_heads": 2, "decoder_start_token_id": 0},
        "Qwen2Config": {"vocab_size": 1000, "hidden_size": 16, "num_hidden_layers": 2,
                        "num_attention_heads": 2, "num_key_value_heads": 1,
                        "intermediate_size": 32, "tie_word_embeddings": True},
    }  # fmt: skip
    program = (
        "import sys, json, dataclasses; sys.path.insert(0, sys.argv[1]); import bench_models;"
        "small = json.loads(sys.argv[2]);"
        "bench_models.MODELS = {name: dataclasses.replace(case, sizes=small[case.kind])"
        " for name, case in bench_models.MODELS.items()};"
        "from heedful.benchmark.harness import Harness;"
        "harness = Harness(['heedful', 'torch'], 1, 1, 0.01);"
        "scripts = bench_models.script_processes("
        "bench_models.__file__, harness, ['torch', 'heedful']);"
        "processes = scripts.__enter__();"
        "print(*(line for case in bench_models.MODELS.values()"
        " for asked in bench_models.parts(case).values()"
        " for line in bench_models.case_lines(harness, processes, case, asked)), sep='\\n');"
        "scripts.__exit__(None, None, None)"
    )
    done = run_program(program, FOLDER, json.dumps(small), timeout=600)
    assert done.returncode == 0, done.stderr
    assert "and eager" not in done.stdout  # the line of logits that differ
    for what in ("texts of 23 to 128 tokens, batch", "prompt 1024", "0.5 B, decoding",
                 "T5-base, text and target", "T5-base, decoding"):  # fmt: skip
        assert what in done.stdout
    parts = 2 * len(small) - 1  # BERT has one
    assert done.stdout.count("peak memory from loading") == 2 * parts
    assert done.stdout.count("int8 weights") == parts + 1  # GPT-2 reads two prompts
