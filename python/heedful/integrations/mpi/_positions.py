"""Which rows of a sequence each process has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from heedful._checks import is_integer, named
from heedful._checks import positions as checked_positions
from heedful.integrations._key_pieces import Array, Span
from heedful.integrations.mpi import _world


def ring_share(length: int, comm: Any = None) -> Array:
    """Positions of this process's share of a sequence, such that causal attention is balanced.

    The sequence is cut into 2n parts for n processes; process r has the parts r and 2n − 1 − r::

        4 processes     0 1 2 3 3 2 1 0

    With causal attention, later queries see more keys: what is cheap in the first part is dear in
    the second, and all processes compute the same number of scores, at each step of the ring.

    Parameters
    ----------
    length : int
        Of the whole sequence.
    comm : mpi4py.MPI.Comm, optional
        None is all processes.

    Returns
    -------
    positions : numpy.ndarray of int
        Ascending: for ``x[positions]``, and the argument `positions` of :func:`ring_attention`.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from heedful.integrations.mpi import ring_share
    >>> ring_share(12, SimpleNamespace(rank=1, size=3))  # as the second of three processes has it
    array([2, 3, 8, 9])
    """
    if not is_integer(length) or length < 0:
        raise ValueError(f"length must be an integer, 0 or more: got {named(length)}")
    comm = _world.world() if comm is None else comm
    parts = 2 * comm.size
    bounds = [int(length) * part // parts for part in range(parts + 1)]
    own = comm.rank, parts - 1 - comm.rank
    return np.concatenate([np.arange(bounds[part], bounds[part + 1]) for part in own])


def runs(name: str, positions: Any, count: int) -> list[Span]:
    """Consecutive positions as spans; at least one, if an empty one."""
    found = checked_positions(name, positions)
    if found.shape != (count,):
        raise ValueError(
            f"{name} must have shape ({count},), one for each row: got shape {found.shape}"
        )
    if not count:
        return [(0, 0)]
    groups = np.split(found, np.flatnonzero(np.diff(found) != 1) + 1)
    return [(int(group[0]), int(group[-1]) + 1) for group in groups]


def spans_of_all(
    name: str, counts: Sequence[int], given: Sequence[list[Span] | None]
) -> list[list[Span]]:
    """The spans of each process, which together are the whole sequence."""
    if all(spans is None for spans in given):
        ends = np.cumsum(counts).tolist()
        return [[(end - count, end)] for count, end in zip(counts, ends, strict=True)]
    found = []
    for rank, spans in enumerate(given):
        if spans is None:
            raise ValueError(f"{name} must be given in all processes or in none: not in {rank}")
        found.append(spans)
    end = 0
    for first, last in sorted(span for spans in found for span in spans if span[0] < span[1]):
        if first != end:
            what = "is missing" if first > end else "is in two"
            raise ValueError(
                f"{name} must be those of the whole sequence, all processes together: "
                f"{min(first, end)} {what}"
            )
        end = last
    return found
