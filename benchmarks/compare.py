"""Compare two JSON files of the benchmarks:  python benchmarks/compare.py OLD NEW"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any


def medians(run: dict[str, Any], library: str) -> dict[str, tuple[float, float]]:
    """For every case the median seconds of the library, and the machine's peak at that time."""
    return {
        comparison["text"]: (one["median"], comparison["peak_gflops"])
        for comparison in run["comparisons"]
        for one in comparison["measured"]
        if one["library"] == library
    }


def lines(old: dict[str, Any], new: dict[str, Any], library: str) -> list[tuple[str, float]]:
    """A line for each case that both runs have, with the new speed as a multiple of the old."""
    before, after = medians(old, library), medians(new, library)
    found = []
    for text in [text for text in before if text in after]:
        (old_median, old_peak), (new_median, new_peak) = before[text], after[text]
        speed = old_median / new_median
        line = (
            f"{1e3 * old_median:10.3f} ms {1e3 * new_median:10.3f} ms {speed:7.2f} x "
            f"{speed * old_peak / new_peak:7.2f} x  {text}{other_state(old, new, text)}"
        )
        found.append((line, speed))
    return found


def other_state(old: dict[str, Any], new: dict[str, Any], text: str) -> str:
    """A remark where the machine was in another state: such times are not comparable."""
    before, after = (
        next(one.get("state", {}) for one in run["comparisons"] if one["text"] == text)
        for run in (old, new)
    )
    words = [state.get("word", "unknown") for state in (before, after)]
    return "" if words[0] == words[1] else f"  ({words[0]}, now {words[1]})"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--library", default="heedful")
    parser.add_argument(
        "--fail-below", type=float, default=0.0, metavar="SPEED",
        help="exit with 1 when a case reaches less than this multiple of its old speed",
    )  # fmt: skip
    arguments = parser.parse_args(argv)
    old, new = (
        json.loads(path.read_text(encoding="utf-8")) for path in (arguments.old, arguments.new)
    )
    for name, run in (("old", old), ("new", new)):
        machine = run["machine"]
        where = f"{machine['processor']}, {run['threads']} threads, level {machine['level']}"
        print(f"{name}: {where}, {run['date']}")
    found = lines(old, new, arguments.library)
    if not found:
        print(f"no case of {arguments.library} is in both files", file=sys.stderr)
        return 2
    print(f"{'old':>10}    {'new':>10}    {'speed':>7}   by peak  case")
    for line, _ in found:
        print(line)
    return int(any(speed < arguments.fail_below for _, speed in found))


if __name__ == "__main__":
    sys.exit(main())
