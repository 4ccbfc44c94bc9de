"""The interface of a library to the harness."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from heedful.benchmark.shapes import Case, Inputs


class Unsupported(Exception):
    """The library does not support the case; the message gives the reason."""


@dataclass(frozen=True)
class Way:
    """One way to compute a case, with inputs already in the library's preferred form.

    `run` is timed; `read` converts its result to NumPy arrays (B, H, L, D): out, or out, dquery,
    dkey, dvalue.
    """

    name: str
    run: Callable[[], Any]
    read: Callable[[Any], list[NDArray[Any]]]
    held: object = None  # kept alive as long as the way
    # a mode of the library that users set once around many calls: not timed
    mode: Callable[[], AbstractContextManager[Any]] = nullcontext


def refuse_ragged(case: Case) -> None:
    """No other library has lengths of queries; goals compare heedful with itself there."""
    if case.shape.ragged:
        raise Unsupported("no lengths of the queries")


class Library(Protocol):
    name: str
    version: str

    def ways(self, case: Case, inputs: Inputs) -> list[Way]:
        """All ways worth trying; the fastest counts. Raises Unsupported."""
        ...
