"""A goal holds, is missed, or cannot be judged, and the line says which."""

from __future__ import annotations

import dataclasses

import pytest

from heedful.benchmark import goal as goals
from heedful.benchmark.goal import Goal, Line, OwnGoal, own_races
from heedful.benchmark.harness import Comparison, Measured
from heedful.benchmark.layout import LAYOUTS
from heedful.benchmark.race import Entry, Race, Runner
from heedful.benchmark.shapes import SHAPES, Case, Shape
from heedful.benchmark.state import State
from heedful.benchmark.topic import summary

pytestmark = pytest.mark.once

CASE = Case(Shape("plain", 2, 3, 3, 512, 512, 64))
BEST = {"level": "v4", "features": ["avx2", "avx512f"]}
HELD = {"level": "v3", "features": ["avx2", "avx512f"]}
OLDER = {"level": "v3", "features": ["avx2"]}


@pytest.fixture(autouse=True)
def best_level(monkeypatch: pytest.MonkeyPatch) -> None:
    at_level(monkeypatch, BEST)


def at_level(monkeypatch: pytest.MonkeyPatch, config: dict[str, object]) -> None:
    monkeypatch.setattr(goals.heedful, "show_config", lambda mode: config)


def comparison(**milliseconds: float) -> Comparison:
    measured = [
        Measured(name, "way", 0.0, 1e-3 * time, 1e-3 * time, 0.0, 1)
        for name, time in milliseconds.items()
    ]
    left_out = {} if "torch" in milliseconds else {"torch": "out of memory"}
    return Comparison(CASE, measured, left_out, {}, CASE.flops / 1e-3 * 1e-9, 10.0)


def verdicts(goal: Goal, **milliseconds: float) -> list[bool | None]:
    return [line.holds for line in goal.lines(comparison(**milliseconds))]


def test_the_ratio_is_that_to_the_fastest_library_or_to_the_one_named() -> None:
    times = {"heedful": 2.0, "torch": 6.0, "numpy": 4.0}
    assert verdicts(Goal(ratio=1.9), **times) == [True]
    assert verdicts(Goal(ratio=2.1), **times) == [False]
    assert verdicts(Goal(ratio=2.9, against="torch"), **times) == [True]
    assert verdicts(Goal(ratio=3.1, against="torch"), **times) == [False]


def test_a_fraction_is_that_of_the_peak() -> None:
    assert verdicts(Goal(fraction={"v4": 0.49}), heedful=2.0) == [True]
    assert verdicts(Goal(fraction={"v4": 0.51}), heedful=2.0) == [False]


def test_one_goal_of_two_parts_gives_two_lines() -> None:
    goal = Goal(ratio=1.5, fraction={"v4": 0.6})
    assert verdicts(goal, heedful=2.0, torch=4.0) == [True, False]


def test_more_is_demanded_of_a_library_far_below_the_peak() -> None:
    # the peak is reached in 1 ms: torch is at 50 % and at 40 %
    goal = Goal(ratio=1.5, against="torch", below=(0.45, 2.0))
    assert verdicts(goal, heedful=1.3, torch=2.0) == [True]
    assert verdicts(goal, heedful=1.3, torch=2.5) == [False]
    assert verdicts(goal, heedful=1.2, torch=2.5) == [True]
    (line,) = goal.lines(comparison(heedful=1.2, torch=2.5))
    assert line.goal == "≥ 2 x torch"
    assert line.limit == "83% of the peak, torch at 40%"


def test_padding_that_heedful_saves_is_not_saved_by_the_library_it_is_compared_with() -> None:
    padded = dataclasses.replace(CASE, shape=dataclasses.replace(CASE.shape, padding=(99, 512)))
    found = dataclasses.replace(comparison(heedful=1.2, torch=2.5), case=padded)
    (line,) = Goal(ratio=1.5, against="torch", below=(0.45, 2.0)).lines(found)
    assert (line.goal, line.limit) == ("≥ 2 x torch", "torch at 40%")


def test_a_fraction_is_missed_only_where_no_other_program_is_on_the_core() -> None:
    reached = {"undisturbed": 0.49, "shared": 0.49, "unknown": 0.49}
    for word, fraction in reached.items():
        found = dataclasses.replace(comparison(heedful=2.0), state=State(word))
        (line,) = Goal(fraction={"v4": fraction}).lines(found)
        assert (line.holds, line.state) == (True, word)
        (line,) = Goal(fraction={"v4": 0.51}).lines(found)
        assert (line.holds, line.state) == (None if word == "shared" else False, word)
    (line,) = Goal(ratio=3.0).lines(dataclasses.replace(comparison(heedful=2.0, torch=4.0),
                                                        state=State("shared")))  # fmt: skip
    assert line.holds is False  # of a ratio: both had the same neighbour


def test_a_fraction_may_be_demanded_of_one_level_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    goal = Goal(fraction={"v3": 0.51})
    assert verdicts(goal, heedful=2.0) == []
    at_level(monkeypatch, HELD)
    assert verdicts(goal, heedful=2.0) == [False]


