"""Topics are measured and judged in both memory layouts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmark_scripts import FOLDER, run, run_program

pytestmark = [pytest.mark.once, pytest.mark.slow]


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
