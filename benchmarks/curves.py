"""Draw the measurements of bench_scaling.py as pictures:  bench_scaling.py --draw-only"""

import statistics
from pathlib import Path
from typing import Any

from heedful.benchmark.worker import decode_case

# one colour and mark a library in every picture; heedful stands out
STYLES = {
    "heedful": ("#c1272d", "o"),
    "torch": ("#e8862e", "s"),
    "onnxruntime": ("#2a6fbb", "^"),
    "openvino": ("#6a4fa3", "v"),
    "jax": ("#2f8f5b", "D"),
    "numpy": ("#777777", "x"),
}
AXES = {
    "length": "length L of queries and keys",
    "depth": "depth D",
    "batch": "batch B",
    "threads": "threads",
}
DOUBLING = ("length", "batch")  # their values double from one to the next


def draw(run: dict[str, Any], folder: Path) -> list[Path]:
    """A picture for each quantity, forward and forward with backward side by side."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "heedful"  # the same file for the same numbers
    folder.mkdir(exist_ok=True)
    return [_picture(run, name, folder) for name in run["series"]]


def _picture(run: dict[str, Any], quantity: str, folder: Path) -> Path:
    from matplotlib import pyplot

    series = run["series"][quantity]
    figure, panels = pyplot.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    for panel, backward in zip(panels, (False, True), strict=True):
        points = [one for one in series["points"] if one["case"]["backward"] == backward]
        _panel(panel, run["peak"], quantity, points)
        panel.set_title("forward + backward" if backward else "forward", fontsize=11)
    handles = dict(zip(*reversed(panels[0].get_legend_handles_labels()), strict=True))
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=7, frameon=False
    )
    machine, threads = run["machine"], run["threads"]
    counted = f"{machine['cores']} cores, "
    counted += "" if quantity == "threads" else f"{threads} threads, "
    figure.suptitle(
        f"float32 attention over {AXES[quantity]}; {series['fixed']}\n"
        f"{machine['processor']}, {counted}level {machine['level']}, {run['date']}",
        fontsize=10,
    )
    path = folder / f"speed-{quantity}.svg"
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return path


def _panel(panel: Any, meaning: str, quantity: str, points: list[dict[str, Any]]) -> None:
    values = [one["value"] for one in points]
    peaks = [one["peak_gflops"] for one in points]
    panel.plot(values, peaks, color="#333333", linestyle="--", linewidth=1, label=meaning)
    highest = max(peaks)
    for name, (color, mark) in STYLES.items():
        speeds = {
            one["value"]: decode_case(one["case"]).rate(own["median"])
            for one in points
            for own in one["measured"]
            if own["library"] == name
        }
        if speeds:
            highest = max(highest, *speeds.values())
            panel.plot(
                list(speeds), list(speeds.values()), label=name, color=color, marker=mark,
                markersize=5, linewidth=2.4 if name == "heedful" else 1.4,
                zorder=3 if name == "heedful" else 2,
            )  # fmt: skip
    if quantity in DOUBLING:
        panel.set_xscale("log", base=2)
    panel.set_xticks(values, [str(value) for value in values])
    panel.tick_params(axis="x", labelrotation=45 if len(values) > 8 else 0)
    panel.minorticks_off()
    panel.set_xlabel(AXES[quantity])
    panel.set_ylabel("GFLOP/s (median)")
    panel.set_ylim(0, 1.08 * highest)
    panel.grid(alpha=0.25)
    if quantity != "threads":  # there the peak differs for each number of threads
        peak = statistics.median(peaks)
        share = panel.secondary_yaxis(
            "right", functions=(lambda y: 100 * y / peak, lambda y: y * peak / 100)
        )
        share.set_ylabel("% of the peak (its median)")
