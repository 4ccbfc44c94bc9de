"""What the harness wants to know of a library."""

from collections.abc import Callable
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


class Library(Protocol):
    name: str
    version: str

    def ways(self, case: Case, inputs: Inputs) -> list[Way]:
        """All ways worth trying; the fastest is the one that counts. Raises Unsupported."""
        ...