def test_own_goals_hold_in_each_layout_or_between_the_two() -> None:
    first, second = Case(SHAPES["open_2k"]), Case(SHAPES["bias_2k"])
    within = OwnGoal(second, first, 0.9).laid_out(LAYOUTS)
    assert [(goal.case.layout, goal.other.layout) for goal in within] == [
        ("bhld", "bhld"), ("blhd", "blhd"),
    ]  # fmt: skip
    assert {goal.factor for goal in within} == {0.9}
    between = OwnGoal(dataclasses.replace(first, layout="blhd"), first, 1 / 1.05)
    assert between.laid_out(LAYOUTS) == [between]
    assert between.laid_out(["blhd"]) == between.laid_out(["bhld"]) == []
    tiny = Case(SHAPES["overhead"])
    assert OwnGoal(tiny, tiny, 1).laid_out(LAYOUTS) == [OwnGoal(tiny, tiny, 1)]


def test_what_was_not_measured_never_holds() -> None:
    assert verdicts(Goal(ratio=2.0), heedful=2.0) == [None]
    (line,) = Goal(ratio=2.0, against="torch").lines(comparison(heedful=2.0, numpy=9.0))
    assert (line.holds, line.reason) == (None, "torch: out of memory")
    assert verdicts(Goal(ratio=2.0), torch=4.0) == [False]


def test_below_the_own_level_a_fraction_has_its_own_goal_and_ratios_are_only_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    goal = Goal(ratio=3.0, fraction={"v4": 0.9, "v3": 0.4})
    assert verdicts(goal, heedful=2.0, torch=4.0) == [False, False]
    at_level(monkeypatch, HELD)
    assert verdicts(goal, heedful=2.0, torch=4.0) == [None, True]
    assert goal.lines(comparison(heedful=2.0, torch=4.0))[0].figure == "2.00 x torch"
    at_level(monkeypatch, OLDER)  # no library is restricted there
    assert verdicts(goal, heedful=2.0, torch=4.0) == [False, True]
    assert verdicts(Goal(fraction={"v4": 0.1}), heedful=2.0) == [None]


def race(**seconds: list[float]) -> tuple[Race, list[Case]]:
    """Rounds of heedful on cases with these names."""
    cases = [Case(Shape(name, 1, 1, 1, 64, 64, 8)) for name in seconds]
    runners = {}
    for slot, (case, times) in enumerate(zip(cases, seconds.values(), strict=True)):
        entry = Entry(case, "heedful", 2)
        turns = {0: [[time] for time in times]}
        runners[entry] = Runner(entry, slot, {0: ("way", 0.0)}, turns)
    return Race(runners, {}, {}, {2: [100.0, 50.0, 100.0]}, {2: []}), cases


def test_heedful_is_compared_with_itself_within_each_round() -> None:
    # the machine is ten times as slow in the middle of one round: a ratio of medians would be 1
    run, (fast, slow) = race(fast=[1.0, 1.0, 10.0], slow=[2.0, 20.0, 20.0])
    assert run.ratio(Entry(fast, "heedful", 2), Entry(slow, "heedful", 2)) == 2.0
    assert OwnGoal(fast, slow, 1.9).line(run, 2).holds is True
    assert OwnGoal(fast, slow, 2.1).line(run, 2).holds is False
    assert OwnGoal(fast, slow, 2.1, "no such instruction").line(run, 2).holds is None
    assert OwnGoal(fast, CASE, 2.1).line(run, 2).holds is None


def test_a_wrong_result_is_a_missed_goal() -> None:
    run, (fast, slow) = race(fast=[1.0], slow=[2.0])
    run.wrong[Entry(fast, "heedful", 2)] = "off by 1"
    line = OwnGoal(fast, slow, 1.0).line(run, 2)
    assert (line.holds, line.reason) == (False, "off by 1")


def test_goals_with_the_same_other_case_are_one_race() -> None:
    first, second, third = (Case(SHAPES[name]) for name in ("open_2k", "bias_2k", "mask_2k"))
    found = own_races(
        [OwnGoal(second, first, 1), OwnGoal(first, third, 1), OwnGoal(third, first, 1)]
    )
    assert [[goal.case for goal in part] for part in found] == [[second, third], [first]]


def test_the_summary_counts_what_holds_of_what_was_judged() -> None:
    lines = [Line("this", "≥ 1", "2", holds, reason="") for holds in (True, False, True, None)]
    text = summary([("topic", line) for line in lines])
    assert text.endswith("2 of 3 goals hold; 1 cannot be judged here")
    rows = text.splitlines()
    assert rows[0] == "topic:"
    assert [row.split("  ")[1] for row in rows[1:9:2]] == [
        "holds", "MISSED", "holds", "not judged",
    ]  # fmt: skip
    assert [row.strip() for row in rows[2:9:2]] == ["2, goal ≥ 1"] * 4


def test_the_summary_says_which_states_of_the_machine_it_saw() -> None:
    states = ("undisturbed", "shared", "undisturbed", "")
    lines = [Line("this", "≥ 1", "2", True, state=state) for state in states]
    rows = summary([("topic", line) for line in lines]).splitlines()
    assert rows[-2] == "state of the machine: 2 undisturbed, 1 shared"
    assert rows[4].strip() == "2, goal ≥ 1 (shared)"


def test_long_lines_are_wrapped() -> None:
    case = Case(SHAPES["packed_512"], "bfloat16", True, 0.1, "blhd")
    line = Line(str(case), "≥ 1.2 x the best other library", "1.30 x onnxruntime", True,
                "77% of the float32 peak, onnxruntime at 61%", "", "undisturbed")  # fmt: skip
    assert max(map(len, str(line).splitlines())) <= 98
    assert " ".join(str(line).split()) == (
        f"holds {case} {line.figure}, goal {line.goal} ({line.limit}; undisturbed)"
    )
