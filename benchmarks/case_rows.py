"""A compared case as a row of a table: its label, the times of the libraries and their ratio."""

from typing import Any

import losses

from heedful.benchmark.layout import NAMES


def row(comparison: dict[str, Any], libraries: list[str]) -> str:
    times = {one["library"]: 1e3 * one["median"] for one in comparison["measured"]}
    cells = [f"{times[name]:.4g}" if name in times else "–" for name in libraries]
    cells.append(ratio_cell(comparison))
    return f"| {label(comparison['case'])} | " + " | ".join(cells) + " |"


def ratio_cell(comparison: dict[str, Any]) -> str:
    ratio = losses.ratio_of(comparison)
    return "" if ratio is None else f"**{ratio:.2f}**"


def label(case: dict[str, Any]) -> str:
    shape = case["shape"]
    heads = str(shape["H"]) if shape["H"] == shape["Hkv"] else f"{shape['H']}/{shape['Hkv']}"
    extras = [name for name in ("causal", "bias", "mask") if shape[name]]
    extras += ["key padding"] if shape["padding"] else []
    extras += [case["dtype"]] if case["dtype"] != "float32" else []
    extras += ["with gradients"] if case["backward"] else []
    extras += [f"dropout {case['dropout_p']:g}"] if case["dropout_p"] else []
    extras += [NAMES["blhd"]] if layout_of(case) == "blhd" else []
    sizes = f"{shape['B']}, {heads}, {shape['Lq']}×{shape['Lk']}, {shape['D']}"
    return f"{shape['name']}: {', '.join([sizes, *extras])}"


def layout_of(case: dict[str, Any]) -> str:
    return str(case.get("layout", "bhld"))  # older files know one


def with_threads(point: dict[str, Any]) -> str:
    number = point.get("threads")
    return "" if number is None else f", {number} thread{'s' * (number > 1)}"
