"""Write the committed measurements into the README:  python benchmarks/readme_table.py

It reads all JSON files of benchmarks/results/, made with `--json benchmarks/results/NAME.json`.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BEGIN = "<!-- speed: written by benchmarks/readme_table.py -->"
END = "<!-- speed: end -->"
ORDER = ("heedful", "torch", "onnxruntime", "openvino", "jax", "numpy")


def section(run: dict[str, Any]) -> str:
    """One run: where and how it was measured, then a row for each case."""
    machine, versions = run["machine"], run["versions"]
    libraries = [name for name in ORDER if name in versions]
    named = ", ".join(f"{name} {versions[name]}" for name in libraries)
    where = f"{machine['processor']}, {run['threads']} threads, level {machine['level']}"
    head = [
        f"`{run['command']}`, {run['date']}: {where}; {named}. Median milliseconds:",
        "",
        "| case | " + " | ".join(libraries) + " | best other / heedful |",
        "|---|" + "---:|" * (len(libraries) + 1),
    ]
    rows = [row(comparison, libraries) for comparison in run["comparisons"]]
    return "\n".join(head + rows)


def row(comparison: dict[str, Any], libraries: list[str]) -> str:
    case, shape = comparison["case"], comparison["case"]["shape"]
    medians = {one["library"]: 1e3 * one["median"] for one in comparison["measured"]}
    others = [medians[name] for name in medians if name != "heedful"]
    ratio = f"**{min(others) / medians['heedful']:.2f}**" if "heedful" in medians and others else ""
    cells = [f"{medians[name]:.4g}" if name in medians else "–" for name in libraries]
    heads = str(shape["H"]) if shape["H"] == shape["Hkv"] else f"{shape['H']}/{shape['Hkv']}"
    extras = [name for name in ("causal", "bias", "mask") if shape[name]]
    extras += ["key padding"] if shape["padding"] else []
    extras += [case["dtype"]] if case["dtype"] != "float32" else []
    extras += ["with gradients"] if case["backward"] else []
    extras += [f"dropout {case['dropout_p']:g}"] if case["dropout_p"] else []
    sizes = f"{shape['B']}, {heads}, {shape['Lq']}×{shape['Lk']}, {shape['D']}"
    label = f"{shape['name']}: {', '.join([sizes, *extras])}"
    return f"| {label} | " + " | ".join([*cells, ratio]) + " |"


def between(text: str, table: str) -> str:
    """The README with the table in its place."""
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"README.md must hold the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def table(folder: Path) -> str:
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    sections = [section(run) for run in runs if run["comparisons"]]
    return "\n\n".join(sections) or "No measurement is committed yet."


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="change nothing; 1 if it is out of date"
    )
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    arguments = parser.parse_args(argv)
    old = arguments.readme.read_text(encoding="utf-8")
    new = between(old, table(arguments.results))
    if arguments.check:
        return int(old != new)
    arguments.readme.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
