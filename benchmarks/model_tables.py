"""Whole models as tables of speed_tables.py: a row for each goal of bench_models.py."""

from collections.abc import Callable
from typing import Any

Run = dict[str, Any]
PREFIX = "models-"  # of the files of results


def tables(
    runs: dict[str, Run], origin: Callable[[Run], str], row: Callable[[dict[str, Any]], str]
) -> list[str]:
    """One for each file of results, without the name of the model in every row."""
    found = []
    for name, run in runs.items():
        if not name.startswith(PREFIX):
            continue
        model = run["lines"][0]["what"].rpartition(", ")[0].rpartition(", ")[0]
        rows = [row({**one, "what": one["what"].removeprefix(f"{model}, ")})
                for one in run["lines"]]  # fmt: skip
        head = ["| what | goal | figure | times and limits | |", "|---|---|---|---|---|"]
        found.append("\n".join([f"**{model}.** {origin(run)}", "", *head, *rows]))
    return found
