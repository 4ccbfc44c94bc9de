"""A topic of the goals, and the command line of every script that judges topics."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from heedful._printable import printable
from heedful.benchmark import report
from heedful.benchmark.channel import Worker, serve
from heedful.benchmark.command import add_layouts_argument, add_run_arguments, command_line
from heedful.benchmark.goal import Goal, Line, OwnGoal, own_lines, own_races
from heedful.benchmark.harness import Comparison, Harness
from heedful.benchmark.layout import Layout
from heedful.benchmark.shapes import Case

QUICK: dict[str, Any] = {"rounds": 2, "seconds": 0.05}


@dataclasses.dataclass(frozen=True)
class Topic:
    """Cases that are measured together: one script in benchmarks/."""

    name: str
    description: str
    goals: Mapping[Case, Goal] = dataclasses.field(default_factory=dict)
    own_goals: Sequence[OwnGoal] = ()
    cases: Sequence[Case] = ()  # that `judge` measures in its own way
    judge: Callable[[Harness, Case], Iterator[Line]] | None = None
    other: Callable[[Harness], Iterator[Line]] | None = None  # other than cases

    @property
    def shapes(self) -> list[str]:
        cases = [*self.goals, *(goal.case for goal in self.own_goals), *self.cases]
        return list(dict.fromkeys(case.shape.name for case in cases))


def run_topics(description: str, topics: Sequence[Topic], argv: Sequence[str] | None = None) -> int:
    """Measure, print each result, then all lines again; the exit code.

    It is 1 for a wrong result of heedful or, with --strict, a missed goal.
    """
    arguments = _parser(description, topics).parse_args(argv)
    chosen = [topic for topic in topics if topic.name in getattr(arguments, "only", [topic.name])]
    if arguments.quick:
        arguments.rounds, arguments.seconds = QUICK["rounds"], QUICK["seconds"]
    where = report.machine()
    with Harness(
        arguments.libraries, arguments.threads, arguments.rounds, arguments.seconds
    ) as harness:
        print(report.introduction(harness, where), flush=True)
        run = _Run(harness, arguments.shapes, arguments.layouts)
        for topic in chosen:
            run.measure(topic)
        print("\n" + summary(run.lines), flush=True)
        if arguments.json is not None:
            written = report.as_json(harness, where, command_line(), list(run.comparisons.values()))
            written["lines"] = [{"topic": topic, **line.as_dict()} for topic, line in run.lines]
            arguments.json.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
            print(f"\nwritten: {printable(str(arguments.json))}")
    wrong = any("heedful" in one.wrong for one in run.comparisons.values())
    missed = any(line.holds is False for _, line in run.lines)
    return int(wrong or (arguments.strict and missed))


def _parser(description: str, topics: Sequence[Topic]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    shapes = list(dict.fromkeys(name for topic in topics for name in topic.shapes))
    if len(topics) > 1:
        names = [topic.name for topic in topics]
        parser.add_argument(
            "--only", nargs="+", choices=names, default=names, metavar="TOPIC",
            help=f"out of {', '.join(names)} (default: all)",
        )  # fmt: skip
    parser.add_argument("--shapes", nargs="+", choices=shapes, metavar="NAME", default=shapes,
                        help=f"only these of {', '.join(shapes)}")  # fmt: skip
    add_layouts_argument(parser)
    parser.add_argument(
        "--quick", action="store_true",
        help="few and short rounds: a smoke test, not a reliable measurement",
    )  # fmt: skip
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a goal is missed")
    add_run_arguments(parser)
    return parser


class _Run:
    """The results so far. A case that two topics share is measured once."""

    def __init__(self, harness: Harness, shapes: Sequence[str], layouts: Sequence[Layout]) -> None:
        self.comparisons: dict[Case, Comparison] = {}
        self.lines: list[tuple[str, Line]] = []
        self._harness = harness
        self._shapes = shapes
        self._layouts = layouts
        self._bfloat16 = find_spec("ml_dtypes") is not None

    def measure(self, topic: Topic) -> None:
        print(f"\n== {topic.name}: {topic.description.splitlines()[0]}", flush=True)
        for goal_case, goal in topic.goals.items():
            for case in self._selected(goal_case):
                if case not in self.comparisons:
                    self.comparisons[case] = self._harness.compare(case, goal.libraries)
                    meaning = self._harness.peak.meaning
                    print("\n" + report.table(self.comparisons[case], meaning), flush=True)
                self._add(topic, goal.lines(self.comparisons[case]))
        own = [
            laid_out
            for goal in topic.own_goals
            if self._is_selected(goal.case)
            for laid_out in goal.laid_out(self._layouts)
        ]
        for goals in own_races(own):
            self._add(topic, own_lines(self._harness, goals))
        if topic.judge is not None:
            for case in [case for one in topic.cases for case in self._selected(one)]:
                self._add(topic, topic.judge(self._harness, case))
        if topic.other is not None:
            self._add(topic, topic.other(self._harness))

    def _selected(self, case: Case) -> list[Case]:
        return case.laid_out(self._layouts) if self._is_selected(case) else []

    def _is_selected(self, case: Case) -> bool:
        return case.shape.name in self._shapes and (self._bfloat16 or case.dtype != "bfloat16")

    def _add(self, topic: Topic, lines: Iterable[Line]) -> None:
        for line in lines:
            self.lines.append((topic.name, line))
            print(textwrap.indent(str(line), "  "), flush=True)


def summary(lines: Sequence[tuple[str, Line]]) -> str:
    """All lines by topic, the number that hold, and the states of the machine that they saw."""
    text = []
    for topic, found in itertools.groupby(lines, key=lambda pair: pair[0]):
        text.append(f"{topic}:")
        text += [textwrap.indent(str(line), "  ") for _, line in found]
    states = Counter(line.state for _, line in lines if line.state)
    if states:
        seen = ", ".join(f"{number} {word}" for word, number in states.items())
        text.append(f"state of the machine: {seen}")
    return "\n".join([*text, counts([line.holds for _, line in lines])])


def counts(verdicts: Sequence[bool | None]) -> str:
    """A sentence that counts them."""
    judged = [holds for holds in verdicts if holds is not None]
    unjudged = len(verdicts) - len(judged)
    suffix = f"; {unjudged} cannot be judged here" if unjudged else ""
    return f"{sum(judged)} of {len(judged)} goals hold{suffix}"


def main(
    topics: Topic | Sequence[Topic], worker: Callable[[str, int], Worker] | None = None
) -> None:
    """The main function of a script; with `--worker LIBRARY THREADS` it runs as its worker."""
    if worker is not None and sys.argv[1:2] == ["--worker"]:
        serve(lambda: worker(sys.argv[2], int(sys.argv[3])))
    else:
        each = [topics] if isinstance(topics, Topic) else topics
        sys.exit(run_topics(each[0].description, each))
