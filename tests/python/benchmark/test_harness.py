"""The harness lets only right results race, and survives a library that does not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from heedful.benchmark import harness, oracle
from heedful.benchmark.process import WorkerDied
from heedful.benchmark.report import Goal, OwnGoal, table, verdicts
from heedful.benchmark.shapes import Case, Shape, make_inputs

pytestmark = pytest.mark.once

CASE = Case(Shape("plain", 2, 3, 3, 11, 17, 8))


class Peak:
    """100 GFLOP/s, 10 GB/s."""

    meaning = "FMA peak"

    def __init__(self, threads: int) -> None: ...

    def gflops(self) -> float:
        return 100.0

    def bandwidth(self) -> float:
        return 10.0

    def close(self) -> None: ...


class Worker:
    """Right rows and fixed times; `changes` says what a library does otherwise."""

    version = "1.0"
    seconds: ClassVar[dict[str, float]] = {"heedful": 0.002, "torch": 0.006, "numpy": 0.004}
    changes: ClassVar[dict[str, Callable[[list[Any]], list[Any]]]] = {}
    asked: ClassVar[list[tuple[str, str]]] = []

    def __init__(self, library: str, threads: int) -> None:
        self.library = library

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        self.asked.append((self.library, do))
        if do == "turn":
            return {"times": [self.seconds[self.library], self.seconds[self.library] * 1.5]}
        rows = oracle.expected(CASE, make_inputs(CASE), oracle.choose_sample(CASE))
        rows = self.changes.get(self.library, list)(rows)
        return {"ways": [{"name": "way", "rows": [row.tolist() for row in rows]}]}

    def close(self) -> None: ...


@pytest.fixture
def compare(monkeypatch: pytest.MonkeyPatch) -> Callable[..., harness.Comparison]:
    """Compare heedful, torch and numpy, all of them played."""

    def run(**changes: Callable[[list[Any]], list[Any]]) -> harness.Comparison:
        monkeypatch.setattr(harness, "MachinePeak", Peak)
        monkeypatch.setattr(harness, "WorkerProcess", Worker)
        monkeypatch.setattr(harness.peers, "missing", lambda name: [])
        monkeypatch.setattr(Worker, "changes", changes)
        monkeypatch.setattr(Worker, "asked", [])
        with harness.Harness(["heedful", "torch", "numpy"], threads=1, rounds=3) as one:
            return one.compare(CASE)

    return run


def test_the_ratio_is_that_to_the_fastest_other_library(
    compare: Callable[..., harness.Comparison],
) -> None:
    comparison = compare()
    assert comparison.best_peer is not None
    assert comparison.best_peer.library == "numpy"
    assert comparison.ratio == pytest.approx(2.0)
    assert [one.library for one in comparison.measured] == ["heedful", "torch", "numpy"]
    assert [one.calls for one in comparison.measured] == [6, 6, 6]


def test_libraries_take_turns_and_another_one_begins_each_round(
    compare: Callable[..., harness.Comparison],
) -> None:
    compare()
    turns = [library for library, do in Worker.asked if do == "turn"]
    assert turns == [
        *("heedful", "torch", "numpy"),
        *("torch", "numpy", "heedful"),
        *("numpy", "heedful", "torch"),
    ]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda rows: [rows[0] * (1 + 1e-3)],
        lambda rows: [rows[0] * float("nan")],
        lambda rows: [rows[0][:, :-1]],
    ],
)
def test_a_wrong_result_is_named_and_never_timed(
    compare: Callable[..., harness.Comparison], spoil: Callable[[list[Any]], list[Any]]
) -> None:
    comparison = compare(torch=spoil)
    assert "torch" in comparison.wrong
    assert ("torch", "turn") not in Worker.asked
    assert "WRONG" in table(comparison, "FMA peak")
    assert comparison.ratio == pytest.approx(2.0)


def test_a_library_that_dies_leaves_the_others_running(
    compare: Callable[..., harness.Comparison],
) -> None:
    def die(rows: list[Any]) -> list[Any]:
        raise WorkerDied("the process ended with code -11")

    comparison = compare(numpy=die)
    assert comparison.left_out == {"numpy": "the process ended with code -11"}
    assert comparison.ratio == pytest.approx(3.0)


def test_a_goal_is_reached_or_missed_by_what_was_measured(
    compare: Callable[..., harness.Comparison],
) -> None:
    comparison = compare()
    assert [good for _, good in verdicts(comparison, Goal(ratio=1.9))] == [True]
    assert [good for _, good in verdicts(comparison, Goal(ratio=2.1))] == [False]
    assert [good for _, good in verdicts(comparison, Goal(ratio=2.9, against="torch"))] == [True]
    share = CASE.flops / 0.0025 * 1e-9 / 100
    assert [good for _, good in verdicts(comparison, Goal(share=share * 0.99))] == [True]
    assert [good for _, good in verdicts(comparison, Goal(share=share * 1.01))] == [False]


def test_heedful_is_compared_with_itself_on_another_case(
    compare: Callable[..., harness.Comparison],
) -> None:
    comparison = compare()
    other = dataclasses.replace(comparison, case=dataclasses.replace(CASE, dtype="float16"))
    both = [comparison, other]
    assert OwnGoal(other.case, CASE, 0.9).verdict(both)[1]
    assert not OwnGoal(other.case, CASE, 1.1).verdict(both)[1]
    assert OwnGoal(other.case, CASE, 1.1).verdict([comparison]) is None
