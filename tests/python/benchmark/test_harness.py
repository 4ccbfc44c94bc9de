"""The harness lets only right results race, and survives a library that does not."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, ClassVar

import pytest

from heedful.benchmark import harness, oracle
from heedful.benchmark.process import WorkerDied
from heedful.benchmark.race import Entry
from heedful.benchmark.report import table
from heedful.benchmark.shapes import Case, Shape, make_inputs
from heedful.benchmark.worker import decode_case

pytestmark = pytest.mark.once

CASE = Case(Shape("plain", 2, 3, 3, 11, 17, 8))
OTHER = Case(Shape("other", 2, 3, 3, 17, 11, 8))


class Peak:
    """100 GFLOP/s and 10 GB/s a thread, on a core of its own unless `seen` says otherwise."""

    meaning = "FMA peak"
    best_nops = 6.0
    seen: ClassVar[list[float | None]] = []  # before every round and after the last

    def nops(self, threads: int) -> float | None:
        return self.seen.pop(0) if self.seen else 6.0

    def gflops(self, threads: int) -> float:
        return 100.0 * threads

    def bandwidth(self, threads: int) -> float:
        return 10.0 * threads

    def close(self) -> None: ...


class Worker:
    """Right rows and fixed times; `changes` says what a library does otherwise."""

    version = "1.0"
    seconds: ClassVar[dict[str, float]] = {"heedful": 0.002, "torch": 0.006, "numpy": 0.004}
    changes: ClassVar[dict[str, Callable[[list[Any]], list[Any]]]] = {}
    ways: ClassVar[dict[str, tuple[float, ...]]] = {}  # how much longer each way takes
    asked: ClassVar[list[tuple[str, str]]] = []
    machine: ClassVar[float] = 1.0  # how much longer everything takes
    slowdown: ClassVar[float] = 1.0  # of the machine from turn to turn

    def __init__(self, library: str, threads: int) -> None:
        self.library, self.threads = library, threads
        self.cases: dict[int, Case] = {}

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        self.asked.append((self.library, do))
        if do == "forget":
            return {}
        if do == "turn":
            Worker.machine *= self.slowdown
            length = 1.0 if self.cases[arguments["slot"]] == CASE else 3.0
            way = self.ways.get(self.library, (1.0,))[arguments["way"]]
            seconds = self.seconds[self.library] * length * way * Worker.machine / self.threads
            return {"times": [seconds, seconds * 1.5]}
        case = self.cases[arguments["slot"]] = decode_case(arguments["case"])
        rows = oracle.expected(case, make_inputs(case), oracle.choose_sample(case))
        rows = self.changes.get(self.library, list)(rows)
        lists = [row.tolist() for row in rows]
        ways = self.ways.get(self.library, (1.0,))
        return {"ways": [{"name": f"way {n}", "rows": lists} for n in range(len(ways))]}

    def close(self) -> None: ...


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """heedful, torch and numpy, all of them played."""
    monkeypatch.setattr(harness, "MachinePeak", Peak)
    monkeypatch.setattr(harness, "WorkerProcess", Worker)
    monkeypatch.setattr(harness.peers, "missing", lambda name: [])
    monkeypatch.setattr(Worker, "asked", [])
    monkeypatch.setattr(Worker, "machine", 1.0)
    return monkeypatch


@pytest.fixture
def compare(played: pytest.MonkeyPatch) -> Callable[..., harness.Comparison]:
    """Compare all three on one case."""

    def run(**changes: Callable[[list[Any]], list[Any]]) -> harness.Comparison:
        played.setattr(Worker, "changes", changes)
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


def test_libraries_alternate_and_another_one_begins_each_round(
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


def test_after_two_rounds_only_the_fastest_way_runs(played: pytest.MonkeyPatch) -> None:
    played.setattr(Worker, "ways", {"torch": (1.0, 0.5)})
    with harness.Harness(["heedful", "torch"], threads=1, rounds=5) as one:
        comparison = one.compare(CASE)
    assert Worker.asked.count(("torch", "turn")) == 2 * 2 + 3
    torch = comparison.of("torch")
    assert torch is not None
    assert torch.way == "way 1"
    assert torch.calls == 2 * 5


class Disturbed(Worker):
    """Calls that take twice as long while the machine is shared, whatever round it is."""

    rounds: ClassVar[list[bool]] = []

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        if do == "turn" and self.library == "heedful":
            Worker.machine = 2.0 if self.rounds.pop(0) else 1.0
        return super().ask(do, **arguments)


@pytest.mark.parametrize(
    ("nops", "word", "kept", "milliseconds"),
    [
        # a round counts as the worse of its two ends
        ([6, 6, 6, 6, 6, 6], "undisturbed", 5, 2.0),
        ([4, 4, 6, 6, 6, 6], "undisturbed", 3, 2.0),
        ([6, 6, 6, 4, 4, 4], "shared", 3, 4.0),  # two are too few
        ([3, 4, 4, 4, 3, 4], "shared", 5, 4.0),
        ([None] * 6, "unknown", 5, 2.0),
    ],
)
def test_rounds_in_different_states_are_not_mixed(
    played: pytest.MonkeyPatch, nops: list[float | None], word: str, kept: int, milliseconds: float
) -> None:
    shared = [min(pair) < 5 if None not in pair else False for pair in pairwise(nops)]
    played.setattr(Disturbed, "rounds", shared)
    played.setattr(Peak, "seen", list(nops))
    played.setattr(harness, "WorkerProcess", Disturbed)
    with harness.Harness(["heedful", "torch"], threads=1, rounds=5) as one:
        comparison = one.compare(CASE)
    assert (comparison.state.word, comparison.state.kept) == (word, kept)
    assert comparison.own is not None
    assert comparison.own.best == pytest.approx(1e-3 * milliseconds)
    assert comparison.own.calls == 2 * kept
    assert comparison.ratio == pytest.approx(3.0)
    assert word in table(comparison, "FMA peak")
    assert comparison.as_dict()["state"]["word"] == word


def test_slow_calls_are_repeated_in_undisturbed_rounds(played: pytest.MonkeyPatch) -> None:
    played.setattr(Worker, "seconds", {"heedful": 2.0})  # two calls a round; three are enough
    played.setattr(Peak, "seen", [4, 4, 4, 4, 6, 6, 6, 6, 6])
    with harness.Harness(["heedful"], threads=1, rounds=8) as one:
        comparison = one.compare(CASE)
    assert Worker.asked.count(("heedful", "turn")) == 2 + 2  # none in the third and the last rounds
    assert comparison.state.word == "undisturbed"
    assert comparison.own is not None
    assert comparison.own.calls == 4


def test_cases_of_one_library_race_on_a_machine_that_gets_slower(
    played: pytest.MonkeyPatch,
) -> None:
    played.setattr(Worker, "slowdown", 1.01)
    entries = [Entry(CASE, "heedful", 1), Entry(OTHER, "heedful", 1), Entry(CASE, "heedful", 2)]
    with harness.Harness(["heedful"], threads=2, rounds=30) as one:
        race = one.race(entries)
    assert race.ratio(entries[0], entries[1]) == pytest.approx(3.0, rel=0.03)
    assert race.ratio(entries[2], entries[0]) == pytest.approx(2.0, rel=0.03)
    assert race.gain(2, 1) == 2.0
    assert race.ratio(entries[0], Entry(OTHER, "heedful", 2)) is None


def test_a_process_that_dies_removes_all_its_entries(played: pytest.MonkeyPatch) -> None:
    class Dying(Worker):
        def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
            if do == "turn" and self.threads == 2:
                raise WorkerDied("the process ended with code -9")
            return super().ask(do, **arguments)

    played.setattr(harness, "WorkerProcess", Dying)
    entries = [Entry(CASE, "heedful", 2), Entry(OTHER, "heedful", 2), Entry(CASE, "heedful", 1)]
    with harness.Harness(["heedful"], threads=2, rounds=2) as one:
        race = one.race(entries)
    assert list(race.runners) == [entries[2]]
    assert set(race.left_out) == set(entries[:2])
