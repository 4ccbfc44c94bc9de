"""What the harness wants to know of a library."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from heedful.benchmark.shapes import Case, Inputs


class Unsupported(Exception):
    """The library does not offer what the case asks for; the message says what."""


@dataclass(frozen=True)
class Way:
    """One way to compute a case, inputs already in the form that the library likes best.

    `run` is what is timed; `read` turns its result into NumPy arrays (B, H, L, D):
    out, or out, dquery, dkey, dvalue.
    """

    name: str
    run: Callable[[], Any]
    read: Callable[[Any], list[NDArray[Any]]]
    held: object = None  # kept alive as long as the way
    # a mode of the library that a user sets once around many calls: not timed
    mode: Callable[[], AbstractContextManager[Any]] = nullcontext


def refuse_ragged(case: Case) -> None:
    """No other library takes lengths of the queries; a goal compares heedful with itself there."""
    if case.shape.ragged:
        raise Unsupported("no lengths of the queries")


class Library(Protocol):
    name: str
    version: str

    def ways(self, case: Case, inputs: Inputs) -> list[Way]:
        """All ways worth trying; the fastest is the one that counts. Raises Unsupported."""
        ...
