"""Pruning is measured: heads, and three schedules of tokens each way."""

from __future__ import annotations

import re

import pytest
from benchmark_scripts import run

pytestmark = [pytest.mark.once, pytest.mark.slow]

LINE = re.compile(r"^(.*?)  +(.*?) +\d+\.\d\d % +\d+\.\d\d % +\d+\.\d\d x \(.*\)$")


@pytest.mark.parametrize("part", ["heads", "tokens"])
def test_accuracy_and_speed_are_printed_for_each_way(part: str) -> None:
    done = run("bench_pruning.py", "--quick", "--only", part)
    assert done.returncode == 0, done.stderr
    lines = [found[1] for line in done.stdout.splitlines() if (found := LINE.match(line))]
    if part == "heads":
        assert lines == ["gradient", "ablation"]
    else:
        assert [line.split()[0] for line in lines] == ["all", *["keep"] * 3, *["merge"] * 3]


@pytest.mark.peer
def test_vectors_and_answers_are_printed_for_each_schedule() -> None:
    done = run("bench_pruning.py", "--quick", "--only", "sentences")
    assert done.returncode == 0, done.stderr
    if "left out" in done.stdout:
        pytest.skip(done.stdout)
    row = r"(all|keep|merge to) [\d, ]+ \d\.\d{3} +\d\.\d{3} +\d+ +\d+(  .*)?$"
    lines = [found[1] for line in done.stdout.splitlines() if (found := re.match(row, line))]
    assert lines == ["all", *["keep"] * 3, *["merge to"] * 3]
