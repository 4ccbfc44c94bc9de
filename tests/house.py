"""Rooms, arrows, floors, circles and largest room of the house: `python tests/house.py [PLACE…]`.

A room is a file or a folder that lies directly in the place looked at (a C++ source and its header
are one room, `__init__.py` is the door, not a room). An arrow leads from a room to another one that
it includes or imports; a room's floor is above all rooms that its arrows lead to, unless they form
a circle. The largest room is that with the most lines, and its share of those of all rooms. Exits
with 1 where there is a circle, or a C++ folder that includes one above it.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# Each folder of a place may include those before it; bindings alone includes Python.h.
FLOORS = {
    "cpp": (
        "simd", "parallel", "arrays", "kernels", "attention", "linear", "layers", "bindings",
    ),
    "cpp/attention": ("problem", "scores", "softmax", "forward", "backward"),
    "cpp/attention/forward": (
        "panels", "prefill", "decode", "partition", "probabilities", "entmax", "top_k",
    ),
    "cpp/attention/backward": ("penalty", "partition", "key_tile", "top_k"),
}  # fmt: skip
# Folders that do not include one another, though they are sorted above.
INDEPENDENT = (
    {"simd", "parallel"}, {"attention", "linear"}, {"attention", "layers"}, {"prefill", "decode"},
    {"entmax", "top_k"}, {"key_tile", "top_k"}, {"penalty", "partition"},
)  # fmt: skip

PLACES = (
    "cpp", "cpp/attention",
    *(f"{place}/{room}" for place in list(FLOORS)[1:] for room in FLOORS[place]),
    "python/heedful", "python/heedful/functional", "python/heedful/layers", "python/heedful/models",
    "python/heedful/training",
)  # fmt: skip

Arrows = dict[str, set[str]]  # from a file, without its suffix, to files


def cpp_arrows() -> Arrows:
    arrows: Arrows = defaultdict(set)
    for file in (ROOT / "cpp").rglob("*.?pp"):
        name = str(file.relative_to(ROOT).with_suffix(""))
        included = re.findall(
            r'^#include "([^"]+)"', file.read_text(encoding="utf-8"), re.MULTILINE
        )
        arrows[name] |= {str(Path("cpp", path).with_suffix("")) for path in included} - {name}
    return arrows


def module_of(name: str) -> str | None:
    """The file of a module, without its suffix, or None where there is none."""
    path = Path("python", *name.split("."))
    if (ROOT / path).is_dir():
        path /= "__init__"
    return str(path) if (ROOT / path).with_suffix(".py").exists() else None


def imported(tree: ast.AST, package: str) -> set[str]:
    """Names of all modules that are imported to run, wherever: not for annotations alone."""
    names = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            ancestors = package.split(".")[: -node.level + 1 or None] if node.level else []
            base = ".".join([*ancestors, *filter(None, [node.module])])
            names |= {found if module_of(found := f"{base}.{alias.name}") else base
                      for alias in node.names}  # fmt: skip
        else:
            names |= imported(node, package)
    return names


def python_arrows() -> Arrows:
    arrows: Arrows = defaultdict(set)
    for file in (ROOT / "python/heedful").rglob("*.py"):
        name = file.relative_to(ROOT).with_suffix("")
        package = ".".join(name.parts[1:-1])
        found = {
            module_of(module)
            for module in imported(ast.parse(file.read_text(encoding="utf-8")), package)
        }
        arrows[str(name)] |= {path for path in found if path} - {str(name)}
    return arrows


def room_of(place: str, file: str) -> str | None:
    """The room of a place that a file is in; doors (`__init__`) are no rooms."""
    parts, depth = Path(file).parts, len(Path(place).parts)
    inside = parts[:depth] == Path(place).parts and len(parts) > depth
    return parts[depth] if inside and parts[depth] not in {"__init__", "__main__"} else None


def rooms_of(place: str, arrows: Arrows) -> Arrows:
    """Arrows between the rooms of a place."""
    rooms: Arrows = {}
    for file, targets in arrows.items():
        if (source := room_of(place, file)) is None or Path(file).name == "__init__":
            continue
        rooms.setdefault(source, set())
        for target in targets:
            reached = room_of(place, target)
            if reached is not None and reached != source:
                rooms[source].add(reached)
                rooms.setdefault(reached, set())
    return rooms


def largest(place: str) -> str:
    """The share of all lines that the largest room of a place has, and its name."""
    lines: Counter[str] = Counter()
    for file in (ROOT / place).rglob("*.?pp" if place.startswith("cpp") else "*.py"):
        if room := room_of(place, str(file.relative_to(ROOT).with_suffix(""))):
            lines[room] += len(file.read_text().splitlines())
    [(room, most)] = lines.most_common(1) or [("", 0)]
    return f"{most / max(lines.total(), 1):.0%} {room}"


def circle(rooms: Arrows) -> list[str]:
    """Rooms that form a circle, each leading to the one before it, or none."""
    try:
        TopologicalSorter(rooms).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def floors(rooms: Arrows) -> int:
    """Of rooms without a circle."""
    sorter, count = TopologicalSorter(rooms), 0
    sorter.prepare()
    while sorter.is_active():
        sorter.done(*sorter.get_ready())
        count += 1
    return count


def upward(arrows: Arrows) -> list[str]:
    """Includes that lead from a C++ folder to one above it, or beside it."""
    found = []
    for source, targets in arrows.items():
        for target in targets:
            for place, names in FLOORS.items():
                inside = [folder_in(place, file) for file in (source, target)]
                if not set(inside) <= set(names) or inside[0] == inside[1]:
                    continue
                beside = any(set(inside) <= independent for independent in INDEPENDENT)
                if beside or names.index(inside[0]) < names.index(inside[1]):
                    found.append(
                        f"{source} includes {target}: {inside[0]} may not include {inside[1]}"
                    )
    return found


def folder_in(place: str, file: str) -> str:
    """The folder of a place that a file is in, however deep, or an empty string."""
    parts, depth = Path(file).parts, len(Path(place).parts)
    return parts[depth] if file.startswith(f"{place}/") and len(parts) > depth + 1 else ""


def main(places: Sequence[str] = ()) -> int:
    cpp, python = cpp_arrows(), python_arrows()
    wrong = upward(cpp)
    if files := circle(python):
        wrong.append(f"circle of files: {', '.join(files)}")
    print(f"{'place':35} rooms arrows floors largest")
    for place in places or PLACES:
        rooms = rooms_of(place.rstrip("/"), cpp if place.startswith("cpp") else python)
        found = circle(rooms)
        arrows = sum(map(len, rooms.values()))
        height = "circle" if found else floors(rooms)
        print(f"{place:35} {len(rooms):5} {arrows:6} {height:>6} {largest(place):>4}")
        if found:
            wrong.append(f"circle in {place}: {', '.join(found)}")
    if wrong:
        print(*wrong, sep="\n")
    return len(wrong) > 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
