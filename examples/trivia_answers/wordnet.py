"""WordNet's senses of a name: what it is, and of what kind."""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FOLDER = Path("/usr/share/wordnet")


class Sense(NamedTuple):
    names: list[str]  # talc, talcum
    gloss: str  # a fine grained mineral having a soft soapy feel …
    kind: str  # mineral, material
    instance: bool  # whether it is one thing with a name of its own, as Paris is

    @property
    def entry(self) -> str:
        return f"{', '.join(self.names[:5])}: {self.gloss}"


Senses = dict[str, list[Sense]]


def read_wordnet(folder: Path) -> Senses:
    """The senses of each noun and adjective, the most frequent first."""
    senses: Senses = defaultdict(list)
    for part in ("noun", "adj"):
        found = _read_senses(folder / f"data.{part}")
        for line in _lines(folder / f"index.{part}"):  # name … count of senses … their offsets
            name, _, count, *rest = line.split()
            senses[name.replace("_", " ")] += [found[offset] for offset in rest[-int(count) :]]
    return dict(senses)


def look_up(name: str, senses: Senses) -> list[Sense]:
    """Of a name, or of what it is the plural of."""
    forms = name, name.removesuffix("s"), re.sub("ies$", "y", name), name.removesuffix("es")
    return next((senses[form] for form in forms if form in senses), [])


def _read_senses(path: Path) -> dict[str, Sense]:
    """By offset; a line is "offset … count words … pointers … | gloss; "examples""."""
    names: dict[str, list[str]] = {}
    glosses: dict[str, str] = {}
    above: dict[str, list[str]] = {}
    instances = set()
    for line in _lines(path):
        fields, gloss = line.split(" | ", 1)
        offset, _, _, count, *rest = fields.split()
        size = int(count, 16)
        names[offset] = [_plain(name) for name in rest[: 2 * size : 2]]
        glosses[offset] = re.sub(r'\s*;\s*".*', "", gloss).strip()
        pointers = rest[2 * size + 1 :]
        above[offset] = [pointers[i + 1] for i, mark in enumerate(pointers) if mark in ("@", "@i")]
        if "@i" in pointers:
            instances.add(offset)
    found = {}
    for offset in names:
        kinds = [kind for first in above[offset][:1] for kind in (first, *above[first][:1])]
        kind = ", ".join(names[kind][0] for kind in kinds)
        found[offset] = Sense(names[offset], glosses[offset], kind, offset in instances)
    return found


def _plain(name: str) -> str:
    return re.sub(r"\(\w+\)$", "", name).replace("_", " ")  # "(a)": only before a noun


def _lines(path: Path) -> Iterator[str]:
    """All but the licence."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return (line for line in lines if not line.startswith(" "))
