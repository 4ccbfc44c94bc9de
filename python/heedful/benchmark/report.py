"""Reports of the measurements, as text for people and as JSON for programs."""

import os
import platform
import time
from typing import Any

import heedful
from heedful.benchmark import processor
from heedful.benchmark.harness import Comparison, Harness, Measured


def machine() -> dict[str, Any]:
    """The machine that the times were measured on."""
    return {
        "processor": processor.name(),
        "cores": processor.cores(),
        "system": platform.system(),
        "python": platform.python_version(),
        "level": level(),
        "load": load(),
    }


def load() -> float | None:
    """The load average of the last minute, None if the system has none."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def level() -> str:
    return str(heedful.show_config(mode="dicts")["level"])


def as_json(
    harness: Harness, where: dict[str, Any], command: str, comparisons: list[Comparison]
) -> dict[str, Any]:
    """Everything measured; `where` describes the machine before the run."""
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
    used = f"{where['cores']} cores, {harness.threads} threads"
    lines = [
        where["processor"],
        f"{used}, Python {where['python']}, heedful level {where['level']}",
        "versions: " + ", ".join(f"{name} {version}" for name, version in harness.versions.items()),
        *(f"{name}: {reason}" for name, reason in harness.absent.items()),
        f"each library in a process of its own, {harness.rounds} rounds, times of single calls",
    ]
    if where["load"] is not None and where["load"] > 0.3 * where["cores"]:
        lines.append(f"other programs are running (load {where['load']:.1f}): judge with care")
    return "\n".join(lines)


def table(comparison: Comparison, meaning: str) -> str:
    """One case: a line for each library, heedful first, then the others by speed."""
    case = comparison.case
    limit = f"{meaning} {comparison.peak_gflops:.0f} GFLOP/s"
    if comparison.peak_bandwidth is not None:
        limit += f", memory {comparison.peak_bandwidth:.0f} GB/s"
    unit = "GB/s" if case.reads_memory else "GFLOP/s"
    lines = [
        f"{case}\n  {limit}\n  {comparison.state}",
        f"  {'':<35}{'best':>10}{'median':>10}{'spread':>8}{unit:>9}{'of peak':>9}  heedful is",
    ]
    others = sorted(
        (one for one in comparison.measured if one is not comparison.own),
        key=lambda one: one.median,
    )
    for one in [*([comparison.own] if comparison.own else []), *others]:
        lines.append(_line(one, comparison))
    for name, reason in {**comparison.wrong, **comparison.left_out}.items():
        lines.append(f"  {name:<12}{'WRONG: ' if name in comparison.wrong else ''}{reason[:100]}")
    return "\n".join(lines)


def _line(one: Measured, comparison: Comparison) -> str:
    own = comparison.own
    ratio = "" if own is None or one is own else f"{one.median / own.median:7.2f} x as fast"
    fraction = comparison.fraction(one)
    return (
        f"  {one.library + ' ' + one.way:<35}{duration(one.best):>10}{duration(one.median):>10}"
        f"{one.spread:>8.0%}{comparison.case.rate(one.median):>9.1f}"
        f"{'' if fraction is None else format(fraction, '.0%'):>9}  {ratio}"
    ).rstrip()


def duration(seconds: float) -> str:
    for factor, unit in ((1.0, "s"), (1e3, "ms")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.2f} {unit}"
    return f"{seconds * 1e6:.2f} us"
