"""The speed over the number of threads, beside that of the machine's limit."""

from __future__ import annotations

import pytest

from heedful.benchmark.race import Entry, Race, Runner
from heedful.benchmark.shapes import Case, Shape
from heedful.benchmark.state import State
from heedful.benchmark.thread_curve import ThreadCurve

pytestmark = pytest.mark.once

CASE = Case(Shape("plain", 1, 8, 8, 1000, 1000, 100))  # 3.2 GFLOP
DECODE = Case(Shape("step", 1, 10, 10, 1, 100_000, 100))  # 0.8 GB


def curve(case: Case, seconds: dict[tuple[str, int], list[float]]) -> ThreadCurve:
    runners = {}
    for slot, ((library, threads), times) in enumerate(seconds.items()):
        entry = Entry(case, library, threads)
        turns = {0: [[time] for time in times]}
        runners[entry] = Runner(entry, slot, {0: ("way", 0.0)}, turns)
    counts = sorted({threads for _, threads in seconds})
    gflops = {threads: [100.0 * threads, 90.0 * threads] for threads in counts}
    bandwidth = {threads: [10.0 + threads, 10.0 + threads] for threads in counts}
    state = State("undisturbed", 6.0, 6.0, 2, 2)
    race = Race(runners, {}, {}, gflops, bandwidth, state)
    return ThreadCurve(case, race, counts, list(dict.fromkeys(name for name, _ in seconds)))


def test_scaling_stands_beside_that_of_the_peak() -> None:
    # the machine is slower in the second round: speed-ups are those within a round
    found = curve(
        CASE,
        {
            ("heedful", 1): [0.04, 0.05],
            ("heedful", 2): [0.02, 0.025],
            ("heedful", 4): [0.0125, 0.015625],
            ("torch", 4): [0.032, 0.032],
        },
    )
    assert [point.speed_up for point in found.points] == pytest.approx([1.0, 2.0, 3.2])
    assert [point.limit_speed_up for point in found.points] == pytest.approx([1.0, 2.0, 4.0])
    lines = str(found).splitlines()
    assert lines[0] == str(CASE)
    assert "undisturbed" in lines[1]
    assert lines[2].split() == [
        "threads", "GFLOP/s", "of", "peak", "speed-up", "the", "peak", "of", "it", "torch",
    ]  # fmt: skip
    assert [line.split() for line in lines[3:]] == [
        ["1", "71.1", "75%", "1.00", "x", "1.00", "x", "100%", "-"],
        ["2", "142.2", "75%", "2.00", "x", "2.00", "x", "100%", "-"],
        ["4", "227.6", "60%", "3.20", "x", "4.00", "x", "80%", "100.0"],
    ]
    assert len({len(line) for line in lines[2:]}) == 1
    assert len(lines[2]) <= 80
    written = found.as_dict()
    assert [point["threads"] for point in written["points"]] == [1, 2, 4]
    assert written["points"][2]["peak_gflops"] == 380.0


def test_a_decoding_step_stands_beside_the_memory() -> None:
    found = curve(DECODE, {("heedful", 1): [0.1, 0.1], ("heedful", 4): [0.08, 0.08]})
    last = str(found).splitlines()[-1].split()
    assert last == ["4", "10.0", "71%", "1.25", "x", "1.27", "x", "98%"]


def test_what_could_not_be_measured_is_named() -> None:
    found = curve(CASE, {("heedful", 1): [0.04], ("heedful", 2): [0.02]})
    lost = Entry(CASE, "heedful", 2)
    del found.race.runners[lost]
    found.race.wrong[lost] = "way is off by 1"
    assert found.wrong
    lines = str(found).splitlines()
    assert lines[-2].split() == ["2", "-", "-", "-", "2.00", "x", "-"]
    assert lines[-1] == "  heedful, 2 threads: way is off by 1"
