"""What the measurements say, as text for people and as JSON for programs."""

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import heedful
from heedful.benchmark.harness import Comparison, Harness, Measured
from heedful.benchmark.shapes import Case, numpy_dtype


@dataclass(frozen=True)
class Goal:
    """What a benchmark wants to see."""

    ratio: float | None = None  # as fast as `against`, that many times
    against: str = ""  # a library; empty: the best peer
    share: float | None = None  # of the FMA peak, for a decoding step of the memory bandwidth


@dataclass(frozen=True)
class OwnGoal:
    """heedful wants to be at least `factor` times as fast on one case as on another."""

    case: Case
    other: Case
    factor: float

    def verdict(self, comparisons: list[Comparison]) -> tuple[str, bool] | None:
        """None when one of the two was not measured."""
        medians = {one.case: one.own.median for one in comparisons if one.own is not None}
        if self.case not in medians or self.other not in medians:
            return None
        reached = medians[self.other] / medians[self.case]
        other = f"{_label(self.other)}, which takes {duration(medians[self.other])}"
        sentence = f"{reached:.2f} x as fast as {other}"
        text, good = _verdict(sentence, f"{self.factor:.2f} x", reached >= self.factor)
        return f"{_label(self.case)}: {text}", good


def _label(case: Case) -> str:
    return f"{case.shape.name} {case.dtype}"


def machine() -> dict[str, Any]:
    """Where the times were taken."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "level": level(),
        "load": load(),
    }


def load() -> float | None:
    """Programs that were computing during the last minute, None where the system does not tell."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def level() -> str:
    return str(heedful.show_config()["level"])


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    named = {name.strip(): text.strip() for name, text in fields.items()}
    family = "/".join(named.get(n, "?") for n in ("cpu family", "model", "stepping"))
    return f"{named.get('model name', platform.machine())} (family/model/stepping {family})"


def as_json(
    harness: Harness, where: dict[str, Any], command: str, comparisons: list[Comparison]
) -> dict[str, Any]:
    """Everything measured; `where` is the machine as it was before."""
    return {
        "command": command,
        "date": time.strftime("%Y-%m-%d"),
        "machine": where,
        "threads": harness.threads,
        "rounds": harness.rounds,
        "seconds": harness.seconds,
        "peak": harness.peak.meaning,
        "versions": harness.versions,
        "absent": harness.absent,
        "comparisons": [comparison.as_dict() for comparison in comparisons],
    }


def introduction(harness: Harness, where: dict[str, Any]) -> str:
    lines = [
        ", ".join(
            [
                where["processor"],
                f"{where['cores']} cores, {harness.threads} threads",
                f"Python {where['python']}, heedful level {where['level']}",
            ]
        ),
        "versions: " + ", ".join(f"{name} {version}" for name, version in harness.versions.items()),
        *(f"{name}: {reason}" for name, reason in harness.absent.items()),
        f"each library in a process of its own, {harness.rounds} rounds, times of single calls",
    ]
    if where["load"] is not None and where["load"] > 0.3 * where["cores"]:
        lines.append(f"other programs are computing (load {where['load']:.1f}): judge with care")
    return "\n".join(lines)


def table(comparison: Comparison, meaning: str, goal: Goal | None = None) -> str:
    """One case: a line for each library, fastest first behind heedful, and the verdict."""
    case = comparison.case
    limit = f"{meaning} {comparison.peak_gflops:.0f} GFLOP/s"
    if comparison.peak_bandwidth is not None:
        limit += f", memory {comparison.peak_bandwidth:.0f} GB/s"
    unit = "GB/s" if reads_memory(comparison) else "GFLOP/s"
    lines = [
        f"{case}\n  {limit}",
        f"  {'':<38}{'best':>10}{'median':>10}{'spread':>8}{unit:>9}{'of peak':>9}  heedful is",
    ]
    others = sorted(
        (one for one in comparison.measured if one is not comparison.own),
        key=lambda one: one.median,
    )
    for one in [*([comparison.own] if comparison.own else []), *others]:
        lines.append(_line(one, comparison))
    for name, reason in {**comparison.wrong, **comparison.left_out}.items():
        lines.append(f"  {name:<12}{'WRONG: ' if name in comparison.wrong else ''}{reason[:100]}")
    if goal is not None:
        lines += [f"  {sentence}" for sentence, _ in verdicts(comparison, goal)]
    return "\n".join(lines)


def _line(one: Measured, comparison: Comparison) -> str:
    own = comparison.own
    ratio = "" if own is None or one is own else f"{one.median / own.median:7.2f} x as fast"
    share = share_of_peak(one, comparison)
    return (
        f"  {one.library + ' ' + one.way:<38}{duration(one.best):>10}{duration(one.median):>10}"
        f"{one.spread:>8.0%}{rate(one, comparison):>9.1f}"
        f"{'' if share is None else format(share, '.0%'):>9}  {ratio}"
    ).rstrip()


def reads_memory(comparison: Comparison) -> bool:
    """A decoding step is bound by the reading of keys and values, everything else by products."""
    return comparison.case.shape.Lq == 1


def rate(one: Measured, comparison: Comparison) -> float:
    """GFLOP/s, or GB/s of keys and values, at the median."""
    case = comparison.case
    if reads_memory(comparison):
        return case.shape.cache_elements * numpy_dtype(case.dtype).itemsize / one.median * 1e-9
    return case.flops / one.median * 1e-9


def share_of_peak(one: Measured, comparison: Comparison) -> float | None:
    """None where it cannot be told: no bandwidth measured, or products that padding saves."""
    if comparison.case.shape.padding is not None:
        return None
    limit = comparison.peak_bandwidth if reads_memory(comparison) else comparison.peak_gflops
    return None if limit is None else rate(one, comparison) / limit


def verdicts(comparison: Comparison, goal: Goal) -> list[tuple[str, bool]]:
    """A sentence for each part of the goal that can be judged, and whether it is reached."""
    own = comparison.own
    found: list[tuple[str, bool]] = []
    if own is None:
        return [("goal missed: heedful was not measured", False)]
    peer = comparison.best_peer
    if goal.against:
        peer = next((one for one in comparison.measured if one.library == goal.against), None)
    if goal.ratio is not None and peer is not None:
        ratio = peer.median / own.median
        found.append(
            _verdict(
                f"{ratio:.2f} x as fast as {peer.library}", f"{goal.ratio:g} x", ratio >= goal.ratio
            )
        )
    share = share_of_peak(own, comparison)
    if goal.share is not None and share is not None:
        found.append(_verdict(f"{share:.0%} of the peak", f"{goal.share:.0%}", share >= goal.share))
    return found


def _verdict(reached: str, wanted: str, good: bool) -> tuple[str, bool]:
    return f"goal {'reached' if good else 'MISSED'}: {reached}, wanted {wanted}", good


def duration(seconds: float) -> str:
    for factor, unit in ((1.0, "s"), (1e3, "ms")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.2f} {unit}"
    return f"{seconds * 1e6:.2f} us"
