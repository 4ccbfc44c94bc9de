"""Write the committed measurements into README.md, docs/speed.md and docs/models.md.

It reads the JSON files of benchmarks/results/ and fills the places between the marks
`<!-- speed NAME: ... -->`. The pictures are drawn by bench_scaling.py.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import losses
import model_tables
from case_rows import label, layout_of, ratio_cell, row, with_threads

from heedful.benchmark import peers
from heedful.benchmark.goal import WORDS
from heedful.benchmark.layout import NAMES
from heedful.benchmark.topic import counts

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs/speed.md", "docs/models.md")
BEGIN = "<!-- speed {}: written by benchmarks/speed_tables.py -->"
END = "<!-- speed {}: end -->"
LAYERS = "goals-layers"  # dense products, layers, training, additive attention
AVX2 = "avx2-"  # a processor that has no more, in parts
SHORTLIST = (
    "sq4096_d128",
    "bert_384_pad",
    "vit_b",
    "gpt2_1k",
    "llama_2k",
    "swin_49",
    "decode_8k_gqa",
)
ABSENT = "No such measurement is committed yet."
Run = dict[str, Any]


def plain_runs(runs: dict[str, Run]) -> list[Run]:
    """Comparisons of named shapes at the processor's own level."""
    return [
        run
        for name, run in runs.items()
        if run["comparisons"]
        and "sweep" not in run
        and not name.endswith("-v3")
        and not name.startswith(AVX2)
    ]


def medians(runs: dict[str, Run]) -> str:
    """A table of times for each run."""
    return "\n\n".join(section(run, run["comparisons"], {}) for run in plain_runs(runs)) or ABSENT


def shortlist(runs: dict[str, Run]) -> str:
    """Some shapes of real models, and how the ratios of all cases in float32 are distributed.

    Of the second layout only the ratio, in a column of its own.
    """
    found = []
    for run in plain_runs(runs):
        named = [
            one
            for one in run["comparisons"]
            if one["case"]["dtype"] == "float32" and one["case"]["shape"]["name"] != "overhead"
        ]
        first = [
            one
            for one in named
            if layout_of(one["case"]) == "bhld" and one["case"]["shape"]["name"] in SHORTLIST
        ]
        second = {
            label({**one["case"], "layout": "bhld"}): ratio_cell(one)
            for one in named
            if layout_of(one["case"]) == "blhd"
        }
        if first:
            ratios = [ratio for one in named if (ratio := losses.ratio_of(one)) is not None]
            spread = (
                f"Over all {len(ratios)} cases in float32 of that run, in both layouts, the best "
                f"other library takes {min(ratios):.2f} to {max(ratios):.2f} times as long as "
                f"heedful, half of them at least {statistics.median(ratios):.2f} times."
            )
            found += [f"{section(run, first, second)}\n\n{spread}"]
    return "\n\n".join(found) or ABSENT


def section(run: Run, comparisons: list[dict[str, Any]], second: dict[str, str]) -> str:
    """One run: where and how it was measured, then a row for each case."""
    libraries = [name for name in peers.MODULES if name in run["versions"]]
    columns = [*libraries, "best other / heedful", *([f"in {NAMES['blhd']}"] if second else [])]
    head = [
        f"{origin(run)} Median milliseconds:",
        "",
        f"| case | {' | '.join(columns)} |",
        "|---|" + "---:|" * len(columns),
    ]
    rows = [row(one, libraries) for one in comparisons]
    if second:
        labels = [label(one["case"]) for one in comparisons]
        rows = [f"{one} {second.get(name, '')} |" for one, name in zip(rows, labels, strict=True)]
    return "\n".join(head + rows)


def origin(run: Run) -> str:
    """The command, the date, the machine and the versions of a table."""
    machine, versions = run["machine"], run["versions"]
    named = ", ".join(f"{name} {versions[name]}" for name in peers.MODULES if name in versions)
    where = f"{machine['processor']}, {run['threads']} threads, level {machine['level']}"
    return f"`{run['command']}`, {run['date']}: {where}; {named}."


