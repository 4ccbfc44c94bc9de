"""Goals of a benchmark, and the line that reports whether one is met."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import heedful
from heedful.benchmark.layout import NAMES, Layout
from heedful.benchmark.race import Entry
from heedful.benchmark.shapes import Case
from heedful.benchmark.state import UNKNOWN, State

if TYPE_CHECKING:
    from heedful.benchmark.harness import Comparison, Harness, Measured
    from heedful.benchmark.race import Race

WORDS: dict[bool | None, str] = {True: "holds", False: "MISSED", None: "not judged"}
WIDTH = 86  # of the text beside the verdict


@dataclasses.dataclass(frozen=True)
class Line:
    """One goal, the figure that was measured, and whether it holds."""

    what: str
    goal: str
    figure: str
    holds: bool | None  # None: cannot be judged here
    limit: str = ""  # percent of the peak or of the memory bandwidth, where meaningful
    reason: str = ""  # why it cannot be judged
    state: str = ""  # of the machine while it was measured

    def __str__(self) -> str:
        notes = [text for text in (self.limit, self.reason, self.state) if text]
        suffix = f" ({'; '.join(notes)})" if notes else ""
        rows = (self.what, f"{self.figure}, goal {self.goal}{suffix}")
        lines = [line for row in rows for line in textwrap.wrap(row, WIDTH)]
        return f"{WORDS[self.holds]:<12}" + ("\n" + " " * 12).join(lines)

    def seen_in(self, state: State) -> Line:
        return dataclasses.replace(self, state=state.word)

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def at_least(
    what: str, wanted: float, reached: float | None, unit: str, limit: str = "", reason: str = ""
) -> Line:
    """A lower bound of a figure; with a reason, or without a figure, it is not judged."""
    if reached is None:
        return Line(what, f"≥ {wanted:g} {unit}", "–", None, limit, reason or "not measured")
    holds = None if reason else reached >= wanted
    return Line(what, f"≥ {wanted:g} {unit}", f"{reached:.2f} {unit}", holds, limit, reason)


def fraction_line(
    what: str, wanted: float, reached: float | None, name: str, state: State, reason: str = ""
) -> Line:
    """A lower bound of a fraction of the machine's limit.

    Beside a busy neighbour on the core the limit cannot be reached: what is missed there is not
    judged.
    """
    goal = f"≥ {wanted:.0%} of the {name}"
    if reached is None:
        reason = reason or "the limit is not known here"
        return Line(what, goal, "–", None, reason=reason).seen_in(state)
    holds: bool | None = reached >= wanted
    if not holds and state.word == "shared":
        reason = reason or "another program uses the same core"
    holds = None if reason else holds
    return Line(what, goal, f"{reached:.1%} of the {name}", holds, reason=reason).seen_in(state)


@dataclasses.dataclass(frozen=True)
class Goal:
    """The goals of one case."""

    ratio: float | None = None  # speed relative to `against`
    against: str = ""  # a library; empty: the best peer
    # of the FMA peak, for a decoding step of the memory bandwidth; by processor level
    fraction: dict[str, float] = dataclasses.field(default_factory=dict)
    # (fraction, ratio): of a peer that is below this fraction of the peak this ratio is demanded
    below: tuple[float, float] | None = None

    @property
    def libraries(self) -> tuple[str, ...] | None:
        """The libraries to be measured; None for all."""
        return ("heedful", self.against) if self.against else None

    def lines(self, comparison: Comparison) -> list[Line]:
        what, own = str(comparison.case), comparison.own
        found = []
        if own is None:
            reason = {**comparison.left_out, **comparison.wrong}.get("heedful", "not measured")
            return [Line(what, "a result", "–", False, reason=reason)]
        name = comparison.case.limit_name
        fraction = comparison.fraction(own)
        # meaningless for a tiny call
        limit = "" if fraction is None or fraction < 0.01 else f"{fraction:.0%} of the {name}"
        if self.ratio is not None:
            found.append(self._ratio_line(self.ratio, comparison, own, limit))
        level = str(heedful.show_config(mode="dicts")["level"])
        wanted = self.fraction.get(level, self.fraction.get("v4"))
        if wanted is not None:
            unjudged = "" if level in self.fraction else f"no goal for level {level}"
            # a neighbour takes as much of the measured bandwidth
            state = UNKNOWN if comparison.case.reads_memory else comparison.state
            found.append(fraction_line(what, wanted, fraction, name, state, unjudged))
        return [line.seen_in(comparison.state) for line in found]

    def _ratio_line(self, wanted: float, comparison: Comparison, own: Measured, limit: str) -> Line:
        peer = comparison.of(self.against) if self.against else comparison.best_peer
        against, what = self.against or "the best other library", str(comparison.case)
        if peer is None:
            name = self.against or "every other library"
            reasons = {**comparison.left_out, **comparison.wrong}
            why = reasons.get(self.against, "not installed, or has no such case")
            return Line(what, f"≥ {wanted:g} x {against}", "–", None, limit, f"{name}: {why}")
        if self.below is not None:
            # of all pairs: other libraries do not save those that padding masks
            speed = comparison.case.rate(peer.median) / comparison.peak_gflops
            threshold, higher = self.below
            wanted = higher if speed < threshold else wanted
            limit += f"{', ' * bool(limit)}{peer.library} at {speed:.0%}"
        ratio = peer.median / own.median
        unjudged = forced_level()
        holds = None if unjudged else ratio >= wanted
        goal = f"≥ {wanted:g} x {against}"
        return Line(what, goal, f"{ratio:.2f} x {peer.library}", holds, limit, unjudged)


@dataclasses.dataclass(frozen=True)
class OwnGoal:
    """A goal that heedful is at least `factor` times as fast on one case as on another.

    The two alternate in one process, so that both have the same conditions.
    """

    case: Case
    other: Case
    factor: float
    reason: str = ""  # why it does not apply on this processor

    def laid_out(self, layouts: Sequence[Layout]) -> list[OwnGoal]:
        """The goal in each layout; one between two layouts only if both are requested."""
        if self.case.layout != self.other.layout:
            both = {self.case.layout, self.other.layout} <= set(layouts)
            return [self] if both else []
        pairs = zip(self.case.laid_out(layouts), self.other.laid_out(layouts), strict=True)
        return [dataclasses.replace(self, case=case, other=other) for case, other in pairs]

    def line(self, race: Race, threads: int) -> Line:
        case, other = (Entry(one, "heedful", threads) for one in (self.case, self.other))
        unit = f"x {self.other.shape.name} {self.other.dtype}"
        if self.case.layout != self.other.layout:
            unit = f"x {NAMES[self.other.layout]}"
        reason = self.reason
        for entry in (case, other):
            reason = race.wrong.get(entry) or race.left_out.get(entry) or reason
        failed = case in race.wrong or other in race.wrong
        fraction = race.fraction(case)
        limit = "" if fraction is None else f"{fraction:.0%} of the {self.case.limit_name}"
        wanted = round(self.factor, 3)
        line = at_least(str(self.case), wanted, race.ratio(case, other), unit, limit, reason)
        line = line.seen_in(race.state)
        return dataclasses.replace(line, holds=False) if failed else line


def own_races(goals: Sequence[OwnGoal]) -> list[list[OwnGoal]]:
    """Goals grouped by the case that they are compared with: one race each."""
    others = dict.fromkeys(goal.other for goal in goals)
    return [[goal for goal in goals if goal.other == other] for other in others]


def own_lines(harness: Harness, goals: Sequence[OwnGoal]) -> list[Line]:
    """Measure the cases of goals that share their other case, and judge them."""
    cases = dict.fromkeys([goals[0].other, *(goal.case for goal in goals)])
    race = harness.race([Entry(case, "heedful", harness.threads) for case in cases])
    return [goal.line(race, harness.threads) for goal in goals]


def forced_level() -> str:
    """Why comparisons with other libraries are not judged in this run; empty if they are."""
    config = heedful.show_config(mode="dicts")
    level, best = str(config["level"]), "v4" if "avx512f" in config["features"] else "v3"
    if level in ("native", best) or not config["features"]:
        return ""
    return f"heedful was restricted to level {level}, the others were not"
