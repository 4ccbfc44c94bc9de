"""HeadTable: what the heads of a model look at, one row for each."""

from __future__ import annotations

from math import isnan
from typing import Any, NamedTuple

from heedful.explain._table import frame

_SHOWN = 24  # rows that are printed: two layers of twelve heads


class HeadBehaviour(NamedTuple):
    """What one head looks at: means over the queries that attend to something.

    Attributes
    ----------
    layer : str
    head : int or None
        None where the weights are a mean over heads.
    entropy : float
        −Σ_j w log w, in nats: 0 where one key has all, log Lk where all keys have the same.
    distance : float
        Σ_j w · abs(i − j), in tokens.
    first : float
        Weight of the input's first token.
    previous, same, next : float
        Weight of the token before the query, of the query's own and of the one after it, over the
        queries that have one.
    separators : float
        Weight of all separators together.
    """

    layer: str
    head: int | None
    entropy: float
    distance: float
    first: float
    previous: float
    same: float
    next: float
    separators: float


class HeadTable(list[HeadBehaviour]):
    """What :func:`head_behaviour` returns: a list of its rows, a table when printed."""

    def to_pandas(self) -> Any:
        """The rows as a DataFrame, to sort and to choose from; needs pandas."""
        return frame([row._asdict() for row in self])

    def __repr__(self) -> str:
        cells = [HeadBehaviour._fields, *(tuple(map(_cell, row)) for row in self[:_SHOWN])]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            "  ".join([f"{first:{widths[0]}}"]
                      + [f"{cell:>{width}}" for cell, width in zip(rest, widths[1:], strict=True)])
            for first, *rest in cells
        ]  # fmt: skip
        more = len(self) - _SHOWN
        return "\n".join(lines + [f"… and {more} more"] * (more > 0))


def _cell(value: str | float | None) -> str:
    if value is None or (isinstance(value, float) and isnan(value)):
        return "–"
    return f"{value:.2f}" if isinstance(value, float) else str(value)
