"""Traversal of a layer's attributes: objects alone or in lists, tuples and dicts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

Kind = TypeVar("Kind")
CONTAINERS = (list, tuple, dict)


def within(
    name: str, container: Any, kind: type[Kind], around: tuple[int, ...] = ()
) -> Iterator[tuple[str, Kind]]:
    """The objects of a type in a container, by dotted name: ``name.0``, ``name.key``."""
    items = container.values() if isinstance(container, dict) else container
    # a vocabulary may be long: containers without such objects are skipped at compiled speed
    if not any(issubclass(found, (kind, *CONTAINERS)) for found in set(map(type, items))):
        return
    around = (*around, id(container))
    pairs = container.items() if isinstance(container, dict) else enumerate(container)
    for key, item in pairs:
        if isinstance(item, kind):
            yield f"{name}.{key}", item
        elif isinstance(item, CONTAINERS) and id(item) not in around:
            yield from within(f"{name}.{key}", item, kind, around)


def dotted(*names: str) -> str:
    """The joined name of a nested object; a layer itself has the empty name."""
    return ".".join(name for name in names if name)
