"""Settings of optimizers, for all parameters and for groups of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from heedful._checks import finite, named, not_negative

Groups = dict[str, dict[str, float]]


def below_one(name: str, value: Any) -> float:
    number = finite(name, value)
    if not 0 <= number < 1:
        raise ValueError(f"{name} must lie in [0, 1): got {named(value)}")
    return number


def setting(name: str, value: Any, shown: str | None = None) -> float:
    """A setting that groups may override; `shown` is its name in messages."""
    number = not_negative(shown or name, value)
    return below_one(shown or name, number) if name == "momentum" else number


def betas_of(given: Any) -> tuple[float, float]:
    """The two decay rates."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"betas must be two numbers: got {named(given)}")
    betas = [below_one("betas", beta) for beta in given]
    if len(betas) != 2:
        raise ValueError(f"betas must be two numbers: got {named(given)}")
    return betas[0], betas[1]


def groups_of(given: Any, known: Iterable[str]) -> Groups:
    """Settings by patterns of names; unknown settings are errors."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise TypeError(f"groups must be a mapping of patterns to settings: got {named(given)}")
    found: Groups = {}
    for pattern, group in given.items():
        where = f"groups[{pattern!r}]"
        if not isinstance(group, Mapping):
            raise TypeError(f"{where} must be a mapping of settings: got {named(group)}")
        unknown = [name for name in group if name not in known]
        if unknown:
            raise ValueError(f"{where} must set some of {list(known)}: got {unknown[0]!r}")
        found[pattern] = {
            name: setting(name, value, f"{where}[{name!r}]") for name, value in group.items()
        }
    return found