def goals(runs: dict[str, Run], name: str = "goals") -> str:
    """Every goal with its figure and verdict."""
    if name not in runs:
        return ABSENT
    lines = lines_of(runs, name)
    rows = [cells(one["topic"], *judged(one)) for one in lines]
    head = [
        f"{origin(runs[name])} **{counts([one['holds'] for one in lines])}.**",
        "",
        "| topic | what | goal | figure | of the limit | |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join(head + rows)


def cells(*texts: str) -> str:
    """A row of a table, whatever the texts hold."""
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"


def lines_of(runs: dict[str, Run], name: str) -> list[dict[str, Any]]:
    """The lines of a run, except topics that a later run of layers measured again."""
    again = {one["topic"] for one in runs.get(LAYERS, {}).get("lines", [])}
    lines: list[dict[str, Any]] = runs[name].get("lines", [])
    return lines if name == LAYERS else [one for one in lines if one["topic"] not in again]


def goals_layers(runs: dict[str, Run]) -> str:
    return goals(runs, LAYERS)


def goals_v3(runs: dict[str, Run]) -> str:
    return goals(runs, "goals-v3")


def models(runs: dict[str, Run]) -> str:
    def row(line: dict[str, Any]) -> str:
        return cells(*judged(line))

    return "\n\n".join(model_tables.tables(runs, origin, row)) or ABSENT


def avx2(runs: dict[str, Run]) -> str:
    found = [goals(runs, name) for name in runs if name.startswith(AVX2)]
    return "\n\n".join(found) or ABSENT


def judged(line: dict[str, Any]) -> tuple[str, ...]:
    """What is measured, its goal and figure, the limit and the verdict."""
    return line["what"], line["goal"], line["figure"], limit(line), verdict(line)


def limit(line: dict[str, Any]) -> str:
    """The share of the limit, and the state that the machine was in."""
    return "; ".join(filter(None, [line["limit"], line.get("state", "")]))


def verdict(line: dict[str, Any]) -> str:
    word = WORDS[line["holds"]]
    word = f"**{word}**" if line["holds"] is False else word
    return f"{word}: {line['reason']}" if line["reason"] else word


def sweep(runs: dict[str, Run]) -> str:
    """The results of the random shapes, lowest ratio first."""
    if "sweep" not in runs:
        return ABSENT
    run = runs["sweep"]
    found = [(losses.ratio_of(one), one) for one in run["comparisons"]]
    judged = sorted(((r, one) for r, one in found if r is not None), key=lambda pair: pair[0])
    ratios = [ratio for ratio, _ in judged]
    wanted, same = run["sweep"]["limit"], run["sweep"]["same_bits"]
    text = (
        f"{origin(run)} Of {len(found)} shapes, {sum(r >= wanted for r in ratios)} are at least "
        f"{wanted} times as fast as the best other library, {sum(r >= 1 for r in ratios)} at least "
        f"as fast; half of them at least {statistics.median(ratios):.2f} times as fast. "
        f"{sum(same)} have the same bits for "
        f"{', '.join(map(str, run['sweep']['threads']))} threads"
        f"{' and in both layouts' if 'layouts' in run['sweep'] else ''}. Median milliseconds:"
    )
    libraries = [name for name in peers.MODULES if name in run["versions"]]
    head = [
        "| case | " + " | ".join(libraries) + " | best other / heedful |",
        "|---|" + "---:|" * (len(libraries) + 1),
    ]
    return "\n".join([text, "", *head, *(row(one, libraries) for _, one in judged)])


def lost(runs: dict[str, Run]) -> str:
    """Every case of every run in which another library was faster."""
    points = [
        one
        for run in runs.values()
        for series in run.get("series", {}).values()
        for one in series["points"]
    ]
    compared = [one for run in plain_runs(runs) for one in run["comparisons"]]
    compared += runs["sweep"]["comparisons"] if "sweep" in runs else []
    found = losses.lost_comparisons(
        (f"{label(one['case'])}{with_threads(one)}", one) for one in [*compared, *points]
    )
    found |= losses.lost_comparisons(
        (f"{label(one['case'])}, AVX2 processor", one)
        for name, run in runs.items()
        if name.startswith(AVX2)
        for one in run["comparisons"]
    )
    for name in runs:
        if not name.endswith("-v3"):
            for line in lines_of(runs, name):
                found |= losses.lost_line(line)
    return losses.table(found)


def pictures(runs: dict[str, Run]) -> str:
    """Links to the pictures of bench_scaling.py, each with a description."""
    if "scaling" not in runs:
        return ABSENT
    run = runs["scaling"]
    drawn = f"The curves were drawn on {run['machine']['cores']} cores."
    links = [
        f"![GFLOP/s over {name} ({series['fixed']}), forward and with gradients, "
        f"for {', '.join(run['versions'])}](speed-{name}.svg)"
        for name, series in run["series"].items()
    ]
    return "\n\n".join([origin(run), drawn, *links])


TABLES: dict[str, Callable[[dict[str, Run]], str]] = {
    "shortlist": shortlist,
    "medians": medians,
    "goals": goals,
    LAYERS: goals_layers,
    "goals-v3": goals_v3,
    "avx2": avx2,
    "models": models,
    "sweep": sweep,
    "pictures": pictures,
    "losses": lost,
}


def filled(text: str, runs: dict[str, Run]) -> str:
    """The page with every table that it has a place for."""
    for name, table in TABLES.items():
        begin, end = BEGIN.format(name), END.format(name)
        before, found, rest = text.partition(begin)
        if not found:
            continue
        _, closed, after = rest.partition(end)
        if not closed:
            raise SystemExit(f"{begin} without {end}")
        text = f"{before}{begin}\n{table(runs)}\n{end}{after}"
    return text


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="change nothing; 1 if a page is out of date"
    )
    parser.add_argument("--pages", nargs="+", type=Path, default=[ROOT / page for page in PAGES])
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    arguments = parser.parse_args(argv)
    runs = {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(arguments.results.glob("*.json"))
    }
    outdated = False
    for page in arguments.pages:
        old = page.read_text(encoding="utf-8")
        new = filled(old, runs)
        outdated |= old != new
        if not arguments.check:
            page.write_text(new, encoding="utf-8")
    return int(arguments.check and outdated)


if __name__ == "__main__":
    sys.exit(main())
