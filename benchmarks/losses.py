"""Where another library was faster, from the files of results: a table of speed_tables.py."""

import re
from collections.abc import Iterable
from typing import Any

# the times in the limit of a line, where they are not of cases of attention
TIME = re.compile(r"(?:^|, |; )([^,;]+) ([\d.]+(?:e[+-]?\d+)?) ms")
Lost = dict[str, tuple[float, str]]  # the case: its time / heedful's, and the library


def lost_comparisons(named: Iterable[tuple[str, dict[str, Any]]]) -> Lost:
    """Of comparisons with their names."""
    found = {}
    for name, comparison in named:
        ratio = ratio_of(comparison)
        if ratio is not None and ratio < 1:
            others = [one for one in comparison["measured"] if one["library"] != "heedful"]
            fastest = min(others, key=lambda one: one["median"])
            found[name] = (ratio, str(fastest["library"]))
    return found


def lost_line(line: dict[str, Any]) -> Lost:
    """Of a goal's line that tells the times."""
    times = {name: float(number) for name, number in TIME.findall(line["limit"])}
    own = times.pop("heedful", None)
    if own is None or not times or min(times.values()) >= own:
        return {}
    fastest = min(times, key=lambda name: times[name])
    return {f"{line['topic']}: {line['what']}": (times[fastest] / own, fastest)}


def ratio_of(comparison: dict[str, Any]) -> float | None:
    times = {one["library"]: one["median"] for one in comparison["measured"]}
    others = [times[name] for name in times if name != "heedful"]
    return min(others) / times["heedful"] if "heedful" in times and others else None


def table(lost: Lost) -> str:
    """The largest loss first."""
    if not lost:
        return "No other library is faster in any of the committed measurements."
    rows = [
        f"| {name} | {library} | {ratio:.2f} |"
        for name, (ratio, library) in sorted(lost.items(), key=lambda item: item[1][0])
    ]
    return "\n".join(["| case | faster | its time / heedful's |", "|---|---|---:|", *rows])
